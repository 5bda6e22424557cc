-- Days of UTC, whatever the session's time zone. Where the source does not say what an account opened with, there is no opening and no closing.
with days as (
  select account_id, epoch_us(created_at) // 86400000000 as day,
    coalesce(sum(amount) filter (amount > 0), 0) as credits, coalesce(-sum(amount) filter (amount < 0), 0) as debits, count(*) as entries
  from {{ ref('entries') }}
  group by all
)
select account_id, d.day, a.customer_id, a.account_type, a.currency,
  a.opening_balance + sum(d.credits - d.debits) over up_to - (d.credits - d.debits) as opening, d.credits, d.debits, d.entries,
  a.opening_balance + sum(d.credits - d.debits) over up_to as closing
from days as d
join {{ ref('stg_accounts') }} as a using (account_id)
window up_to as (partition by account_id order by d.day)
