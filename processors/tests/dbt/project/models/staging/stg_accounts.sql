select
  id as account_id,
  customer_id,
  upper(trim(account_type)) as account_type,
  upper(trim(currency)) as currency,
  opening_balance,
  balance,
  -- An account without a status is open.
  coalesce(upper(trim(status)), 'ACTIVE') as status,
  make_timestamptz(created_at) as created_at,
  make_timestamptz(updated_at) as updated_at
from {{ source_table('accounts', "{id: 'BIGINT', customer_id: 'BIGINT', account_type: 'VARCHAR', currency: 'VARCHAR', opening_balance: 'DECIMAL(18,4)', balance: 'DECIMAL(18,4)', status: 'VARCHAR', created_at: 'BIGINT', updated_at: 'BIGINT'}") }}
