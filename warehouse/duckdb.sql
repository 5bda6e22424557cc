-- The lake in DuckDB, on one's own machine: the views of warehouse/sql, under the same names and with the same numbers, straight
-- on the Parquet files. Nothing is loaded: a query reads the files that are there.
--
--   duckdb -cmd "SET VARIABLE lake = '/path/to/lake'" -cmd ".read warehouse/duckdb.sql"
--   SELECT * FROM gold.kpi_balances;
--
-- Without the variable the lake is the folder `lake`. For a lake on an object store, first
-- `CREATE SECRET (TYPE s3, KEY_ID '…', SECRET '…', ENDPOINT 'host:port', URL_STYLE 'path', USE_SSL false)`, and `s3://bucket`
-- as the variable. Run this again when a table has got its first file or a new column.

SET VARIABLE lake = COALESCE(getvariable('lake'), 'lake');

CREATE SCHEMA IF NOT EXISTS shape;
CREATE SCHEMA IF NOT EXISTS raw;
CREATE SCHEMA IF NOT EXISTS silver;
CREATE SCHEMA IF NOT EXISTS gold;
CREATE SCHEMA IF NOT EXISTS ops;

-- The files of a table of the lake, and their rows. Columns are matched by name: files of earlier versions have fewer.
CREATE OR REPLACE MACRO lake_files(lake_table) AS getvariable('lake') || '/' || lake_table || '/day=*/p=*/*.parquet';
CREATE OR REPLACE MACRO lake_rows(lake_table) AS TABLE
  SELECT * FROM read_parquet(lake_files(lake_table), union_by_name = true, hive_partitioning = false);

-- The day of an instant, in UTC, whatever the session's time zone is.
CREATE OR REPLACE MACRO utc_day(instant) AS CAST(timezone('UTC', instant) AS DATE);

