-- The tables of a batch stack as the same queries ask for them. Views of the names that the queries have, in a schema that comes first in the
-- search path; nothing here is captured.
--
-- An account has no column for what it opened with: it is the balance of the first version that anybody saw, whatever the column says afterwards.
-- It is kept here as the row comes, and taken anew when the connector begins, whose snapshot shows the rows of that time. It has no status, so it is open and never closed. Codes are as people wrote them: upper and lower case are alike.
CREATE SCHEMA asked;

CREATE TABLE asked.opened (id BIGINT PRIMARY KEY, opening_balance NUMERIC NOT NULL);

CREATE FUNCTION asked.opens() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO asked.opened VALUES (NEW.id, NEW.balance)
    ON CONFLICT (id) DO UPDATE SET opening_balance = excluded.opening_balance;
    RETURN NEW;
END $$;

CREATE TRIGGER opens AFTER INSERT ON public.accounts FOR EACH ROW EXECUTE FUNCTION asked.opens();

CREATE VIEW asked.accounts AS
SELECT a.id::bigint AS id, a.customer_id::bigint AS customer_id, upper(trim(a.account_type)) AS account_type, a.currency, o.opening_balance,
       'ACTIVE' AS status, NULL::timestamptz AS closed_at, a.created_at
FROM public.accounts AS a JOIN asked.opened AS o ON o.id = a.id;

CREATE VIEW asked.transactions AS
SELECT id::bigint AS id, account_id::bigint AS account_id, upper(trim(txn_type)) AS txn_type, amount,
       related_account_id::bigint AS related_account_id, upper(trim(status)) AS status, created_at
FROM public.transactions;
