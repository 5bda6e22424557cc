-- when: tables=iceberg
-- The same rows, by the catalog, as 0010's tables.

CREATE ICEBERG TABLE IF NOT EXISTS {{database}}.RAW.GOLD_CUSTOMER_POSITIONS
  EXTERNAL_VOLUME = '{{external_volume}}'
  CATALOG = '{{catalog_integration}}'
  CATALOG_NAMESPACE = 'gold'
  CATALOG_TABLE_NAME = 'customer_positions'
  AUTO_REFRESH = TRUE;

CREATE ICEBERG TABLE IF NOT EXISTS {{database}}.RAW.GOLD_ACCOUNT_DAILY
  EXTERNAL_VOLUME = '{{external_volume}}'
  CATALOG = '{{catalog_integration}}'
  CATALOG_NAMESPACE = 'gold'
  CATALOG_TABLE_NAME = 'account_daily'
  AUTO_REFRESH = TRUE;

CREATE ICEBERG TABLE IF NOT EXISTS {{database}}.RAW.GOLD_BANK_DAILY
  EXTERNAL_VOLUME = '{{external_volume}}'
  CATALOG = '{{catalog_integration}}'
  CATALOG_NAMESPACE = 'gold'
  CATALOG_TABLE_NAME = 'bank_daily'
  AUTO_REFRESH = TRUE;

CREATE ICEBERG TABLE IF NOT EXISTS {{database}}.RAW.GOLD_TRANSACTION_MINUTES
  EXTERNAL_VOLUME = '{{external_volume}}'
  CATALOG = '{{catalog_integration}}'
  CATALOG_NAMESPACE = 'gold'
  CATALOG_TABLE_NAME = 'transaction_minutes'
  AUTO_REFRESH = TRUE;