-- A total's share, exactly, to four places and rounded half away from zero, where `/` would be a double.
CREATE OR REPLACE MACRO money_average(total, number) AS CAST(
  CAST(
    CAST(sign(total) AS INTEGER) * ((2 * abs(CAST(total * 10000 AS HUGEINT)) + number) // (2 * number)) AS DECIMAL(38,0)
  ) * CAST(0.0001 AS DECIMAL(4,4)) AS DECIMAL(38,4)
);

-- So many of so many, in percent, exactly, to two places.
CREATE OR REPLACE MACRO percent(part, whole) AS CAST(
  CAST((20000 * part + whole) // (2 * whole) AS DECIMAL(5,0)) * CAST(0.01 AS DECIMAL(2,2)) AS DECIMAL(5,2)
);

-- RAW: what each table has at least, and what its files have.

CREATE OR REPLACE TABLE shape.bronze_customers (
  id BIGINT, first_name VARCHAR, last_name VARCHAR, email VARCHAR, created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ,
  _op VARCHAR, _lsn BIGINT, _tx_id BIGINT, _source_ts TIMESTAMPTZ, _snapshot VARCHAR, _before VARCHAR,
  _unparsed VARCHAR, _topic VARCHAR, _partition INTEGER, _offset BIGINT, _raw_key BLOB, _raw BLOB, _error VARCHAR,
  _generation INTEGER
);
SET VARIABLE has_bronze_customers = (SELECT COUNT(*) > 0 FROM glob(lake_files('bronze.customers')));
CREATE OR REPLACE VIEW raw.bronze_customers AS
SELECT * FROM shape.bronze_customers
UNION ALL BY NAME
SELECT * FROM query(
  IF(getvariable('has_bronze_customers'), 'FROM lake_rows(''bronze.customers'')', 'FROM shape.bronze_customers')
);

CREATE OR REPLACE TABLE shape.bronze_accounts (
  id BIGINT, customer_id BIGINT, account_type VARCHAR, currency VARCHAR, opening_balance DECIMAL(20,4),
  balance DECIMAL(20,4), status VARCHAR, closed_at TIMESTAMPTZ, created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ,
  _op VARCHAR, _lsn BIGINT, _tx_id BIGINT, _source_ts TIMESTAMPTZ, _snapshot VARCHAR, _before VARCHAR,
  _unparsed VARCHAR, _topic VARCHAR, _partition INTEGER, _offset BIGINT, _raw_key BLOB, _raw BLOB, _error VARCHAR,
  _generation INTEGER
);
SET VARIABLE has_bronze_accounts = (SELECT COUNT(*) > 0 FROM glob(lake_files('bronze.accounts')));
CREATE OR REPLACE VIEW raw.bronze_accounts AS
SELECT * FROM shape.bronze_accounts
UNION ALL BY NAME
SELECT * FROM query(
  IF(getvariable('has_bronze_accounts'), 'FROM lake_rows(''bronze.accounts'')', 'FROM shape.bronze_accounts')
);

CREATE OR REPLACE TABLE shape.bronze_transactions (
  id BIGINT, account_id BIGINT, txn_type VARCHAR, amount DECIMAL(20,4), related_account_id BIGINT, status VARCHAR,
  created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ, _op VARCHAR, _lsn BIGINT, _tx_id BIGINT, _source_ts TIMESTAMPTZ,
  _snapshot VARCHAR, _before VARCHAR, _unparsed VARCHAR, _topic VARCHAR, _partition INTEGER, _offset BIGINT,
  _raw_key BLOB, _raw BLOB, _error VARCHAR, _generation INTEGER
);
SET VARIABLE has_bronze_transactions = (SELECT COUNT(*) > 0 FROM glob(lake_files('bronze.transactions')));
CREATE OR REPLACE VIEW raw.bronze_transactions AS
SELECT * FROM shape.bronze_transactions
UNION ALL BY NAME
SELECT * FROM query(
  IF(getvariable('has_bronze_transactions'), 'FROM lake_rows(''bronze.transactions'')', 'FROM shape.bronze_transactions')
);

CREATE OR REPLACE TABLE shape.silver_customers (
  id BIGINT, first_name VARCHAR, last_name VARCHAR, email VARCHAR, created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ,
  source_lsn BIGINT, source_ts TIMESTAMPTZ, op VARCHAR, _topic VARCHAR, _partition INTEGER, _offset BIGINT,
  _timestamp TIMESTAMPTZ, _raw_key BLOB, _raw BLOB, _error VARCHAR, _generation INTEGER
);
SET VARIABLE has_silver_customers = (SELECT COUNT(*) > 0 FROM glob(lake_files('silver.customers')));
CREATE OR REPLACE VIEW raw.silver_customers AS
SELECT * FROM shape.silver_customers
UNION ALL BY NAME
SELECT * FROM query(
  IF(getvariable('has_silver_customers'), 'FROM lake_rows(''silver.customers'')', 'FROM shape.silver_customers')
);

CREATE OR REPLACE TABLE shape.silver_accounts (
  id BIGINT, customer_id BIGINT, account_type VARCHAR, currency VARCHAR, opening_balance DECIMAL(38,4),
  balance DECIMAL(38,4), status VARCHAR, closed_at TIMESTAMPTZ, created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ,
  source_lsn BIGINT, source_ts TIMESTAMPTZ, balance_from VARCHAR, op VARCHAR, _topic VARCHAR, _partition INTEGER, _offset BIGINT,
  _timestamp TIMESTAMPTZ, _raw_key BLOB, _raw BLOB, _error VARCHAR, _generation INTEGER
);
SET VARIABLE has_silver_accounts = (SELECT COUNT(*) > 0 FROM glob(lake_files('silver.accounts')));
CREATE OR REPLACE VIEW raw.silver_accounts AS
SELECT * FROM shape.silver_accounts
UNION ALL BY NAME
SELECT * FROM query(
  IF(getvariable('has_silver_accounts'), 'FROM lake_rows(''silver.accounts'')', 'FROM shape.silver_accounts')
);

CREATE OR REPLACE TABLE shape.silver_transactions (
  id BIGINT, account_id BIGINT, txn_type VARCHAR, amount DECIMAL(38,4), related_account_id BIGINT, status VARCHAR,
  created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ, source_lsn BIGINT, source_ts TIMESTAMPTZ, op VARCHAR, _topic VARCHAR,
  _partition INTEGER, _offset BIGINT, _timestamp TIMESTAMPTZ, _raw_key BLOB, _raw BLOB, _error VARCHAR,
  _generation INTEGER
);
SET VARIABLE has_silver_transactions = (SELECT COUNT(*) > 0 FROM glob(lake_files('silver.transactions')));
CREATE OR REPLACE VIEW raw.silver_transactions AS
SELECT * FROM shape.silver_transactions
UNION ALL BY NAME
SELECT * FROM query(
  IF(getvariable('has_silver_transactions'), 'FROM lake_rows(''silver.transactions'')', 'FROM shape.silver_transactions')
);

CREATE OR REPLACE TABLE shape.silver_postings (
  posting_id VARCHAR, transaction_id BIGINT, account_id BIGINT, is_cash BOOLEAN, currency VARCHAR,
  amount DECIMAL(38,4), reverses VARCHAR, booked_at TIMESTAMPTZ, effective_at TIMESTAMPTZ, source_lsn BIGINT,
  entry_number BIGINT, balance_after DECIMAL(38,4), recorded_at TIMESTAMPTZ, key_account_id BIGINT, op VARCHAR,
  _topic VARCHAR, _partition INTEGER, _offset BIGINT, _timestamp TIMESTAMPTZ, _raw_key BLOB, _raw BLOB, _error VARCHAR,
  _generation INTEGER
);
SET VARIABLE has_silver_postings = (SELECT COUNT(*) > 0 FROM glob(lake_files('silver.postings')));
CREATE OR REPLACE VIEW raw.silver_postings AS
SELECT * FROM shape.silver_postings
UNION ALL BY NAME
SELECT * FROM query(
  IF(getvariable('has_silver_postings'), 'FROM lake_rows(''silver.postings'')', 'FROM shape.silver_postings')
);

CREATE OR REPLACE TABLE shape.silver_rejected (
  "topic" VARCHAR, "partition" INTEGER, "offset" BIGINT, "key" BLOB, "value" BLOB, "rule" VARCHAR, reason VARCHAR,
  rejected_at TIMESTAMPTZ, row_id BIGINT, op VARCHAR, _topic VARCHAR, _partition INTEGER, _offset BIGINT,
  _timestamp TIMESTAMPTZ, _raw_key BLOB, _raw BLOB, _error VARCHAR, _generation INTEGER
);
SET VARIABLE has_silver_rejected = (SELECT COUNT(*) > 0 FROM glob(lake_files('silver.rejected')));
CREATE OR REPLACE VIEW raw.silver_rejected AS
SELECT * FROM shape.silver_rejected
UNION ALL BY NAME
SELECT * FROM query(
  IF(getvariable('has_silver_rejected'), 'FROM lake_rows(''silver.rejected'')', 'FROM shape.silver_rejected')
);

CREATE OR REPLACE TABLE shape.gold_account_balances (
  account_id BIGINT, customer_id BIGINT, currency VARCHAR, opening DECIMAL(38,4), booked DECIMAL(38,4),
  pending DECIMAL(38,4), available DECIMAL(38,4), entry_count BIGINT, last_entry_at TIMESTAMPTZ, is_deleted BOOLEAN,
  source_lsn BIGINT, source_ts TIMESTAMPTZ, commit_number BIGINT, op VARCHAR, _topic VARCHAR, _partition INTEGER, _offset BIGINT,
  _timestamp TIMESTAMPTZ, _raw_key BLOB, _raw BLOB, _error VARCHAR, _generation INTEGER
);
SET VARIABLE has_gold_account_balances = (SELECT COUNT(*) > 0 FROM glob(lake_files('gold.account_balances')));
CREATE OR REPLACE VIEW raw.gold_account_balances AS
SELECT * FROM shape.gold_account_balances
UNION ALL BY NAME
SELECT * FROM query(
  IF(getvariable('has_gold_account_balances'), 'FROM lake_rows(''gold.account_balances'')', 'FROM shape.gold_account_balances')
);

CREATE OR REPLACE TABLE shape.gold_customer_history (
  customer_id BIGINT, version BIGINT, first_name VARCHAR, last_name VARCHAR, email VARCHAR, valid_from TIMESTAMPTZ,
  valid_to TIMESTAMPTZ, is_current BOOLEAN, is_deleted BOOLEAN, source_lsn BIGINT, source_tx_id BIGINT, op VARCHAR,
  _topic VARCHAR, _partition INTEGER, _offset BIGINT, _timestamp TIMESTAMPTZ, _raw_key BLOB, _raw BLOB, _error VARCHAR,
  _generation INTEGER
);
SET VARIABLE has_gold_customer_history = (SELECT COUNT(*) > 0 FROM glob(lake_files('gold.customer_history')));
CREATE OR REPLACE VIEW raw.gold_customer_history AS
SELECT * FROM shape.gold_customer_history
UNION ALL BY NAME
SELECT * FROM query(
  IF(getvariable('has_gold_customer_history'), 'FROM lake_rows(''gold.customer_history'')', 'FROM shape.gold_customer_history')
);

CREATE OR REPLACE TABLE shape.gold_account_history (
  account_id BIGINT, version BIGINT, customer_id BIGINT, account_type VARCHAR, currency VARCHAR, status VARCHAR,
  valid_from TIMESTAMPTZ, valid_to TIMESTAMPTZ, is_current BOOLEAN, is_deleted BOOLEAN, source_lsn BIGINT,
  source_tx_id BIGINT, op VARCHAR, _topic VARCHAR, _partition INTEGER, _offset BIGINT, _timestamp TIMESTAMPTZ,
  _raw_key BLOB, _raw BLOB, _error VARCHAR, _generation INTEGER
);
SET VARIABLE has_gold_account_history = (SELECT COUNT(*) > 0 FROM glob(lake_files('gold.account_history')));
CREATE OR REPLACE VIEW raw.gold_account_history AS
SELECT * FROM shape.gold_account_history
UNION ALL BY NAME
SELECT * FROM query(
  IF(getvariable('has_gold_account_history'), 'FROM lake_rows(''gold.account_history'')', 'FROM shape.gold_account_history')
);

CREATE OR REPLACE TABLE shape.gold_transactions (
  transaction_id BIGINT, account_id BIGINT, account_version BIGINT, customer_id BIGINT, account_type VARCHAR,
  currency VARCHAR, txn_type VARCHAR, amount DECIMAL(38,4), related_account_id BIGINT, status VARCHAR,
  created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ, source_lsn BIGINT, source_ts TIMESTAMPTZ, op VARCHAR, _topic VARCHAR,
  _partition INTEGER, _offset BIGINT, _timestamp TIMESTAMPTZ, _raw_key BLOB, _raw BLOB, _error VARCHAR,
  _generation INTEGER
);
SET VARIABLE has_gold_transactions = (SELECT COUNT(*) > 0 FROM glob(lake_files('gold.transactions')));
CREATE OR REPLACE VIEW raw.gold_transactions AS
SELECT * FROM shape.gold_transactions
UNION ALL BY NAME
SELECT * FROM query(
  IF(getvariable('has_gold_transactions'), 'FROM lake_rows(''gold.transactions'')', 'FROM shape.gold_transactions')
);

CREATE OR REPLACE TABLE shape.gold_customer_positions (
  customer_id BIGINT, currency VARCHAR, booked DECIMAL(38,4), available DECIMAL(38,4), accounts BIGINT,
  open_accounts BIGINT, op VARCHAR, _topic VARCHAR, _partition INTEGER, _offset BIGINT, _timestamp TIMESTAMPTZ,
  _raw_key BLOB, _raw BLOB, _error VARCHAR, _generation INTEGER
);
SET VARIABLE has_gold_customer_positions = (SELECT COUNT(*) > 0 FROM glob(lake_files('gold.customer_positions')));
CREATE OR REPLACE VIEW raw.gold_customer_positions AS
SELECT * FROM shape.gold_customer_positions
UNION ALL BY NAME
SELECT * FROM query(
  IF(getvariable('has_gold_customer_positions'), 'FROM lake_rows(''gold.customer_positions'')', 'FROM shape.gold_customer_positions')
);

CREATE OR REPLACE TABLE shape.gold_account_daily (
  account_id BIGINT, day DATE, customer_id BIGINT, account_type VARCHAR, currency VARCHAR, opening DECIMAL(38,4),
  credits DECIMAL(38,4), debits DECIMAL(38,4), entries BIGINT, closing DECIMAL(38,4), op VARCHAR, _topic VARCHAR,
  _partition INTEGER, _offset BIGINT, _timestamp TIMESTAMPTZ, _raw_key BLOB, _raw BLOB, _error VARCHAR,
  _generation INTEGER
);
SET VARIABLE has_gold_account_daily = (SELECT COUNT(*) > 0 FROM glob(lake_files('gold.account_daily')));
CREATE OR REPLACE VIEW raw.gold_account_daily AS
SELECT * FROM shape.gold_account_daily
UNION ALL BY NAME
SELECT * FROM query(
  IF(getvariable('has_gold_account_daily'), 'FROM lake_rows(''gold.account_daily'')', 'FROM shape.gold_account_daily')
);

CREATE OR REPLACE TABLE shape.gold_bank_daily (
  day DATE, account_type VARCHAR, currency VARCHAR, net_flow DECIMAL(38,4), opened_with DECIMAL(38,4),
  new_accounts BIGINT, closed_accounts BIGINT, active_accounts BIGINT, active_customers BIGINT, op VARCHAR,
  _topic VARCHAR, _partition INTEGER, _offset BIGINT, _timestamp TIMESTAMPTZ, _raw_key BLOB, _raw BLOB,
  _error VARCHAR, _generation INTEGER
);
SET VARIABLE has_gold_bank_daily = (SELECT COUNT(*) > 0 FROM glob(lake_files('gold.bank_daily')));
CREATE OR REPLACE VIEW raw.gold_bank_daily AS
SELECT * FROM shape.gold_bank_daily
UNION ALL BY NAME
SELECT * FROM query(
  IF(getvariable('has_gold_bank_daily'), 'FROM lake_rows(''gold.bank_daily'')', 'FROM shape.gold_bank_daily')
);

CREATE OR REPLACE TABLE shape.gold_transaction_minutes (
  minute TIMESTAMPTZ, txn_type VARCHAR, status VARCHAR, currency VARCHAR, transactions BIGINT, amount DECIMAL(38,4),
  failures BIGINT, op VARCHAR, _topic VARCHAR, _partition INTEGER, _offset BIGINT, _timestamp TIMESTAMPTZ,
  _raw_key BLOB, _raw BLOB, _error VARCHAR, _generation INTEGER
);
SET VARIABLE has_gold_transaction_minutes = (SELECT COUNT(*) > 0 FROM glob(lake_files('gold.transaction_minutes')));
CREATE OR REPLACE VIEW raw.gold_transaction_minutes AS
SELECT * FROM shape.gold_transaction_minutes
UNION ALL BY NAME
SELECT * FROM query(
  IF(getvariable('has_gold_transaction_minutes'), 'FROM lake_rows(''gold.transaction_minutes'')', 'FROM shape.gold_transaction_minutes')
);
CREATE OR REPLACE TABLE shape.gold_reconciliation (
  account_id BIGINT, currency VARCHAR, streamed DECIMAL(38,4), source DECIMAL(38,4), difference DECIMAL(38,4),
  is_complete BOOLEAN, source_lsn BIGINT, source_ts TIMESTAMPTZ, op VARCHAR, _topic VARCHAR, _partition INTEGER,
  _offset BIGINT, _timestamp TIMESTAMPTZ, _raw_key BLOB, _raw BLOB, _error VARCHAR, _generation INTEGER
);
SET VARIABLE has_gold_reconciliation = (SELECT COUNT(*) > 0 FROM glob(lake_files('gold.reconciliation')));
CREATE OR REPLACE VIEW raw.gold_reconciliation AS
SELECT * FROM shape.gold_reconciliation
UNION ALL BY NAME
SELECT * FROM query(
  IF(getvariable('has_gold_reconciliation'), 'FROM lake_rows(''gold.reconciliation'')', 'FROM shape.gold_reconciliation')
);

-- Current rows: of each key the newest version, by generation of the topic and offset; a key whose newest version is a
-- delete has none. Files of earlier versions have no generation: theirs is 1. A file that was loaded twice changes nothing. A
-- record that could not be read is no version (OPS.DQ_UNDECODABLE lists it).

CREATE OR REPLACE VIEW silver.customers AS
SELECT
  id,
  first_name,
  last_name,
  email,
  created_at,
  updated_at,
  source_lsn,
  source_ts,
  _topic,
  COALESCE(_generation, 1) AS _generation,
  _partition,
  _offset,
  _timestamp
FROM raw.silver_customers
WHERE op <> 'undecodable'
QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY COALESCE(_generation, 1) DESC, _offset DESC) = 1
  AND op <> 'delete';

CREATE OR REPLACE VIEW silver.accounts AS
SELECT
  id,
  customer_id,
  account_type,
  currency,
  opening_balance,
  balance,
  status,
  closed_at,
  created_at,
  updated_at,
  source_lsn,
  source_ts,
  balance_from,
  _topic,
  COALESCE(_generation, 1) AS _generation,
  _partition,
  _offset,
  _timestamp
FROM raw.silver_accounts
WHERE op <> 'undecodable'
QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY COALESCE(_generation, 1) DESC, _offset DESC) = 1
  AND op <> 'delete';

