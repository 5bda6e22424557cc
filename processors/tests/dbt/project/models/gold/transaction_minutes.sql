select epoch_us(t.created_at) // 60000000 * 60000000 as minute, t.txn_type, t.status, a.currency,
  count(*) as transactions, sum(t.amount) as amount, count(*) filter (t.status = 'FAILED') as failures
from {{ ref('stg_transactions') }} as t
join {{ ref('stg_accounts') }} as a using (account_id)
group by all
