-- Each transaction with the version of its account that was in force when it was made; before the first one, that.
with versions as (
  select account_id, customer_id, account_type, currency, dbt_valid_from as valid_from,
    row_number() over (partition by account_id order by dbt_valid_from) as version,
    row_number() over (partition by account_id order by dbt_valid_from desc) = 1 as is_newest
  from {{ ref('accounts_snapshot') }}
)
select t.transaction_id, t.account_id, coalesce(v.version, first.version) as account_version,
  coalesce(v.customer_id, first.customer_id) as customer_id, coalesce(v.account_type, first.account_type) as account_type,
  newest.currency, t.txn_type, t.amount, t.related_account_id, t.status, t.created_at
from {{ ref('stg_transactions') }} as t
asof left join versions as v on v.account_id = t.account_id and t.created_at >= v.valid_from
join versions as first on first.account_id = t.account_id and first.version = 1
join versions as newest on newest.account_id = t.account_id and newest.is_newest