CREATE OR REPLACE VIEW silver.transactions AS
SELECT
  id,
  account_id,
  txn_type,
  amount,
  related_account_id,
  status,
  created_at,
  updated_at,
  source_lsn,
  source_ts,
  _topic,
  COALESCE(_generation, 1) AS _generation,
  _partition,
  _offset,
  _timestamp
FROM raw.silver_transactions
WHERE op <> 'undecodable'
QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY COALESCE(_generation, 1) DESC, _offset DESC) = 1
  AND op <> 'delete';

CREATE OR REPLACE VIEW silver.postings AS
SELECT
  posting_id,
  transaction_id,
  account_id,
  is_cash,
  currency,
  amount,
  reverses,
  booked_at,
  effective_at,
  source_lsn,
  entry_number,
  balance_after,
  recorded_at,
  _topic,
  COALESCE(_generation, 1) AS _generation,
  _partition,
  _offset,
  _timestamp
FROM raw.silver_postings
WHERE op <> 'undecodable'
QUALIFY ROW_NUMBER() OVER (PARTITION BY posting_id ORDER BY COALESCE(_generation, 1) DESC, _offset DESC) = 1
  AND op <> 'delete';

CREATE OR REPLACE VIEW silver.rejected AS
SELECT
  "topic" AS source_topic,
  "partition" AS source_partition,
  "offset" AS source_offset,
  "key" AS record_key,
  "value" AS record_value,
  "rule" AS broken_rule,
  reason,
  rejected_at,
  row_id,
  _topic,
  COALESCE(_generation, 1) AS _generation,
  _partition,
  _offset,
  _timestamp
