-- when: tables=loaded
-- Up to which transaction of the source a balance is. An Iceberg table gets the column from its catalog.

ALTER TABLE {{database}}.RAW.GOLD_ACCOUNT_BALANCES ADD COLUMN IF NOT EXISTS COMMIT_NUMBER NUMBER(19,0);
