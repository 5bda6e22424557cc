-- Warehouse, database and schemas: RAW is what was landed, append-only; SILVER its current rows; GOLD what reports ask
-- for; OPS the quality of all of it.

CREATE WAREHOUSE IF NOT EXISTS {{warehouse}}
  WAREHOUSE_SIZE = {{warehouse_size}}
  AUTO_SUSPEND = 60
  AUTO_RESUME = TRUE
  INITIALLY_SUSPENDED = TRUE
  COMMENT = 'Riverbank: queries; pipes need no warehouse';

CREATE DATABASE IF NOT EXISTS {{database}};

CREATE SCHEMA IF NOT EXISTS {{database}}.RAW COMMENT = 'Every version of every record, as the lake has it';

CREATE SCHEMA IF NOT EXISTS {{database}}.SILVER COMMENT = 'Current rows, cleaned';

CREATE SCHEMA IF NOT EXISTS {{database}}.GOLD COMMENT = 'Balances, dimensions, facts, key figures';

CREATE SCHEMA IF NOT EXISTS {{database}}.OPS COMMENT = 'Data quality, and what was applied';