FROM raw.silver_rejected
WHERE op <> 'undecodable'
QUALIFY ROW_NUMBER() OVER (PARTITION BY _topic, COALESCE(_generation, 1), _partition, _offset ORDER BY COALESCE(_generation, 1) DESC, _offset DESC) = 1
  AND op <> 'delete';

CREATE OR REPLACE VIEW gold.account_balances AS
SELECT
  account_id,
  customer_id,
  currency,
  opening,
  booked,
  pending,
  available,
  entry_count,
  last_entry_at,
  is_deleted,
  source_lsn,
  source_ts,
  commit_number,
  _topic,
  COALESCE(_generation, 1) AS _generation,
  _partition,
  _offset,
  _timestamp
FROM raw.gold_account_balances
WHERE op <> 'undecodable'
QUALIFY ROW_NUMBER() OVER (PARTITION BY account_id ORDER BY COALESCE(_generation, 1) DESC, _offset DESC) = 1
  AND op <> 'delete';

CREATE OR REPLACE VIEW gold.customer_history AS
SELECT
  customer_id,
  version,
  first_name,
  last_name,
  email,
  valid_from,
  valid_to,
  is_current,
  is_deleted,
  source_lsn,
  source_tx_id,
  _topic,
  COALESCE(_generation, 1) AS _generation,
  _partition,
  _offset,
  _timestamp
