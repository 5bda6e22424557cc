select customer_id, first_name, last_name, email, dbt_valid_from as valid_from
from {{ ref('customers_snapshot') }}
where dbt_valid_to is null and dbt_is_deleted = 'False'
