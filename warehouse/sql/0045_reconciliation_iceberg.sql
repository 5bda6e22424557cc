-- when: tables=iceberg
-- The same rows, by the catalog, as 0010's tables.

CREATE ICEBERG TABLE IF NOT EXISTS {{database}}.RAW.GOLD_RECONCILIATION
  EXTERNAL_VOLUME = '{{external_volume}}'
  CATALOG = '{{catalog_integration}}'
  CATALOG_NAMESPACE = 'gold'
  CATALOG_TABLE_NAME = 'reconciliation'
  AUTO_REFRESH = TRUE;