FROM raw.gold_customer_history
WHERE op <> 'undecodable'
QUALIFY ROW_NUMBER() OVER (PARTITION BY customer_id, version ORDER BY COALESCE(_generation, 1) DESC, _offset DESC) = 1
  AND op <> 'delete';

CREATE OR REPLACE VIEW gold.account_history AS
SELECT
  account_id,
  version,
  customer_id,
  account_type,
  currency,
  status,
  valid_from,
  valid_to,
  is_current,
  is_deleted,
  source_lsn,
  source_tx_id,
  _topic,
  COALESCE(_generation, 1) AS _generation,
  _partition,
  _offset,
  _timestamp
FROM raw.gold_account_history
WHERE op <> 'undecodable'
QUALIFY ROW_NUMBER() OVER (PARTITION BY account_id, version ORDER BY COALESCE(_generation, 1) DESC, _offset DESC) = 1
  AND op <> 'delete';

CREATE OR REPLACE VIEW gold.transactions AS
SELECT
  transaction_id,
  account_id,
  account_version,
  customer_id,
  account_type,
  currency,
  txn_type,
  amount,
  related_account_id,
  status,
  created_at,
  updated_at,
  source_lsn,
  source_ts,
  _topic,
  COALESCE(_generation, 1) AS _generation,
  _partition,
  _offset,
  _timestamp
FROM raw.gold_transactions
WHERE op <> 'undecodable'
QUALIFY ROW_NUMBER() OVER (PARTITION BY transaction_id ORDER BY COALESCE(_generation, 1) DESC, _offset DESC) = 1
  AND op <> 'delete';

CREATE OR REPLACE VIEW gold.customer_positions AS
SELECT
  customer_id,
  currency,
  booked,
  available,
  accounts,
  open_accounts,
  _topic,
  COALESCE(_generation, 1) AS _generation,
  _partition,
  _offset,
  _timestamp
FROM raw.gold_customer_positions
WHERE op <> 'undecodable'
QUALIFY ROW_NUMBER() OVER (PARTITION BY customer_id, currency ORDER BY COALESCE(_generation, 1) DESC, _offset DESC) = 1
  AND op <> 'delete';

CREATE OR REPLACE VIEW gold.account_daily AS
SELECT
  account_id,
  day,
  customer_id,
  account_type,
  currency,
  opening,
  credits,
  debits,
  entries,
  closing,
  _topic,
  COALESCE(_generation, 1) AS _generation,
  _partition,
  _offset,
  _timestamp
FROM raw.gold_account_daily
WHERE op <> 'undecodable'
QUALIFY ROW_NUMBER() OVER (PARTITION BY account_id, day ORDER BY COALESCE(_generation, 1) DESC, _offset DESC) = 1
  AND op <> 'delete';

CREATE OR REPLACE VIEW gold.bank_daily AS
SELECT
  day,
  account_type,
  currency,
  net_flow,
  opened_with,
  new_accounts,
  closed_accounts,
  active_accounts,
  active_customers,
  _topic,
  COALESCE(_generation, 1) AS _generation,
  _partition,
  _offset,
  _timestamp
FROM raw.gold_bank_daily
WHERE op <> 'undecodable'
QUALIFY ROW_NUMBER() OVER (PARTITION BY day, account_type, currency ORDER BY COALESCE(_generation, 1) DESC, _offset DESC) = 1
  AND op <> 'delete';

CREATE OR REPLACE VIEW gold.transaction_minutes AS
SELECT
  minute,
  txn_type,
  status,
  currency,
  transactions,
  amount,
  failures,
  _topic,
  COALESCE(_generation, 1) AS _generation,
  _partition,
  _offset,
  _timestamp
FROM raw.gold_transaction_minutes
WHERE op <> 'undecodable'
QUALIFY ROW_NUMBER() OVER (PARTITION BY minute, txn_type, status, currency ORDER BY COALESCE(_generation, 1) DESC, _offset DESC) = 1
  AND op <> 'delete';

CREATE OR REPLACE VIEW gold.reconciliation AS
SELECT
  account_id,
  currency,
  streamed,
  source,
  difference,
  is_complete,
  source_lsn,
  source_ts,
  _topic,
  COALESCE(_generation, 1) AS _generation,
  _partition,
  _offset,
  _timestamp
