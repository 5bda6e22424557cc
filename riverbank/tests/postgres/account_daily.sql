-- gold.account_daily: each account on each day of UTC on which completed transactions stand, by their own time.
--
-- credits and debits are what came in and went out, entries how many; opening is what the account opened with and all that stands on earlier
-- days, closing the same with this day. What is reversed, moved or deleted afterwards is gone from its day, and what comes late is in the day
-- that it is of: the days say what stands now, not what was known then.
--
-- Said on purpose: owner, type and currency are those that the account has now, on all its days; the days of a deleted account go with it.
WITH entries AS (
    SELECT account_id, created_at, CASE txn_type WHEN 'DEPOSIT' THEN amount ELSE -amount END AS amount
    FROM transactions WHERE status = 'COMPLETED'
    UNION ALL
    SELECT related_account_id, created_at, amount FROM transactions WHERE status = 'COMPLETED' AND txn_type = 'TRANSFER'
),
days AS (
    SELECT account_id, (created_at AT TIME ZONE 'UTC')::date AS day,
           coalesce(sum(amount) FILTER (WHERE amount > 0), 0) AS credits,
           coalesce(-sum(amount) FILTER (WHERE amount < 0), 0) AS debits,
           count(*) AS entries
    FROM entries
    GROUP BY account_id, (created_at AT TIME ZONE 'UTC')::date
)
SELECT a.id AS account_id, d.day, a.customer_id, a.account_type, a.currency,
       a.opening_balance + sum(d.credits - d.debits) OVER up_to - (d.credits - d.debits) AS opening,
       d.credits, d.debits, d.entries,
       a.opening_balance + sum(d.credits - d.debits) OVER up_to AS closing
FROM days AS d
JOIN accounts AS a ON a.id = d.account_id
WINDOW up_to AS (PARTITION BY d.account_id ORDER BY d.day)
