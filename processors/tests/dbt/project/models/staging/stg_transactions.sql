select
  id as transaction_id,
  account_id,
  upper(trim(txn_type)) as txn_type,
  amount,
  related_account_id,
  upper(trim(status)) as status,
  make_timestamptz(created_at) as created_at,
  make_timestamptz(updated_at) as updated_at
from {{ source_table('transactions', "{id: 'BIGINT', account_id: 'BIGINT', txn_type: 'VARCHAR', amount: 'DECIMAL(18,4)', related_account_id: 'BIGINT', status: 'VARCHAR', created_at: 'BIGINT', updated_at: 'BIGINT'}") }}
