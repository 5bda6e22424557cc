-- when: tables=loaded
-- Gold that adds up: positions of customers, accounts and the bank by day, transactions by minute, with the lake's columns;
-- append-only, as 0007's tables.

CREATE TABLE IF NOT EXISTS {{database}}.RAW.GOLD_CUSTOMER_POSITIONS (
  CUSTOMER_ID   NUMBER(19,0),
  CURRENCY      VARCHAR,
  BOOKED        NUMBER(38,4),
  AVAILABLE     NUMBER(38,4),
  ACCOUNTS      NUMBER(19,0),
  OPEN_ACCOUNTS NUMBER(19,0),
  OP            VARCHAR NOT NULL,
  _TOPIC        VARCHAR NOT NULL,
  _PARTITION    NUMBER(10,0) NOT NULL,
  _OFFSET       NUMBER(19,0) NOT NULL,
  _TIMESTAMP    TIMESTAMP_LTZ(6) NOT NULL,
  _RAW_KEY      BINARY,
  _RAW          BINARY,
  _ERROR        VARCHAR,
  _GENERATION   NUMBER(10,0)
)
ENABLE_SCHEMA_EVOLUTION = TRUE
COMMENT = 'What every customer has in each currency, over all accounts; every version';

CREATE TABLE IF NOT EXISTS {{database}}.RAW.GOLD_ACCOUNT_DAILY (
  ACCOUNT_ID   NUMBER(19,0),
  DAY          DATE,
  CUSTOMER_ID  NUMBER(19,0),
  ACCOUNT_TYPE VARCHAR,
  CURRENCY     VARCHAR,
  OPENING      NUMBER(38,4),
  CREDITS      NUMBER(38,4),
  DEBITS       NUMBER(38,4),
  ENTRIES      NUMBER(19,0),
  CLOSING      NUMBER(38,4),
  OP           VARCHAR NOT NULL,
  _TOPIC       VARCHAR NOT NULL,
  _PARTITION   NUMBER(10,0) NOT NULL,
  _OFFSET      NUMBER(19,0) NOT NULL,
  _TIMESTAMP   TIMESTAMP_LTZ(6) NOT NULL,
  _RAW_KEY     BINARY,
  _RAW         BINARY,
  _ERROR       VARCHAR,
  _GENERATION  NUMBER(10,0)
)
ENABLE_SCHEMA_EVOLUTION = TRUE
COMMENT = 'Every account on each day on which something was posted to it; every version';

CREATE TABLE IF NOT EXISTS {{database}}.RAW.GOLD_BANK_DAILY (
  DAY              DATE,
  ACCOUNT_TYPE     VARCHAR,
  CURRENCY         VARCHAR,
  NET_FLOW         NUMBER(38,4),
  OPENED_WITH      NUMBER(38,4),
  NEW_ACCOUNTS     NUMBER(19,0),
  CLOSED_ACCOUNTS  NUMBER(19,0),
  ACTIVE_ACCOUNTS  NUMBER(19,0),
  ACTIVE_CUSTOMERS NUMBER(19,0),
  OP               VARCHAR NOT NULL,
  _TOPIC           VARCHAR NOT NULL,
  _PARTITION       NUMBER(10,0) NOT NULL,
  _OFFSET          NUMBER(19,0) NOT NULL,
  _TIMESTAMP       TIMESTAMP_LTZ(6) NOT NULL,
  _RAW_KEY         BINARY,
  _RAW             BINARY,
  _ERROR           VARCHAR,
  _GENERATION      NUMBER(10,0)
)
ENABLE_SCHEMA_EVOLUTION = TRUE
COMMENT = 'The bank on each day, by type of account and currency; every version';

CREATE TABLE IF NOT EXISTS {{database}}.RAW.GOLD_TRANSACTION_MINUTES (
  MINUTE       TIMESTAMP_LTZ(6),
  TXN_TYPE     VARCHAR,
  STATUS       VARCHAR,
  CURRENCY     VARCHAR,
  TRANSACTIONS NUMBER(19,0),
  AMOUNT       NUMBER(38,4),
  FAILURES     NUMBER(19,0),
  OP           VARCHAR NOT NULL,
  _TOPIC       VARCHAR NOT NULL,
  _PARTITION   NUMBER(10,0) NOT NULL,
  _OFFSET      NUMBER(19,0) NOT NULL,
  _TIMESTAMP   TIMESTAMP_LTZ(6) NOT NULL,
  _RAW_KEY     BINARY,
  _RAW         BINARY,
  _ERROR       VARCHAR,
  _GENERATION  NUMBER(10,0)
)
ENABLE_SCHEMA_EVOLUTION = TRUE
COMMENT = 'The transactions of each minute, by type, status and currency; every version';
