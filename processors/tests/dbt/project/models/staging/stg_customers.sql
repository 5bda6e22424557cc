select
  id as customer_id,
  trim(first_name) as first_name,
  trim(last_name) as last_name,
  lower(trim(email)) as email,
  make_timestamptz(created_at) as created_at,
  make_timestamptz(updated_at) as updated_at
from {{ source_table('customers', "{id: 'BIGINT', first_name: 'VARCHAR', last_name: 'VARCHAR', email: 'VARCHAR', created_at: 'BIGINT', updated_at: 'BIGINT'}") }}
