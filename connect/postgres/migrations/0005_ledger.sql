-- The ledger again (0002), out of reach of those who write to it, without a copy of a statement's rows, and with what may become
-- of a transaction.
--
-- Who moves a balance? The functions that post are owned by the role riverbank_ledger, which nobody can log in as, and run in its
-- name; accounts_guard lets a balance move for that name alone. A client's own trigger, however deep, runs in the client's name,
-- and no setting of a session changes who it is. The posting functions are for the triggers below: nobody else may execute them,
-- so nobody can hang them on a table of their own.
--
-- What names mean: every function has a search path of its own, so that neither a temporary table `accounts` nor an operator `<>`
-- in a schema of a client's own is met in place of ours.
--
-- What remains possible takes rights that an ordinary login lacks: SET ROLE and session_replication_role (superusers), DISABLE
-- TRIGGER and DROP TRIGGER (owners), triggers of one's own on these tables (the right TRIGGER; grant it to nobody).

DROP TRIGGER ledger_on_insert ON public.transactions;
DROP TRIGGER ledger_on_update ON public.transactions;
DROP TRIGGER ledger_on_delete ON public.transactions;
DROP FUNCTION public.ledger_on_insert(), public.ledger_on_update(), public.ledger_on_delete();
DROP FUNCTION public.ledger_post(TEXT, public.transactions[], public.transactions[]);
DROP FUNCTION public.ledger_legs(public.transactions);

ALTER FUNCTION public.touch_updated_at() SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION public.ledger_refuse_truncate() SET search_path = pg_catalog, pg_temp;

-- What a transaction does to balances: one row per leg, none unless it is COMPLETED. Inlined where it is used.
CREATE FUNCTION public.ledger_legs(account_id BIGINT, related_account_id BIGINT, txn_type TEXT, amount NUMERIC, status TEXT)
RETURNS TABLE (leg_account_id BIGINT, leg_amount NUMERIC) LANGUAGE sql IMMUTABLE AS $$
    SELECT $1, CASE $3 WHEN 'DEPOSIT' THEN $4 ELSE -$4 END WHERE $5 = 'COMPLETED'
    UNION ALL
    SELECT $2, $4 WHERE $5 = 'COMPLETED' AND $3 = 'TRANSFER'
$$;

CREATE FUNCTION public.ledger_refuse(rule TEXT, reason TEXT) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '%', reason
        USING ERRCODE = 'check_violation', SCHEMA = 'public', TABLE = 'transactions', CONSTRAINT = rule;
END $$;

-- Once per statement, straight from the rows that it changed (the transition tables, which go to disk where they are large).
--
-- Why per statement, not per row? All the accounts that the statement touches are then locked at once and in id order, so
-- two statements can never wait for each other, however many transfers each of them writes; and a bulk insert updates each
-- balance once. Balances move in id order, too, so that of several rules the same one is always told.
--
-- Why are two kinds of join and sequential scans off? A session plans these statements once. A plan that suited a bulk load would
-- read all accounts for every single transaction after it; looking accounts up by their key suits both.
CREATE FUNCTION public.ledger_on_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
DECLARE
    offender RECORD;
BEGIN
    PERFORM FROM public.accounts AS a
    JOIN (SELECT account_id AS id FROM new_rows UNION SELECT related_account_id FROM new_rows) AS named ON named.id = a.id
    ORDER BY a.id FOR NO KEY UPDATE OF a;

    SELECT n.account_id, n.related_account_id, n.amount, a.currency, r.currency AS related_currency, c.minor_units,
           CASE WHEN a.status <> 'ACTIVE' THEN a.id WHEN r.status <> 'ACTIVE' THEN r.id END AS inactive_id
    INTO offender
    FROM new_rows AS n
    JOIN public.accounts AS a ON a.id = n.account_id
    LEFT JOIN public.accounts AS r ON r.id = n.related_account_id
    LEFT JOIN public.currencies AS c ON c.code = a.currency
    WHERE a.status <> 'ACTIVE' OR r.status <> 'ACTIVE' OR a.currency <> r.currency
       OR c.code IS NULL OR n.amount <> round(n.amount, c.minor_units)
    LIMIT 1;
    IF offender.inactive_id IS NOT NULL THEN
        PERFORM public.ledger_refuse('transactions_account_active',
            format('account %s is inactive and takes no new transactions', offender.inactive_id));
    ELSIF offender.currency <> offender.related_currency THEN
        PERFORM public.ledger_refuse('transactions_one_currency',
            format('account %s is in %s and account %s in %s: a transfer needs one currency', offender.account_id,
                offender.currency, offender.related_account_id, offender.related_currency));
    ELSIF offender.account_id IS NOT NULL AND offender.minor_units IS NULL THEN
        PERFORM public.ledger_refuse('transactions_currency_current',
            format('account %s is in %s, which is no current currency', offender.account_id, offender.currency));
    ELSIF offender.account_id IS NOT NULL THEN
        PERFORM public.ledger_refuse('transactions_amount_scale',
            format('%s has more decimal places than %s', trim_scale(offender.amount), offender.currency));
    END IF;

    UPDATE public.accounts AS a SET balance = a.balance + change.amount
    FROM (
        SELECT l.leg_account_id AS id, sum(l.leg_amount) AS amount
        FROM new_rows AS n
        CROSS JOIN LATERAL public.ledger_legs(n.account_id, n.related_account_id, n.txn_type, n.amount, n.status) AS l
        GROUP BY l.leg_account_id HAVING sum(l.leg_amount) <> 0 ORDER BY l.leg_account_id
    ) AS change
    WHERE a.id = change.id;
    RETURN NULL;
