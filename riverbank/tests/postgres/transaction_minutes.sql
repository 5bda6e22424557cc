-- gold.transaction_minutes: the transactions of each minute of UTC, by their own time, type, status and currency.
--
-- Each transaction counts once, in whatever status it is now, by the currency of the account that it is of; a transfer counts for the account
-- that it comes from. failures are those that failed.
--
-- Said on purpose: a transaction whose account was never there is in no minute, since nothing else says its currency. Here each has its account:
-- the source lets none go that has transactions.
SELECT date_trunc('minute', t.created_at, 'UTC') AS minute, t.txn_type, t.status, a.currency,
       count(*) AS transactions, sum(t.amount) AS amount, count(*) FILTER (WHERE t.status = 'FAILED') AS failures
FROM transactions AS t
JOIN accounts AS a ON a.id = t.account_id
GROUP BY date_trunc('minute', t.created_at, 'UTC'), t.txn_type, t.status, a.currency
