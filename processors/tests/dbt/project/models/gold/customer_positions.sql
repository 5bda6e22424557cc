with balances as (
  select a.customer_id, a.currency, a.status,
    a.opening_balance + coalesce((select sum(e.amount) from {{ ref('entries') }} as e where e.account_id = a.account_id), 0) as booked,
    coalesce((
      select sum(t.amount) from {{ ref('stg_transactions') }} as t
      where t.account_id = a.account_id and t.status = 'PENDING' and t.txn_type <> 'DEPOSIT'
    ), 0) as pending
  from {{ ref('stg_accounts') }} as a
)
select customer_id, currency, sum(booked) as booked, sum(booked - pending) as available, count(*) as accounts,
  count(*) filter (status = 'ACTIVE') as open_accounts
from balances
group by all
