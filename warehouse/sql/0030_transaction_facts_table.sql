-- when: tables=loaded
-- The fact table: transactions with what their accounts were at their time; append-only, as 0007's tables.

CREATE TABLE IF NOT EXISTS {{database}}.RAW.GOLD_TRANSACTIONS (
  TRANSACTION_ID     NUMBER(19,0),
  ACCOUNT_ID         NUMBER(19,0),
  ACCOUNT_VERSION    NUMBER(19,0),
  CUSTOMER_ID        NUMBER(19,0),
  ACCOUNT_TYPE       VARCHAR,
  CURRENCY           VARCHAR,
  TXN_TYPE           VARCHAR,
  AMOUNT             NUMBER(38,4),
  RELATED_ACCOUNT_ID NUMBER(19,0),
  STATUS             VARCHAR,
  CREATED_AT         TIMESTAMP_LTZ(6),
  UPDATED_AT         TIMESTAMP_LTZ(6),
  SOURCE_LSN         NUMBER(19,0),
  SOURCE_TS          TIMESTAMP_LTZ(6),
  OP                 VARCHAR NOT NULL,
  _TOPIC             VARCHAR NOT NULL,
  _PARTITION         NUMBER(10,0) NOT NULL,
  _OFFSET            NUMBER(19,0) NOT NULL,
  _TIMESTAMP         TIMESTAMP_LTZ(6) NOT NULL,
  _RAW_KEY           BINARY,
  _RAW               BINARY,
  _ERROR             VARCHAR,
  _GENERATION        NUMBER(10,0)
)
ENABLE_SCHEMA_EVOLUTION = TRUE
COMMENT = 'Every transaction with the customer and the version of its account that were in force at its own time; every version';
