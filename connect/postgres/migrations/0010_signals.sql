-- Where an operator tells the connector what to do, such as to read a table again while it streams (an incremental snapshot), which
-- repairs rows whose changes were lost. Debezium reads it from the write-ahead log and writes its own marks here.
CREATE TABLE riverbank_signals (
    id   VARCHAR(64) PRIMARY KEY,
    type VARCHAR(32) NOT NULL,
    data TEXT
);
ALTER PUBLICATION riverbank ADD TABLE riverbank_signals;
