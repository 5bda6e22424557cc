"""An emulator of the two Snowflake interfaces that Riverbank uses: the Snowpipe REST API and the SQL REST API.

Statements run on fakesnow, which runs Snowflake's SQL on DuckDB; what fakesnow lacks (roles, grants, warehouses,
integrations, pipes, schema evolution) is here. See README.md beside this package for what is true to Snowflake and
what is not.
"""
