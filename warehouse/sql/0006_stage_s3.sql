-- when: stage=s3
-- The lake on AWS S3, read by a role of ours that Snowflake may assume: no keys. DESCRIBE INTEGRATION names the user and
-- the external id that the role must trust.

CREATE STORAGE INTEGRATION IF NOT EXISTS {{storage_integration}}
  TYPE = EXTERNAL_STAGE
  STORAGE_PROVIDER = 'S3'
  ENABLED = TRUE
  STORAGE_AWS_ROLE_ARN = '{{aws_role_arn}}'
  STORAGE_ALLOWED_LOCATIONS = ('{{lake_url}}')
  COMMENT = 'Riverbank: reads the lake';

CREATE STAGE IF NOT EXISTS {{database}}.RAW.LAKE
  URL = '{{lake_url}}'
  STORAGE_INTEGRATION = {{storage_integration}}
  COMMENT = 'The lake: a folder per table';