END $$;

-- An update may do to an account in the ways of history (closed, in a currency that is gone, by an amount that never fitted) what
-- the row did before, and take it back; it may do nothing of the kind anew.
CREATE FUNCTION public.ledger_on_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
DECLARE
    offender RECORD;
BEGIN
    PERFORM FROM public.accounts AS a
    JOIN (
        SELECT account_id AS id FROM new_rows UNION SELECT related_account_id FROM new_rows
        UNION SELECT account_id FROM old_rows UNION SELECT related_account_id FROM old_rows
    ) AS named ON named.id = a.id
    ORDER BY a.id FOR NO KEY UPDATE OF a;

    -- Nearly always nothing is found here, and the old rows need not be compared.
    PERFORM FROM new_rows AS n
    JOIN public.accounts AS a ON a.id = n.account_id
    LEFT JOIN public.accounts AS r ON r.id = n.related_account_id
    LEFT JOIN public.currencies AS c ON c.code = a.currency
    WHERE a.status <> 'ACTIVE' OR r.status <> 'ACTIVE' OR a.currency <> r.currency
       OR c.code IS NULL OR n.amount <> round(n.amount, c.minor_units)
    LIMIT 1;
    IF FOUND THEN
        -- A closed account: no transaction may newly name it, none may newly do something to its balance.
        SELECT a.id INTO offender
        FROM (
            SELECT id FROM (
                SELECT named.id FROM new_rows AS n CROSS JOIN LATERAL (VALUES (n.account_id), (n.related_account_id)) AS named (id)
                EXCEPT ALL
                SELECT named.id FROM old_rows AS o CROSS JOIN LATERAL (VALUES (o.account_id), (o.related_account_id)) AS named (id)
            ) AS newly_named
            UNION ALL
            SELECT id FROM (
                SELECT l.leg_account_id AS id, l.leg_amount FROM new_rows AS n
                CROSS JOIN LATERAL public.ledger_legs(n.account_id, n.related_account_id, n.txn_type, n.amount, n.status) AS l
                EXCEPT ALL
                SELECT l.leg_account_id, l.leg_amount FROM old_rows AS o
                CROSS JOIN LATERAL public.ledger_legs(o.account_id, o.related_account_id, o.txn_type, o.amount, o.status) AS l
            ) AS newly_posted
        ) AS touched
        JOIN public.accounts AS a ON a.id = touched.id
        WHERE a.status <> 'ACTIVE' LIMIT 1;
        IF FOUND THEN
            PERFORM public.ledger_refuse('transactions_account_active',
                format('account %s is inactive and takes nothing new', offender.id));
        END IF;

        SELECT n.account_id, a.currency, n.related_account_id, r.currency AS related_currency INTO offender
        FROM new_rows AS n
        JOIN public.accounts AS a ON a.id = n.account_id
        JOIN public.accounts AS r ON r.id = n.related_account_id
        WHERE a.currency <> r.currency LIMIT 1;
        IF FOUND THEN
            PERFORM public.ledger_refuse('transactions_one_currency',
                format('account %s is in %s and account %s in %s: a transfer needs one currency', offender.account_id,
                    offender.currency, offender.related_account_id, offender.related_currency));
        END IF;

        -- An amount that does not fit: neither newly on the account nor newly completed.
        SELECT misfit.account_id, misfit.amount, a.currency, c.minor_units INTO offender
        FROM (
            SELECT account_id, amount, status = 'COMPLETED' FROM new_rows
            EXCEPT
            SELECT account_id, amount, is_posted FROM old_rows CROSS JOIN (VALUES (FALSE), (TRUE)) AS either (is_posted)
            WHERE status = 'COMPLETED' OR NOT is_posted
        ) AS misfit (account_id, amount, is_posted)
        JOIN public.accounts AS a ON a.id = misfit.account_id
        LEFT JOIN public.currencies AS c ON c.code = a.currency
        WHERE c.code IS NULL OR misfit.amount <> round(misfit.amount, c.minor_units) LIMIT 1;
        IF FOUND AND offender.minor_units IS NULL THEN
            PERFORM public.ledger_refuse('transactions_currency_current',
                format('account %s is in %s, which is no current currency', offender.account_id, offender.currency));
        ELSIF FOUND THEN
            PERFORM public.ledger_refuse('transactions_amount_scale',
                format('%s has more decimal places than %s', trim_scale(offender.amount), offender.currency));
        END IF;
    END IF;

    UPDATE public.accounts AS a SET balance = a.balance + change.amount
    FROM (
        SELECT leg.id, sum(leg.amount) AS amount FROM (
            SELECT l.leg_account_id AS id, l.leg_amount AS amount FROM new_rows AS n
            CROSS JOIN LATERAL public.ledger_legs(n.account_id, n.related_account_id, n.txn_type, n.amount, n.status) AS l
            UNION ALL
            SELECT l.leg_account_id, -l.leg_amount FROM old_rows AS o
            CROSS JOIN LATERAL public.ledger_legs(o.account_id, o.related_account_id, o.txn_type, o.amount, o.status) AS l
        ) AS leg GROUP BY leg.id HAVING sum(leg.amount) <> 0 ORDER BY leg.id
    ) AS change
    WHERE a.id = change.id;
    RETURN NULL;
