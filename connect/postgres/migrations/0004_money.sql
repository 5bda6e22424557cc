-- Money at its currency's scale: the currencies of ISO 4217 with their minor units, amounts of up to four decimal places, and
-- nothing that is not a number. Rewrites accounts and transactions while nobody else can use them: on a large bank, a window.

-- ISO 4217, list one of 2026-01-01: every current currency and fund that has minor units (precious metals, test codes and the
-- units of account without them are no currency of an account). A later change of the list is a later migration.
CREATE TABLE public.currencies (
    code        CHAR(3) PRIMARY KEY
        CONSTRAINT currencies_code_letters CHECK (code ~ '^[A-Z]{3}$'),
    minor_units SMALLINT NOT NULL
        CONSTRAINT currencies_minor_units_known CHECK (minor_units BETWEEN 0 AND 4)
);

INSERT INTO public.currencies (code, minor_units)
SELECT code, minor_units
FROM (VALUES
    (0, 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF'),
    (2, 'AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP '
        'COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR '
        'JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN '
        'NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL '
        'THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG'),
    (3, 'BHD IQD JOD KWD LYD OMR TND'),
    (4, 'CLF UYW')
) AS list (minor_units, codes)
CROSS JOIN LATERAL unnest(string_to_array(codes, ' ')) AS code;

-- Reference data: whoever opens an account is checked against it in their own name.
GRANT SELECT ON public.currencies TO PUBLIC;

-- NaN passed the checks so far: to Postgres it is greater than every number. No migration can know which amount was meant.
DO $$
DECLARE
    offenders TEXT;
BEGIN
    SELECT string_agg(id::text, ', ') INTO offenders
    FROM (SELECT id FROM public.transactions WHERE amount = 'NaN' ORDER BY id LIMIT 20) AS t;
    IF offenders IS NOT NULL THEN
        RAISE EXCEPTION 'the amount of these transactions is not a number: %. Delete them, or set their amounts; then migrate again, '
            'which computes the balances of their accounts anew', offenders;
    END IF;
    SELECT string_agg(id::text, ', ') INTO offenders
    FROM (SELECT id FROM public.accounts WHERE opening_balance = 'NaN' ORDER BY id LIMIT 20) AS a;
    IF offenders IS NOT NULL THEN
        RAISE EXCEPTION 'the opening balance of these accounts is not a number: %. Set it (ALTER TABLE accounts DISABLE TRIGGER '
            'accounts_guard; UPDATE accounts SET opening_balance = ...; ALTER TABLE accounts ENABLE TRIGGER accounts_guard); then '
            'migrate again, which computes their balances anew', offenders;
    END IF;
    -- NaN less NaN is NaN: a balance that once was none does not recover by itself.
    IF EXISTS (SELECT FROM public.accounts WHERE balance = 'NaN') THEN
        ALTER TABLE public.accounts DISABLE TRIGGER accounts_guard;
        UPDATE public.accounts AS a SET balance = opening_balance + coalesce((
            SELECT sum(CASE WHEN t.txn_type = 'DEPOSIT' OR t.related_account_id = a.id THEN t.amount ELSE -t.amount END)
            FROM public.transactions AS t WHERE t.status = 'COMPLETED' AND a.id IN (t.account_id, t.related_account_id)), 0)
        WHERE balance = 'NaN';
        ALTER TABLE public.accounts ENABLE TRIGGER accounts_guard;
    END IF;
END $$;

-- Infinities need no check of their own: a column of fixed precision takes none.
ALTER TABLE public.accounts
    ALTER COLUMN opening_balance TYPE NUMERIC(20, 4),
    ALTER COLUMN balance TYPE NUMERIC(20, 4),
    ADD CONSTRAINT accounts_opening_balance_is_number CHECK (opening_balance <> 'NaN'),
    ADD CONSTRAINT accounts_balance_is_number CHECK (balance <> 'NaN');
ALTER TABLE public.transactions
    ALTER COLUMN amount TYPE NUMERIC(20, 4),
    ADD CONSTRAINT transactions_amount_is_number CHECK (amount <> 'NaN');

-- History may hold accounts in currencies that are gone (BGN, HRK) and amounts that never fitted (JPY 0.50). They stay, can be
-- read, corrected and reversed; nothing new like them is taken (0005).
ALTER TABLE public.accounts
    ADD CONSTRAINT accounts_currency_known FOREIGN KEY (currency) REFERENCES public.currencies (code) NOT VALID;

DO $$
DECLARE
    offenders TEXT;
BEGIN
    SELECT string_agg(format('%s (%s)', id, currency), ', ') INTO offenders
    FROM (SELECT id, currency FROM public.accounts AS a
          WHERE NOT EXISTS (SELECT FROM public.currencies AS c WHERE c.code = a.currency) ORDER BY id LIMIT 20) AS a;
    IF offenders IS NULL THEN
        ALTER TABLE public.accounts VALIDATE CONSTRAINT accounts_currency_known;
    ELSE
        RAISE WARNING 'these accounts are in no current currency of ISO 4217 and take no new transactions: %', offenders;
    END IF;
    SELECT string_agg(format('%s (%s %s)', id, currency, amount), ', ') INTO offenders
    FROM (SELECT t.id, a.currency, t.amount FROM public.transactions AS t
          JOIN public.accounts AS a ON a.id = t.account_id
          JOIN public.currencies AS c ON c.code = a.currency
          WHERE t.amount <> round(t.amount, c.minor_units) ORDER BY t.id LIMIT 20) AS t;
    IF offenders IS NOT NULL THEN
        RAISE WARNING 'the amounts of these transactions have more decimal places than their currency; correct or reverse them: %',
            offenders;
    END IF;
    SELECT string_agg(format('%s (%s %s)', id, currency, opening_balance), ', ') INTO offenders
    FROM (SELECT a.id, a.currency, a.opening_balance FROM public.accounts AS a
          JOIN public.currencies AS c ON c.code = a.currency
          WHERE a.opening_balance <> round(a.opening_balance, c.minor_units) ORDER BY a.id LIMIT 20) AS a;
    IF offenders IS NOT NULL THEN
        RAISE WARNING 'the opening balances of these accounts have more decimal places than their currency: %', offenders;
    END IF;
END $$;