FROM raw.gold_reconciliation
WHERE op <> 'undecodable'
QUALIFY ROW_NUMBER() OVER (PARTITION BY account_id ORDER BY COALESCE(_generation, 1) DESC, _offset DESC) = 1
  AND op <> 'delete';

-- Dimensions: customers, accounts, days. Days are of UTC, whatever the session's time zone is.

CREATE OR REPLACE VIEW gold.dim_customer AS
SELECT
  id AS customer_id,
  first_name,
  last_name,
  first_name || ' ' || last_name AS full_name,
  email,
  created_at,
  utc_day(created_at) AS created_on,
  updated_at
FROM silver.customers;

CREATE OR REPLACE VIEW gold.dim_account AS
SELECT
  a.id AS account_id,
  a.customer_id,
  c.full_name AS customer_name,
  a.account_type,
  a.currency,
  a.status,
  CAST(a.opening_balance AS DECIMAL(38,4)) AS opening_balance,
  a.created_at,
  utc_day(a.created_at) AS created_on,
  a.closed_at,
  a.updated_at
FROM silver.accounts AS a
LEFT JOIN gold.dim_customer AS c ON c.customer_id = a.customer_id;

CREATE OR REPLACE VIEW gold.dim_date AS
SELECT
  day_of AS date_day,
  year(day_of) * 10000 + month(day_of) * 100 + day(day_of) AS date_key,
  year(day_of) AS year_number,
  quarter(day_of) AS quarter_number,
  month(day_of) AS month_number,
  day(day_of) AS day_of_month,
  isodow(day_of) AS day_of_week,
  isoyear(day_of) AS iso_year,
  weekofyear(day_of) AS iso_week,
  CAST(date_trunc('MONTH', day_of) AS DATE) AS month_start,
  isodow(day_of) >= 6 AS is_weekend
FROM (
  SELECT CAST(range AS DATE) AS day_of FROM range(DATE '2020-01-01', DATE '2050-01-01', INTERVAL 1 DAY)
) AS days;

-- Facts: transactions and postings, with the keys of their dimensions. An account that is not there yet leaves its columns
-- null; no fact is dropped for it.

CREATE OR REPLACE VIEW gold.fact_transactions AS
SELECT
  t.id AS transaction_id,
  t.account_id,
  a.customer_id,
  a.currency,
  t.related_account_id,
  t.txn_type,
  t.status,
  CAST(t.amount AS DECIMAL(38,4)) AS amount,
  t.created_at,
  utc_day(t.created_at) AS created_on,
  t.updated_at,
  t.source_lsn
FROM silver.transactions AS t
LEFT JOIN silver.accounts AS a ON a.id = t.account_id;

CREATE OR REPLACE VIEW gold.fact_postings AS
SELECT
  p.posting_id,
  p.transaction_id,
  p.account_id,
  a.customer_id,
  p.is_cash,
  p.currency,
  CAST(p.amount AS DECIMAL(38,4)) AS amount,
  p.reverses,
  p.reverses IS NOT NULL AS is_reversal,
  p.booked_at,
  utc_day(p.booked_at) AS booked_on,
  p.source_lsn
FROM silver.postings AS p
LEFT JOIN silver.accounts AS a ON a.id = p.account_id;

-- Key figures. Amounts are per currency: nothing is added across currencies. SUM is over DECIMAL(38,4), so a column that a
-- load has widened or narrowed changes no sum. A deleted account is in no figure of balances.

CREATE OR REPLACE VIEW gold.kpi_totals AS
SELECT
  (SELECT COUNT(*) FROM gold.dim_customer) AS customers,
  (SELECT COUNT(*) FROM gold.dim_account) AS accounts,
  (SELECT COUNT(*) FROM gold.dim_account WHERE status = 'ACTIVE') AS active_accounts,
  (SELECT COUNT(*) FROM gold.fact_transactions) AS transactions,
  (SELECT COUNT(*) FROM gold.fact_transactions WHERE status = 'COMPLETED') AS completed_transactions,
  (SELECT COUNT(*) FROM gold.fact_postings) AS postings;

CREATE OR REPLACE VIEW gold.kpi_balances AS
SELECT
  currency,
  COUNT(*) AS accounts,
  SUM(CAST(booked AS DECIMAL(38,4))) AS total_booked,
  SUM(CAST(pending AS DECIMAL(38,4))) AS total_pending,
  SUM(CAST(available AS DECIMAL(38,4))) AS total_available,
  money_average(SUM(CAST(booked AS DECIMAL(38,4))), COUNT(*)) AS average_booked
FROM gold.account_balances
WHERE NOT is_deleted
GROUP BY currency;

CREATE OR REPLACE VIEW gold.kpi_amount_by_type AS
SELECT
  currency,
  txn_type,
  COUNT(*) AS transactions,
  SUM(CAST(amount AS DECIMAL(38,4))) AS amount
FROM gold.fact_transactions
WHERE status = 'COMPLETED'
GROUP BY currency, txn_type;

CREATE OR REPLACE VIEW gold.kpi_top_accounts AS
SELECT
  b.currency,
  ROW_NUMBER() OVER (PARTITION BY b.currency ORDER BY CAST(b.booked AS DECIMAL(38,4)) DESC, b.account_id) AS place,
  b.account_id,
  b.customer_id,
  c.full_name AS customer_name,
  CAST(b.booked AS DECIMAL(38,4)) AS booked
FROM gold.account_balances AS b
LEFT JOIN gold.dim_customer AS c ON c.customer_id = b.customer_id
WHERE NOT b.is_deleted
QUALIFY place <= 10;

CREATE OR REPLACE VIEW gold.kpi_top_customers AS
SELECT
  s.currency,
  ROW_NUMBER() OVER (PARTITION BY s.currency ORDER BY s.booked DESC, s.customer_id) AS place,
  s.customer_id,
  c.full_name AS customer_name,
  s.accounts,
  s.booked
