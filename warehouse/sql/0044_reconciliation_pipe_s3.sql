-- when: stage=s3
-- Its pipe, which S3 itself reports new files to, as 0009's.

CREATE PIPE IF NOT EXISTS {{database}}.RAW.GOLD_RECONCILIATION_PIPE AUTO_INGEST = TRUE AS
COPY INTO {{database}}.RAW.GOLD_RECONCILIATION
FROM @{{database}}.RAW.LAKE/gold.reconciliation/
FILE_FORMAT = (FORMAT_NAME = '{{database}}.RAW.LAKE_PARQUET')
MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE
ON_ERROR = SKIP_FILE;
