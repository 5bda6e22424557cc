-- gold.transactions: each transaction, as far as the source knows of it.
--
-- Said on purpose: whose the account was at the transaction's time, and which version of it was in force, is not here, since the source keeps no
-- history. Its currency is, which an account keeps as long as it has transactions.
SELECT t.id AS transaction_id, t.account_id, a.currency, t.txn_type, t.amount, t.related_account_id, t.status, t.created_at
FROM transactions AS t
JOIN accounts AS a ON a.id = t.account_id
