-- when: tables=loaded
-- The streamed balances beside the source's own, with the lake's columns; append-only, as 0007's tables.

CREATE TABLE IF NOT EXISTS {{database}}.RAW.GOLD_RECONCILIATION (
  ACCOUNT_ID  NUMBER(19,0),
  CURRENCY    VARCHAR,
  STREAMED    NUMBER(38,4),
  SOURCE      NUMBER(38,4),
  DIFFERENCE  NUMBER(38,4),
  IS_COMPLETE BOOLEAN,
  SOURCE_LSN  NUMBER(19,0),
  SOURCE_TS   TIMESTAMP_LTZ(6),
  OP          VARCHAR NOT NULL,
  _TOPIC      VARCHAR NOT NULL,
  _PARTITION  NUMBER(10,0) NOT NULL,
  _OFFSET     NUMBER(19,0) NOT NULL,
  _TIMESTAMP  TIMESTAMP_LTZ(6) NOT NULL,
  _RAW_KEY    BINARY,
  _RAW        BINARY,
  _ERROR      VARCHAR,
  _GENERATION NUMBER(10,0)
)
ENABLE_SCHEMA_EVOLUTION = TRUE
COMMENT = 'Streamed balances of accounts beside those that the source keeps, as of the same commit; every version';