END $$;

-- A row may always go, whatever its accounts have become; the books follow.
CREATE FUNCTION public.ledger_on_delete() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
    PERFORM FROM public.accounts AS a
    JOIN (SELECT account_id AS id FROM old_rows UNION SELECT related_account_id FROM old_rows) AS named ON named.id = a.id
    ORDER BY a.id FOR NO KEY UPDATE OF a;

    UPDATE public.accounts AS a SET balance = a.balance - change.amount
    FROM (
        SELECT l.leg_account_id AS id, sum(l.leg_amount) AS amount
        FROM old_rows AS o
        CROSS JOIN LATERAL public.ledger_legs(o.account_id, o.related_account_id, o.txn_type, o.amount, o.status) AS l
        GROUP BY l.leg_account_id HAVING sum(l.leg_amount) <> 0 ORDER BY l.leg_account_id
    ) AS change
    WHERE a.id = change.id;
    RETURN NULL;
END $$;

CREATE TRIGGER ledger_on_insert AFTER INSERT ON public.transactions
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.ledger_on_insert();
CREATE TRIGGER ledger_on_update AFTER UPDATE ON public.transactions
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.ledger_on_update();
CREATE TRIGGER ledger_on_delete AFTER DELETE ON public.transactions
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.ledger_on_delete();

-- What may become of a transaction:
--
--     PENDING ──► COMPLETED ──► REVERSED
--        └──────► FAILED
--
-- It may begin as anything (a row may be imported long after the fact), and its other columns may change at any time.
CREATE FUNCTION public.transactions_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.status <> OLD.status
       AND (OLD.status, NEW.status) NOT IN (('PENDING', 'COMPLETED'), ('PENDING', 'FAILED'), ('COMPLETED', 'REVERSED')) THEN
        PERFORM public.ledger_refuse('transactions_status_flow',
            format('transaction %s is %s and cannot become %s', OLD.id, OLD.status, NEW.status));
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER transactions_guard BEFORE UPDATE ON public.transactions
    FOR EACH ROW EXECUTE FUNCTION public.transactions_guard();

-- The other half of the rule: nothing but the ledger moves a balance.
CREATE OR REPLACE FUNCTION public.accounts_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.opening_balance := coalesce(NEW.opening_balance, NEW.balance, 0);
        NEW.balance := NEW.opening_balance;
    ELSE
        IF NEW.opening_balance <> OLD.opening_balance THEN
            RAISE EXCEPTION 'the opening balance of account % cannot change; post a transaction instead', OLD.id
                USING ERRCODE = 'check_violation', TABLE = 'accounts', CONSTRAINT = 'accounts_opening_balance_fixed';
        END IF;
        IF NEW.balance <> OLD.balance AND current_user <> 'riverbank_ledger' THEN
            RAISE EXCEPTION 'the balance of account % is moved by transactions alone', OLD.id
                USING ERRCODE = 'check_violation', TABLE = 'accounts', CONSTRAINT = 'accounts_balance_by_ledger';
        END IF;
        -- Two questions, not one joined by AND: whether its second half is asked at all would be the planner's choice, and the ledger
        -- may not read transactions.
        IF NEW.currency <> OLD.currency THEN
            -- A snapshot from before a transaction does not show it, and nothing else of it may have touched this row.
            IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
                RAISE EXCEPTION 'the currency of account % can change in a transaction that is READ COMMITTED alone', OLD.id
                    USING ERRCODE = 'check_violation', TABLE = 'accounts', CONSTRAINT = 'accounts_currency_fixed';
            END IF;
            IF EXISTS (SELECT FROM public.transactions WHERE OLD.id IN (account_id, related_account_id)) THEN
                RAISE EXCEPTION 'account % has transactions; its currency cannot change', OLD.id
                    USING ERRCODE = 'check_violation', TABLE = 'accounts', CONSTRAINT = 'accounts_currency_fixed';
            END IF;
        END IF;
    END IF;
    IF TG_OP = 'INSERT' OR NEW.currency <> OLD.currency THEN
        IF EXISTS (SELECT FROM public.currencies
                   WHERE code = NEW.currency AND NEW.opening_balance <> round(NEW.opening_balance, minor_units)) THEN
            RAISE EXCEPTION 'the opening balance % has more decimal places than %', trim_scale(NEW.opening_balance), NEW.currency
                USING ERRCODE = 'check_violation', TABLE = 'accounts', CONSTRAINT = 'accounts_opening_balance_scale';
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

