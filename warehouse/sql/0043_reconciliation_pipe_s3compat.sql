-- when: stage=s3compat
-- Its pipe, to which the notifier hands the files, as 0008's.

CREATE PIPE IF NOT EXISTS {{database}}.RAW.GOLD_RECONCILIATION_PIPE AS
COPY INTO {{database}}.RAW.GOLD_RECONCILIATION
FROM @{{database}}.RAW.LAKE/gold.reconciliation/
FILE_FORMAT = (FORMAT_NAME = '{{database}}.RAW.LAKE_PARQUET')
MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE
ON_ERROR = SKIP_FILE;
