-- when: tables=iceberg
-- The same rows without any load: the lake's Iceberg tables, by their catalog. They have the names of 0007's tables, so
-- that every view reads either. The catalog is read again every 30 seconds.

CREATE EXTERNAL VOLUME IF NOT EXISTS {{external_volume}}
  STORAGE_LOCATIONS = (
    (
      NAME = 'lake'
      STORAGE_PROVIDER = 'S3COMPAT'
      STORAGE_BASE_URL = '{{iceberg_url}}'
      CREDENTIALS = (AWS_KEY_ID = '{{s3_key_id}}' AWS_SECRET_KEY = '{{s3_secret_key}}')
      STORAGE_ENDPOINT = '{{s3_endpoint}}'
    )
  )
  ALLOW_WRITES = FALSE;

CREATE CATALOG INTEGRATION IF NOT EXISTS {{catalog_integration}}
  CATALOG_SOURCE = ICEBERG_REST
  TABLE_FORMAT = ICEBERG
  REST_CONFIG = (CATALOG_URI = '{{iceberg_catalog_uri}}' CATALOG_NAME = '{{iceberg_warehouse}}')
  REST_AUTHENTICATION = (TYPE = BEARER BEARER_TOKEN = '{{iceberg_token}}')
  REFRESH_INTERVAL_SECONDS = 30
  ENABLED = TRUE;

CREATE ICEBERG TABLE IF NOT EXISTS {{database}}.RAW.BRONZE_CUSTOMERS
  EXTERNAL_VOLUME = '{{external_volume}}'
  CATALOG = '{{catalog_integration}}'
  CATALOG_NAMESPACE = 'bronze'
  CATALOG_TABLE_NAME = 'customers'
  AUTO_REFRESH = TRUE;

CREATE ICEBERG TABLE IF NOT EXISTS {{database}}.RAW.BRONZE_ACCOUNTS
  EXTERNAL_VOLUME = '{{external_volume}}'
  CATALOG = '{{catalog_integration}}'
  CATALOG_NAMESPACE = 'bronze'
  CATALOG_TABLE_NAME = 'accounts'
  AUTO_REFRESH = TRUE;

CREATE ICEBERG TABLE IF NOT EXISTS {{database}}.RAW.BRONZE_TRANSACTIONS
  EXTERNAL_VOLUME = '{{external_volume}}'
  CATALOG = '{{catalog_integration}}'
  CATALOG_NAMESPACE = 'bronze'
  CATALOG_TABLE_NAME = 'transactions'
  AUTO_REFRESH = TRUE;

CREATE ICEBERG TABLE IF NOT EXISTS {{database}}.RAW.SILVER_CUSTOMERS
  EXTERNAL_VOLUME = '{{external_volume}}'
  CATALOG = '{{catalog_integration}}'
  CATALOG_NAMESPACE = 'silver'
  CATALOG_TABLE_NAME = 'customers'
  AUTO_REFRESH = TRUE;

CREATE ICEBERG TABLE IF NOT EXISTS {{database}}.RAW.SILVER_ACCOUNTS
  EXTERNAL_VOLUME = '{{external_volume}}'
  CATALOG = '{{catalog_integration}}'
  CATALOG_NAMESPACE = 'silver'
  CATALOG_TABLE_NAME = 'accounts'
  AUTO_REFRESH = TRUE;

CREATE ICEBERG TABLE IF NOT EXISTS {{database}}.RAW.SILVER_TRANSACTIONS
  EXTERNAL_VOLUME = '{{external_volume}}'
  CATALOG = '{{catalog_integration}}'
  CATALOG_NAMESPACE = 'silver'
  CATALOG_TABLE_NAME = 'transactions'
  AUTO_REFRESH = TRUE;

CREATE ICEBERG TABLE IF NOT EXISTS {{database}}.RAW.SILVER_POSTINGS
  EXTERNAL_VOLUME = '{{external_volume}}'
  CATALOG = '{{catalog_integration}}'
  CATALOG_NAMESPACE = 'silver'
  CATALOG_TABLE_NAME = 'postings'
  AUTO_REFRESH = TRUE;

CREATE ICEBERG TABLE IF NOT EXISTS {{database}}.RAW.SILVER_REJECTED
  EXTERNAL_VOLUME = '{{external_volume}}'
  CATALOG = '{{catalog_integration}}'
  CATALOG_NAMESPACE = 'silver'
  CATALOG_TABLE_NAME = 'rejected'
  AUTO_REFRESH = TRUE;

CREATE ICEBERG TABLE IF NOT EXISTS {{database}}.RAW.GOLD_ACCOUNT_BALANCES
  EXTERNAL_VOLUME = '{{external_volume}}'
  CATALOG = '{{catalog_integration}}'
  CATALOG_NAMESPACE = 'gold'
  CATALOG_TABLE_NAME = 'account_balances'
  AUTO_REFRESH = TRUE;
