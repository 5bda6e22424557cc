-- when: tables=loaded
-- When the transaction of a posting was made. An Iceberg table gets the column from its catalog.

ALTER TABLE {{database}}.RAW.SILVER_POSTINGS ADD COLUMN IF NOT EXISTS EFFECTIVE_AT TIMESTAMP_LTZ(6);
