-- gold.bank_daily: the bank on each day of UTC, by type of account and currency.
--
-- net_flow is what completed transactions of the day brought less what they took; a transfer between two accounts of one type and currency is
-- no flow, but makes both accounts active. active_customers counts each customer once for the day, type and currency. An account is new on the
-- day of its created_at, with what it opened with, and closed on the day of its closed_at, if it is closed now: one that was opened again is not.
--
-- Said on purpose: an account counts, on all days, by the type, currency and owner that it has now, and a deleted one on none. What is held in
-- deposits is no column: it is the sum of net_flow and opened_with over all days up to one, which a transaction that comes late would change in
-- all later rows.
WITH entries AS (
    SELECT account_id, created_at, CASE txn_type WHEN 'DEPOSIT' THEN amount ELSE -amount END AS amount
    FROM transactions WHERE status = 'COMPLETED'
    UNION ALL
    SELECT related_account_id, created_at, amount FROM transactions WHERE status = 'COMPLETED' AND txn_type = 'TRANSFER'
),
happened AS (
    SELECT (e.created_at AT TIME ZONE 'UTC')::date AS day, a.account_type, a.currency,
           e.amount AS net_flow, 0 AS opened_with, 0 AS new_accounts, 0 AS closed_accounts,
           a.id AS active_account, a.customer_id AS active_customer
    FROM entries AS e JOIN accounts AS a ON a.id = e.account_id
    UNION ALL
    SELECT (created_at AT TIME ZONE 'UTC')::date, account_type, currency, 0, opening_balance, 1, 0, NULL, NULL
    FROM accounts
    UNION ALL
    SELECT (closed_at AT TIME ZONE 'UTC')::date, account_type, currency, 0, 0, 0, 1, NULL, NULL
    FROM accounts WHERE status = 'INACTIVE'
)
SELECT day, account_type, currency, sum(net_flow) AS net_flow, sum(opened_with) AS opened_with,
       sum(new_accounts) AS new_accounts, sum(closed_accounts) AS closed_accounts,
       count(DISTINCT active_account) AS active_accounts, count(DISTINCT active_customer) AS active_customers
FROM happened
GROUP BY day, account_type, currency
