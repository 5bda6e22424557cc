-- How the lake's files are read. Logical types: decimals and timestamps are what they say they are. Bytes stay bytes: raw
-- records are no text.

CREATE FILE FORMAT IF NOT EXISTS {{database}}.RAW.LAKE_PARQUET
  TYPE = PARQUET
  USE_LOGICAL_TYPE = TRUE
  USE_VECTORIZED_SCANNER = TRUE
  BINARY_AS_TEXT = FALSE
  COMMENT = 'Parquet of the lake: zstd, decimals, timestamps in microseconds UTC';
