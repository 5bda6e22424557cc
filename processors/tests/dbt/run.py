"""Runs dbt after each batch of changes at the source.

Reads a line of JSON for each batch from standard input: `at_us`, the instant of the run, and the source's tables as they are then. Writes
the tables that dbt has made in the end as one JSON object, with instants as microseconds since the epoch. With BANK_NARROW the source does not say
when its rows were changed: a version begins with the run that sees it.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

TABLES = ["customers", "accounts", "transactions"]

ANSWERS = {
    "customers": """
        select customer_id, first_name, last_name, email, epoch_us(dbt_valid_from) as valid_from, epoch_us(dbt_valid_to) as valid_to,
          dbt_is_deleted = 'True' as is_deleted
        from customers_snapshot order by customer_id, dbt_valid_from""",
    "accounts": """
        select account_id, customer_id, account_type, currency, status, epoch_us(dbt_valid_from) as valid_from,
          epoch_us(dbt_valid_to) as valid_to, dbt_is_deleted = 'True' as is_deleted
        from accounts_snapshot order by account_id, dbt_valid_from""",
    "dim_customers": "select customer_id, first_name, last_name, email from dim_customers order by all",
    "dim_accounts": "select account_id, customer_id, account_type, currency, status from dim_accounts order by all",
    "fct_transactions": """
        select transaction_id, account_id, txn_type, status, amount::varchar as amount, related_account_id, epoch_us(created_at) as created_at
        from fct_transactions order by all""",
    "customer_positions": """
        select customer_id, currency, booked::varchar as booked, available::varchar as available, accounts, open_accounts
        from customer_positions order by all""",
    "account_daily": """
        select account_id, day, customer_id, account_type, currency, opening::varchar as opening, credits::varchar as credits,
          debits::varchar as debits, entries, closing::varchar as closing
        from account_daily order by all""",
    "transactions": """
        select transaction_id, account_id, account_version, customer_id, account_type, currency, txn_type, amount::varchar as amount,
          related_account_id, status, epoch_us(created_at) as created_at
        from transactions order by all""",
    "transaction_minutes": """
        select minute, txn_type, status, currency, transactions, amount::varchar as amount, failures
        from transaction_minutes order by all""",
    "bank_daily": """
        select day, account_type, currency, net_flow::varchar as net_flow, new_accounts::bigint as new_accounts, active_accounts, active_customers
        from bank_daily order by all""",
}


def main() -> None:
    project = Path(__file__).parent / "project"
    with tempfile.TemporaryDirectory() as work:
        source = Path(work) / "source"
        source.mkdir()
        os.environ |= {"BANK_SOURCE": str(source), "BANK_DATABASE": str(Path(work) / "bank.duckdb"), "DO_NOT_TRACK": "1"}
        # What dbt prints is no answer.
        answer, sys.stdout = sys.stdout, sys.stderr
        from dbt.cli.main import dbtRunner

        dbt = dbtRunner()
        where = ["--project-dir", str(project), "--profiles-dir", str(project), "--target-path", work, "--log-path", work]
        for line in sys.stdin:
            batch = json.loads(line)
            (source / "clock.json").write_text(json.dumps({"at_us": batch["at_us"]}))
            for table in TABLES:
                (source / f"{table}.json").write_text("".join(json.dumps(row) + "\n" for row in batch[table]))
            ran = dbt.invoke(["--quiet", "build", *where])
            if not ran.success:
                failed = [f"{one.node.name}: {one.message}" for one in getattr(ran.result, "results", []) if one.status not in ("success", "pass")]
                sys.exit(f"dbt failed at {batch['at_us']}: {ran.exception or failed}")
        import duckdb

        with duckdb.connect(os.environ["BANK_DATABASE"]) as database:
            tables = {}
            for name, sql in ANSWERS.items():
                found = database.execute(sql)
                columns = [column[0] for column in found.description]
                tables[name] = [dict(zip(columns, row)) for row in found.fetchall()]
        json.dump(tables, answer)


main()
