-- What a page of key figures says beside its numbers: as of when they are, and whether they can be relied on.

CREATE OR REPLACE VIEW {{database}}.GOLD.KPI_AS_OF COMMENT = 'The newest change at the source that a balance shows: one row' AS
SELECT MAX(SOURCE_TS) AS NEWEST_CHANGE
FROM {{database}}.GOLD.ACCOUNT_BALANCES;

CREATE OR REPLACE VIEW {{database}}.GOLD.KPI_FINDINGS
  COMMENT = 'How much each view of data quality has: a row per view; all zeros where the figures are right' AS
SELECT 'dq_duplicates' AS VIEW_NAME, 'positions that are in the lake twice' AS MEANING, COUNT(*) AS FINDINGS
FROM {{database}}.OPS.DQ_DUPLICATES
UNION ALL
SELECT 'dq_undecodable' AS VIEW_NAME, 'records that could not be read' AS MEANING, COUNT(*) AS FINDINGS
FROM {{database}}.OPS.DQ_UNDECODABLE
UNION ALL
SELECT 'dq_rejected' AS VIEW_NAME, 'rules of the bank that records break' AS MEANING, COUNT(*) AS FINDINGS
FROM {{database}}.OPS.DQ_REJECTED
UNION ALL
SELECT 'dq_unbalanced' AS VIEW_NAME, 'transactions whose postings do not sum to zero' AS MEANING, COUNT(*) AS FINDINGS
FROM {{database}}.OPS.DQ_UNBALANCED
UNION ALL
SELECT 'dq_balances' AS VIEW_NAME, 'balances that are not their account''s postings' AS MEANING, COUNT(*) AS FINDINGS
FROM {{database}}.OPS.DQ_BALANCES;
