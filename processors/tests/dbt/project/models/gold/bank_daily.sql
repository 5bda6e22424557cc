-- Without what the source does not say here: when accounts were closed.
with happened as (
  select epoch_us(e.created_at) // 86400000000 as day, a.account_type, a.currency, e.amount as net_flow, 0 as new_accounts,
    a.account_id as active_account, a.customer_id as active_customer
  from {{ ref('entries') }} as e join {{ ref('stg_accounts') }} as a using (account_id)
  union all
  select epoch_us(created_at) // 86400000000, account_type, currency, 0, 1, null, null from {{ ref('stg_accounts') }}
)
select day, account_type, currency, sum(net_flow) as net_flow, sum(new_accounts) as new_accounts,
  count(distinct active_account) as active_accounts, count(distinct active_customer) as active_customers
from happened
group by all
