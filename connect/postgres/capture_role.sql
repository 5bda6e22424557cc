-- The login of the connector, with least privilege: it may replicate, read what the publication holds, and write the
-- heartbeat. Safe to repeat; run in each database that is captured. The password is set apart.

DO $$
DECLARE
    captured REGCLASS;
BEGIN
    -- Another database of this server may have made it already, or be making it now.
    BEGIN
        CREATE ROLE riverbank_cdc NOLOGIN REPLICATION;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
    END;

    GRANT USAGE ON SCHEMA public TO riverbank_cdc;
    FOR captured IN
        SELECT format('%I.%I', schemaname, tablename)::regclass FROM pg_publication_tables WHERE pubname = 'riverbank'
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO riverbank_cdc', captured);
    END LOOP;
    IF to_regclass('public.riverbank_heartbeat') IS NOT NULL THEN
        GRANT INSERT, UPDATE ON riverbank_heartbeat TO riverbank_cdc;
    END IF;
    IF to_regclass('public.riverbank_signals') IS NOT NULL THEN
        GRANT INSERT, DELETE ON riverbank_signals TO riverbank_cdc;
    END IF;
END $$;
