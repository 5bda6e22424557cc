select account_id, customer_id, account_type, currency, status, dbt_valid_from as valid_from
from {{ ref('accounts_snapshot') }}
where dbt_valid_to is null and dbt_is_deleted = 'False'