FROM (
  SELECT
    currency,
    customer_id,
    COUNT(*) AS accounts,
    SUM(CAST(booked AS DECIMAL(38,4))) AS booked
  FROM gold.account_balances
  WHERE NOT is_deleted
  GROUP BY currency, customer_id
) AS s
LEFT JOIN gold.dim_customer AS c ON c.customer_id = s.customer_id
QUALIFY place <= 10;

CREATE OR REPLACE VIEW gold.kpi_status_mix AS
SELECT
  currency,
  status,
  COUNT(*) AS transactions,
  SUM(CAST(amount AS DECIMAL(38,4))) AS amount,
  percent(COUNT(*), SUM(COUNT(*)) OVER (PARTITION BY currency)) AS percent_of_transactions
FROM gold.fact_transactions
GROUP BY currency, status;

CREATE OR REPLACE VIEW gold.kpi_transactions_by_day AS
SELECT
  created_on,
  currency,
  txn_type,
  COUNT(*) AS transactions,
  SUM(CAST(amount AS DECIMAL(38,4))) AS amount
FROM gold.fact_transactions
WHERE status = 'COMPLETED'
GROUP BY created_on, currency, txn_type;

CREATE OR REPLACE VIEW gold.kpi_postings_by_day AS
SELECT
  booked_on,
  currency,
  COUNT(*) AS postings,
  SUM(CAST(IF(amount > 0, amount, 0) AS DECIMAL(38,4))) AS taken_in,
  SUM(CAST(IF(amount < 0, -amount, 0) AS DECIMAL(38,4))) AS given_out,
  SUM(CAST(amount AS DECIMAL(38,4))) AS net
FROM gold.fact_postings
WHERE NOT is_cash
GROUP BY booked_on, currency;

