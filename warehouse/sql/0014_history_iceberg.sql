-- when: tables=iceberg
-- The same rows, by the catalog, as 0010's tables.

CREATE ICEBERG TABLE IF NOT EXISTS {{database}}.RAW.GOLD_CUSTOMER_HISTORY
  EXTERNAL_VOLUME = '{{external_volume}}'
  CATALOG = '{{catalog_integration}}'
  CATALOG_NAMESPACE = 'gold'
  CATALOG_TABLE_NAME = 'customer_history'
  AUTO_REFRESH = TRUE;

CREATE ICEBERG TABLE IF NOT EXISTS {{database}}.RAW.GOLD_ACCOUNT_HISTORY
  EXTERNAL_VOLUME = '{{external_volume}}'
  CATALOG = '{{catalog_integration}}'
  CATALOG_NAMESPACE = 'gold'
  CATALOG_TABLE_NAME = 'account_history'
  AUTO_REFRESH = TRUE;
