-- The ledger rule: for every account, at every commit, balance = opening_balance + the sum of its COMPLETED transactions,
-- whoever wrote the rows and however.

-- What a transaction does to balances: one row per leg, none unless it is COMPLETED.
CREATE FUNCTION ledger_legs(t transactions) RETURNS TABLE (account_id BIGINT, amount NUMERIC)
LANGUAGE sql IMMUTABLE AS $$
    SELECT t.account_id, CASE t.txn_type WHEN 'DEPOSIT' THEN t.amount ELSE -t.amount END WHERE t.status = 'COMPLETED'
    UNION ALL
    SELECT t.related_account_id, t.amount WHERE t.status = 'COMPLETED' AND t.txn_type = 'TRANSFER'
$$;

-- Posts what a statement changed, once per statement. The rows old_rows and new_rows are empty where the operation has none.
--
-- Why per statement, not per row? All the accounts that the statement touches are then locked at once and in id order, so
-- two statements can never wait for each other, however many transfers each of them writes; and a bulk insert updates each
-- balance once.
CREATE FUNCTION ledger_post(operation TEXT, old_rows transactions[], new_rows transactions[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    touched  BIGINT[];
    offender RECORD;
BEGIN
    SELECT array_agg(DISTINCT id) INTO touched FROM (
        SELECT unnest(ARRAY[r.account_id, r.related_account_id]) AS id FROM unnest(old_rows || new_rows) AS r
    ) AS ids WHERE id IS NOT NULL;

    PERFORM 1 FROM accounts WHERE id = ANY (touched) ORDER BY id FOR NO KEY UPDATE;

    IF operation = 'INSERT' THEN
        SELECT n.id, a.id AS account_id INTO offender
        FROM unnest(new_rows) AS n JOIN accounts AS a ON a.id IN (n.account_id, n.related_account_id)
        WHERE a.status <> 'ACTIVE' LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'account % is inactive and takes no new transactions', offender.account_id
                USING ERRCODE = 'check_violation', TABLE = 'transactions', CONSTRAINT = 'transactions_account_active';
        END IF;
    END IF;

    SELECT n.account_id, n.related_account_id, a.currency AS from_currency, r.currency AS to_currency INTO offender
    FROM unnest(new_rows) AS n
    JOIN accounts AS a ON a.id = n.account_id
    JOIN accounts AS r ON r.id = n.related_account_id
    WHERE a.currency <> r.currency LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'account % is in % and account % in %: a transfer needs one currency',
            offender.account_id, offender.from_currency, offender.related_account_id, offender.to_currency
            USING ERRCODE = 'check_violation', TABLE = 'transactions', CONSTRAINT = 'transactions_one_currency';
    END IF;

    UPDATE accounts SET balance = balance + change.amount
    FROM (
        SELECT leg.account_id, sum(leg.amount) AS amount FROM (
            SELECT l.account_id, l.amount FROM unnest(new_rows) AS n CROSS JOIN LATERAL ledger_legs(n) AS l
            UNION ALL
            SELECT l.account_id, -l.amount FROM unnest(old_rows) AS o CROSS JOIN LATERAL ledger_legs(o) AS l
        ) AS leg GROUP BY leg.account_id HAVING sum(leg.amount) <> 0
    ) AS change
    WHERE accounts.id = change.account_id;
END $$;

CREATE FUNCTION ledger_on_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ledger_post('INSERT', '{}', (SELECT array_agg(r::transactions) FROM new_rows AS r));
    RETURN NULL;
END $$;

CREATE FUNCTION ledger_on_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ledger_post('UPDATE', (SELECT array_agg(r::transactions) FROM old_rows AS r),
                                  (SELECT array_agg(r::transactions) FROM new_rows AS r));
    RETURN NULL;
END $$;

CREATE FUNCTION ledger_on_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ledger_post('DELETE', (SELECT array_agg(r::transactions) FROM old_rows AS r), '{}');
    RETURN NULL;
END $$;

CREATE FUNCTION ledger_refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'transactions cannot be truncated: the balances would no longer follow from them; delete the rows instead'
        USING ERRCODE = 'feature_not_supported';
END $$;

CREATE TRIGGER ledger_on_insert AFTER INSERT ON transactions
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION ledger_on_insert();
CREATE TRIGGER ledger_on_update AFTER UPDATE ON transactions
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION ledger_on_update();
CREATE TRIGGER ledger_on_delete AFTER DELETE ON transactions
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION ledger_on_delete();
CREATE TRIGGER ledger_refuse_truncate BEFORE TRUNCATE ON transactions
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_truncate();

-- The other half of the rule: nothing but the ledger moves a balance.
CREATE FUNCTION accounts_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.opening_balance := coalesce(NEW.opening_balance, NEW.balance, 0);
        NEW.balance := NEW.opening_balance;
    ELSE
        IF NEW.opening_balance <> OLD.opening_balance THEN
            RAISE EXCEPTION 'the opening balance of account % cannot change; post a transaction instead', OLD.id
                USING ERRCODE = 'check_violation', TABLE = 'accounts', CONSTRAINT = 'accounts_opening_balance_fixed';
        END IF;
        -- Depth 1 is a statement of a client; the ledger updates from within a trigger of its own.
        IF NEW.balance <> OLD.balance AND pg_trigger_depth() = 1 THEN
            RAISE EXCEPTION 'the balance of account % is moved by transactions alone', OLD.id
                USING ERRCODE = 'check_violation', TABLE = 'accounts', CONSTRAINT = 'accounts_balance_by_ledger';
        END IF;
        IF NEW.currency <> OLD.currency
           AND EXISTS (SELECT FROM transactions WHERE OLD.id IN (account_id, related_account_id)) THEN
            RAISE EXCEPTION 'account % has transactions; its currency cannot change', OLD.id
                USING ERRCODE = 'check_violation', TABLE = 'accounts', CONSTRAINT = 'accounts_currency_fixed';
        END IF;
    END IF;
    -- closed_at follows the status, so that a writer who sets one of the two cannot contradict the other.
    IF NEW.status = 'INACTIVE' THEN
        NEW.closed_at := coalesce(NEW.closed_at, now());
    ELSE
        NEW.closed_at := NULL;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER accounts_guard BEFORE INSERT OR UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION accounts_guard();
