-- gold.customer_positions: what each customer has in each currency, over all of the customer's accounts.
--
-- An account counts for whoever has it now, with all that was ever posted to it, closed ones included: accounts counts all, open_accounts those
-- that are active. A deleted account counts no more; a customer without an account in a currency has no row for it.
WITH entries AS (
    SELECT account_id, CASE txn_type WHEN 'DEPOSIT' THEN amount ELSE -amount END AS amount
    FROM transactions WHERE status = 'COMPLETED'
    UNION ALL
    SELECT related_account_id, amount FROM transactions WHERE status = 'COMPLETED' AND txn_type = 'TRANSFER'
),
holds AS (
    SELECT account_id, amount FROM transactions WHERE status = 'PENDING' AND txn_type <> 'DEPOSIT'
),
balances AS (
    SELECT a.customer_id, a.currency, a.status,
           a.opening_balance + coalesce((SELECT sum(amount) FROM entries WHERE account_id = a.id), 0) AS booked,
           coalesce((SELECT sum(amount) FROM holds WHERE account_id = a.id), 0) AS pending
    FROM accounts AS a
)
SELECT customer_id, currency, sum(booked) AS booked, sum(booked - pending) AS available,
       count(*) AS accounts, count(*) FILTER (WHERE status = 'ACTIVE') AS open_accounts
FROM balances
GROUP BY customer_id, currency
