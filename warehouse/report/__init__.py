"""A page of charts from the lake's files: the views of warehouse/duckdb.sql, drawn."""
