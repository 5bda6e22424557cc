-- What Debezium needs: full old rows, one publication, a heartbeat. Its login is made apart from this (capture_role.sql), since
-- roles belong to the server, not to the database.

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
