-- What Debezium needs, and no more: full old rows, one publication, a heartbeat, and a role that can only read and replicate.

ALTER TABLE customers REPLICA IDENTITY FULL;
ALTER TABLE accounts REPLICA IDENTITY FULL;
ALTER TABLE transactions REPLICA IDENTITY FULL;

-- Written by the connector itself at an interval: while the bank is idle, but other databases of the server are not, the
-- replication slot would otherwise hold back the whole server's log.
CREATE TABLE riverbank_heartbeat (
    id      INT PRIMARY KEY CONSTRAINT riverbank_heartbeat_one_row CHECK (id = 1),
    beat_at TIMESTAMPTZ NOT NULL
);
INSERT INTO riverbank_heartbeat (id, beat_at) VALUES (1, now());

CREATE PUBLICATION riverbank FOR TABLE customers, accounts, transactions, riverbank_heartbeat;

-- Roles belong to the server, not to the database: another database may have made it already. It can log in once its
-- password is set, which is no migration's business.
DO $$
BEGIN
    CREATE ROLE riverbank_cdc NOLOGIN REPLICATION;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END $$;

GRANT USAGE ON SCHEMA public TO riverbank_cdc;
GRANT SELECT ON customers, accounts, transactions TO riverbank_cdc;
GRANT SELECT, INSERT, UPDATE ON riverbank_heartbeat TO riverbank_cdc;
