-- when: tables=loaded
-- Which posting of its account each is, the balance after it, and when it was known; of an account, whether the source keeps its balance. An
-- Iceberg table gets the columns from its catalog.

ALTER TABLE {{database}}.RAW.SILVER_POSTINGS ADD COLUMN IF NOT EXISTS ENTRY_NUMBER NUMBER(19,0);
ALTER TABLE {{database}}.RAW.SILVER_POSTINGS ADD COLUMN IF NOT EXISTS BALANCE_AFTER NUMBER(38,4);
ALTER TABLE {{database}}.RAW.SILVER_POSTINGS ADD COLUMN IF NOT EXISTS RECORDED_AT TIMESTAMP_LTZ(6);
ALTER TABLE {{database}}.RAW.SILVER_ACCOUNTS ADD COLUMN IF NOT EXISTS BALANCE_FROM VARCHAR;
