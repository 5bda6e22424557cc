{# The instant of the run, of the test's own clock. #}
{% macro duckdb__snapshot_get_time() -%}
  (select make_timestamptz(at_us) from read_json('{{ env_var("BANK_SOURCE") }}/clock.json', columns = {at_us: 'BIGINT'}))
{%- endmacro %}

{% macro source_table(name, columns) -%}
  read_json('{{ env_var("BANK_SOURCE") }}/{{ name }}.json', format = 'newline_delimited', columns = {{ columns }})
{%- endmacro %}
