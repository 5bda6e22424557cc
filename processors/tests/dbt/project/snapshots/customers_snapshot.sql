{% snapshot customers_snapshot %}
{{ config(
  unique_key = 'customer_id',
  strategy = 'check',
  check_cols = ['first_name', 'last_name', 'email'],
  updated_at = none if env_var('BANK_NARROW', '') else 'updated_at',
  hard_deletes = 'new_record'
) }}
select * from {{ ref('stg_customers') }}
{% endsnapshot %}
