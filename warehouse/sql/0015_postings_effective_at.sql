-- When the transaction of a posting was made.

ALTER TABLE {{database}}.RAW.SILVER_POSTINGS ADD COLUMN IF NOT EXISTS EFFECTIVE_AT TIMESTAMP_LTZ(6);
