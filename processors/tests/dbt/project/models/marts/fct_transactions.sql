select t.transaction_id, t.account_id, a.customer_id, a.currency, t.txn_type, t.status, t.amount, t.related_account_id, t.created_at
from {{ ref('stg_transactions') }} as t
left join {{ ref('dim_accounts') }} as a using (account_id)
