-- What completed transactions do to accounts.
select account_id, created_at, case txn_type when 'DEPOSIT' then amount else -amount end as amount
from {{ ref('stg_transactions') }} where status = 'COMPLETED'
union all
select related_account_id, created_at, amount
from {{ ref('stg_transactions') }} where status = 'COMPLETED' and txn_type = 'TRANSFER'
