-- gold.account_balances: what each account of the source has.
--
-- booked is what it opened with and what all completed transactions did to it, whatever their day. pending is what is held for withdrawals
-- and transfers out that are not completed; a deposit or transfer in that is pending holds nothing. available is booked less pending.
--
-- Said on purpose: Gold keeps the row of a deleted account, marked as deleted; it is none of these rows. How many entries it had and when the
-- last one came is history (what was taken back counts, too), which no query of the current rows can know.
WITH entries AS (
    SELECT account_id, CASE txn_type WHEN 'DEPOSIT' THEN amount ELSE -amount END AS amount
    FROM transactions WHERE status = 'COMPLETED'
    UNION ALL
    SELECT related_account_id, amount FROM transactions WHERE status = 'COMPLETED' AND txn_type = 'TRANSFER'
),
booked AS (
    SELECT account_id, sum(amount) AS amount FROM entries GROUP BY account_id
),
held AS (
    SELECT account_id, sum(amount) AS amount FROM transactions
    WHERE status = 'PENDING' AND txn_type IN ('WITHDRAWAL', 'TRANSFER') GROUP BY account_id
)
SELECT a.id AS account_id, a.customer_id, a.currency, a.opening_balance AS opening,
       a.opening_balance + coalesce(booked.amount, 0) AS booked,
       coalesce(held.amount, 0) AS pending,
       a.opening_balance + coalesce(booked.amount, 0) - coalesce(held.amount, 0) AS available
FROM accounts AS a
LEFT JOIN booked ON booked.account_id = a.id
LEFT JOIN held ON held.account_id = a.id
