{% snapshot accounts_snapshot %}
{{ config(
  unique_key = 'account_id',
  strategy = 'check',
  check_cols = ['customer_id', 'account_type', 'currency', 'status'],
  updated_at = none if env_var('BANK_NARROW', '') else 'updated_at',
  hard_deletes = 'new_record'
) }}
select * from {{ ref('stg_accounts') }}
{% endsnapshot %}