CREATE OR REPLACE VIEW gold.kpi_bank_by_day AS
SELECT
  day,
  currency,
  net_flow,
  opened_with,
  SUM(CAST(net_flow + opened_with AS DECIMAL(38,4))) OVER (
    PARTITION BY currency ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS deposits_held,
  new_accounts,
  closed_accounts,
  active_accounts
FROM (
  SELECT
    day,
    currency,
    SUM(CAST(net_flow AS DECIMAL(38,4))) AS net_flow,
    SUM(CAST(opened_with AS DECIMAL(38,4))) AS opened_with,
    SUM(CAST(new_accounts AS DECIMAL(38,0))) AS new_accounts,
    SUM(CAST(closed_accounts AS DECIMAL(38,0))) AS closed_accounts,
    SUM(CAST(active_accounts AS DECIMAL(38,0))) AS active_accounts
  FROM gold.bank_daily
  GROUP BY day, currency
) AS d;

CREATE OR REPLACE VIEW gold.kpi_transactions_by_minute AS
SELECT
  utc_day(minute) AS created_on,
  minute,
  currency,
  SUM(CAST(transactions AS DECIMAL(38,0))) AS transactions,
  SUM(CAST(failures AS DECIMAL(38,0))) AS failures
FROM gold.transaction_minutes
GROUP BY minute, currency
QUALIFY ROW_NUMBER() OVER (PARTITION BY currency ORDER BY minute DESC) <= 1440;

-- Data quality: what could not be read, what broke a rule, what is there twice or missing, and whether the books balance. That
-- nothing is missing is proven by `riverbank lake verify`, which reads the topics; here it can only be suspected: of a source
-- that writes in transactions, each commit leaves an offset out.

CREATE OR REPLACE VIEW ops.landed AS
SELECT 'bronze.customers' AS table_name, _topic, COALESCE(_generation, 1) AS _generation, _partition, _offset, _op AS op, _error
FROM raw.bronze_customers
UNION ALL
SELECT 'bronze.accounts' AS table_name, _topic, COALESCE(_generation, 1) AS _generation, _partition, _offset, _op AS op, _error
FROM raw.bronze_accounts
UNION ALL
SELECT 'bronze.transactions' AS table_name, _topic, COALESCE(_generation, 1) AS _generation, _partition, _offset, _op AS op, _error
FROM raw.bronze_transactions
UNION ALL
SELECT 'silver.customers' AS table_name, _topic, COALESCE(_generation, 1) AS _generation, _partition, _offset, op AS op, _error
FROM raw.silver_customers
UNION ALL
SELECT 'silver.accounts' AS table_name, _topic, COALESCE(_generation, 1) AS _generation, _partition, _offset, op AS op, _error
FROM raw.silver_accounts
UNION ALL
SELECT 'silver.transactions' AS table_name, _topic, COALESCE(_generation, 1) AS _generation, _partition, _offset, op AS op, _error
FROM raw.silver_transactions
UNION ALL
SELECT 'silver.postings' AS table_name, _topic, COALESCE(_generation, 1) AS _generation, _partition, _offset, op AS op, _error
FROM raw.silver_postings
UNION ALL
SELECT 'silver.rejected' AS table_name, _topic, COALESCE(_generation, 1) AS _generation, _partition, _offset, op AS op, _error
FROM raw.silver_rejected
UNION ALL
SELECT 'gold.account_balances' AS table_name, _topic, COALESCE(_generation, 1) AS _generation, _partition, _offset, op AS op, _error
FROM raw.gold_account_balances
UNION ALL
SELECT 'gold.customer_history' AS table_name, _topic, COALESCE(_generation, 1) AS _generation, _partition, _offset, op AS op, _error
FROM raw.gold_customer_history
UNION ALL
SELECT 'gold.account_history' AS table_name, _topic, COALESCE(_generation, 1) AS _generation, _partition, _offset, op AS op, _error
FROM raw.gold_account_history
UNION ALL
SELECT 'gold.transactions' AS table_name, _topic, COALESCE(_generation, 1) AS _generation, _partition, _offset, op AS op, _error
FROM raw.gold_transactions
UNION ALL
SELECT 'gold.customer_positions' AS table_name, _topic, COALESCE(_generation, 1) AS _generation, _partition, _offset, op AS op, _error
FROM raw.gold_customer_positions
UNION ALL
SELECT 'gold.account_daily' AS table_name, _topic, COALESCE(_generation, 1) AS _generation, _partition, _offset, op AS op, _error
FROM raw.gold_account_daily
UNION ALL
SELECT 'gold.bank_daily' AS table_name, _topic, COALESCE(_generation, 1) AS _generation, _partition, _offset, op AS op, _error
FROM raw.gold_bank_daily
UNION ALL
SELECT 'gold.transaction_minutes' AS table_name, _topic, COALESCE(_generation, 1) AS _generation, _partition, _offset, op AS op, _error
FROM raw.gold_transaction_minutes
UNION ALL
SELECT 'gold.reconciliation' AS table_name, _topic, COALESCE(_generation, 1) AS _generation, _partition, _offset, op AS op, _error
FROM raw.gold_reconciliation;

CREATE OR REPLACE VIEW ops.dq_positions AS
SELECT
  table_name,
  _topic,
  _generation,
  _partition,
  MIN(_offset) AS first_offset,
  MAX(_offset) AS last_offset,
  COUNT(*) AS landed_rows,
  COUNT(*) - COUNT(DISTINCT _offset) AS duplicate_rows,
  MAX(_offset) - MIN(_offset) + 1 - COUNT(DISTINCT _offset) AS offsets_without_row
FROM ops.landed
GROUP BY table_name, _topic, _generation, _partition;

CREATE OR REPLACE VIEW ops.dq_duplicates AS
SELECT table_name, _topic, _generation, _partition, _offset, COUNT(*) AS times
FROM ops.landed
GROUP BY table_name, _topic, _generation, _partition, _offset
HAVING COUNT(*) > 1;

-- Of a source that writes in transactions, each commit takes an offset without a row: these are no loss.
CREATE OR REPLACE VIEW ops.dq_gaps AS
SELECT table_name, _topic, _generation, _partition, _offset + 1 AS first_missing, next_offset - 1 AS last_missing
FROM (
  SELECT
    table_name,
    _topic,
    _generation,
    _partition,
    _offset,
    LEAD(_offset) OVER (PARTITION BY table_name, _topic, _generation, _partition ORDER BY _offset) AS next_offset
  FROM ops.landed
  WHERE table_name LIKE 'bronze.%'
) AS l
WHERE next_offset > _offset + 1;

CREATE OR REPLACE VIEW ops.dq_undecodable AS
SELECT DISTINCT table_name, _topic, _generation, _partition, _offset, _error
FROM ops.landed
WHERE op = 'undecodable';

CREATE OR REPLACE VIEW ops.dq_rejected AS
SELECT source_topic, broken_rule, COUNT(*) AS records, MIN(rejected_at) AS first_at, MAX(rejected_at) AS last_at
FROM silver.rejected
GROUP BY source_topic, broken_rule;

CREATE OR REPLACE VIEW ops.dq_unbalanced AS
SELECT transaction_id, currency, SUM(CAST(amount AS DECIMAL(38,4))) AS off_by
FROM gold.fact_postings
GROUP BY transaction_id, currency
HAVING SUM(CAST(amount AS DECIMAL(38,4))) <> 0;

CREATE OR REPLACE VIEW ops.dq_balances AS
SELECT
  b.account_id,
  CAST(b.booked AS DECIMAL(38,4)) AS booked,
  CAST(b.opening AS DECIMAL(38,4)) + COALESCE(p.posted, 0) AS expected,
  b.entry_count,
  COALESCE(p.postings, 0) AS postings
FROM gold.account_balances AS b
LEFT JOIN (
  SELECT account_id, SUM(CAST(amount AS DECIMAL(38,4))) AS posted, COUNT(*) AS postings
  FROM gold.fact_postings
  GROUP BY account_id
) AS p ON p.account_id = b.account_id
WHERE CAST(b.booked AS DECIMAL(38,4)) <> CAST(b.opening AS DECIMAL(38,4)) + COALESCE(p.posted, 0);

CREATE OR REPLACE VIEW ops.dq_reconciliation AS
SELECT account_id, currency, streamed, source, difference, is_complete, source_lsn, source_ts
FROM gold.reconciliation
WHERE difference <> 0;

-- What a page of key figures says beside its numbers: as of when they are, and whether they can be relied on.

CREATE OR REPLACE VIEW gold.kpi_as_of AS
SELECT MAX(source_ts) AS newest_change
FROM gold.account_balances;

CREATE OR REPLACE VIEW gold.kpi_findings AS
SELECT 'dq_duplicates' AS view_name, 'positions that are in the lake twice' AS meaning, COUNT(*) AS findings
FROM ops.dq_duplicates
UNION ALL
SELECT 'dq_undecodable' AS view_name, 'records that could not be read' AS meaning, COUNT(*) AS findings
FROM ops.dq_undecodable
UNION ALL
SELECT 'dq_rejected' AS view_name, 'rules of the bank that records break' AS meaning, COUNT(*) AS findings
FROM ops.dq_rejected
UNION ALL
SELECT 'dq_unbalanced' AS view_name, 'transactions whose postings do not sum to zero' AS meaning, COUNT(*) AS findings
FROM ops.dq_unbalanced
UNION ALL
SELECT 'dq_balances' AS view_name, 'balances that are not their account''s postings' AS meaning, COUNT(*) AS findings
FROM ops.dq_balances
UNION ALL
SELECT 'dq_reconciliation' AS view_name, 'balances that the source has otherwise' AS meaning, COUNT(*) AS findings
FROM ops.dq_reconciliation;