-- Passes over ids that rows brought along (an import), of which the identity of a table knows nothing: without it, every insert
-- after the import fails until the identity has caught up. Never backwards. For whoever may insert into the table, owner or not.
CREATE FUNCTION public.pass_over_ids(table_name TEXT) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    identity REGCLASS;
    taken    BIGINT;
    given    BIGINT;
BEGIN
    IF table_name NOT IN ('customers', 'accounts', 'transactions')
       OR NOT has_table_privilege(session_user, format('public.%I', table_name), 'INSERT') THEN
        RAISE EXCEPTION 'the identity of % is not yours to move', table_name USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- One after the other: the second finds the work done.
    PERFORM pg_advisory_xact_lock(hashtextextended('riverbank.pass_over_ids', 0));
    identity := pg_get_serial_sequence(format('public.%I', table_name), 'id')::regclass;
    EXECUTE format('SELECT max(id) FROM public.%I', table_name) INTO taken;
    given := nextval(identity);
    -- A jump could throw back an insert that draws an id meanwhile; so only a long way is jumped, and the rest is counted.
    IF taken - given > 10000 THEN
        given := setval(identity, taken);
    END IF;
    WHILE given < taken LOOP
        given := nextval(identity);
    END LOOP;
END $$;

-- Makes the role and gives it what it needs: to see accounts and lock them, to move balances, to see ids and move identities.
-- Roles belong to the server, not to the database, so this is repeated at each start of `riverbank connect`: in a database that
-- was restored on another server the functions belong to whoever restored it, and the ledger refuses everything until then.
CREATE FUNCTION public.ledger_set_up_role() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_superuser BOOLEAN := current_setting('is_superuser')::boolean;
    program      REGPROCEDURE;
    relation     TEXT;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('riverbank.ledger_set_up_role', 0));
    BEGIN
        -- Another database of this server may have made it already, or be making it now.
        IF to_regrole('riverbank_ledger') IS NULL THEN
            CREATE ROLE riverbank_ledger NOLOGIN;
        END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
    END;
    GRANT USAGE ON SCHEMA public TO riverbank_ledger;
    GRANT SELECT, UPDATE (balance) ON public.accounts TO riverbank_ledger;
    GRANT SELECT ON public.currencies TO riverbank_ledger;
    FOREACH relation IN ARRAY ARRAY['public.customers', 'public.accounts', 'public.transactions'] LOOP
        EXECUTE format('GRANT SELECT (id) ON %s TO riverbank_ledger', relation);
        EXECUTE format('GRANT UPDATE ON SEQUENCE %s TO riverbank_ledger', pg_get_serial_sequence(relation, 'id'));
    END LOOP;

    FOR program IN
        SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
          AND proname IN ('ledger_on_insert', 'ledger_on_update', 'ledger_on_delete', 'pass_over_ids')
          AND pg_get_userbyid(proowner) <> 'riverbank_ledger'
    LOOP
        IF program <> 'public.pass_over_ids(text)'::regprocedure THEN
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', program);
        END IF;
        -- Who is no superuser gives a function only to a role that they are a member of and that may create in the schema.
        IF NOT is_superuser THEN
            EXECUTE format('GRANT riverbank_ledger TO %I', current_user);
            GRANT CREATE ON SCHEMA public TO riverbank_ledger;
        END IF;
        EXECUTE format('ALTER FUNCTION %s OWNER TO riverbank_ledger', program);
        IF NOT is_superuser THEN
            REVOKE CREATE ON SCHEMA public FROM riverbank_ledger;
            EXECUTE format('REVOKE riverbank_ledger FROM %I', current_user);
        END IF;
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION public.ledger_set_up_role() FROM PUBLIC;

SELECT public.ledger_set_up_role();
