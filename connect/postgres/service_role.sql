-- The login of the HTTP service, with least privilege: it reads and writes the rows of the bank's three tables, and nothing
-- else. The ledger's triggers run within those rights. Safe to repeat; the password is set apart.

DO $$
BEGIN
    -- Another database of this server may have made it already, or be making it now.
    BEGIN
        CREATE ROLE riverbank_service NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
    END;

    GRANT USAGE ON SCHEMA public TO riverbank_service;
    GRANT SELECT, INSERT, UPDATE, DELETE ON public.customers, public.accounts, public.transactions TO riverbank_service;
END $$;
