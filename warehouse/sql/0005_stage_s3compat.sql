-- when: stage=s3compat
-- The lake on S3-compatible storage. Snowflake must reach the endpoint by TLS, and reads with a key: there are no
-- integrations for such storage.

CREATE STAGE IF NOT EXISTS {{database}}.RAW.LAKE
  URL = '{{lake_url}}'
  ENDPOINT = '{{s3_endpoint}}'
  CREDENTIALS = (AWS_KEY_ID = '{{s3_key_id}}' AWS_SECRET_KEY = '{{s3_secret_key}}')
  COMMENT = 'The lake: a folder per table';
