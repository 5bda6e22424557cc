"""Reads the Iceberg tables as docs/consistent-reads.md says, whose program is the module `consistent`.

`agree.py moment ARGUMENTS`: as of one moment, beside the newest copy of Postgres from before it. Ends with 3 while there is none yet.
`agree.py files ARGUMENTS`: all rows, beside those of the lake's files.
ARGUMENTS is a file of JSON: the catalog's properties, and copies of Postgres or the lake's folder.
"""

import json
import sys
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
from consistent import as_of_one_moment
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import NoSuchTableError

SILVER = ["silver.customers", "silver.accounts", "silver.transactions", "silver.postings"]
READ = ["bronze.accounts", "bronze.transactions", *SILVER]
BALANCES = "gold.account_balances"


def place(row):
    return (row["_generation"] or 1, row["_offset"])


def current(rows, key="id"):
    """The rows that stand, by their keys."""
    newest = {}
    for row in sorted(rows, key=place):
        if row[key] is not None:
            newest[row[key]] = row
    return {id: row for id, row in newest.items() if row.get("op", row.get("_op")) not in ("delete", "d", "tombstone")}


def same(what, ours, theirs):
    """They are equal; else what differs."""
    if ours != theirs:
        differ = [key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)]
        shown = "; ".join(f"{key}: {ours.get(key)} beside {theirs.get(key)}" for key in sorted(differ)[:5])
        raise AssertionError(f"{what}: {len(differ)} of {len(theirs)} differ: {shown}")


def typed(name, value):
    """A value of a copy of Postgres: money is text there, and a time is microseconds."""
    if value is None:
        return None
    if name.endswith("_at"):
        return datetime.fromtimestamp(0, timezone.utc) + timedelta(microseconds=value)
    return Decimal(value) if name in ("opening_balance", "balance", "amount") else value


def beside(what, rows, copy):
    """A table's current rows, beside Postgres'."""
    names = list(next(iter(copy.values())))
    ours = {id: {name: row[name] for name in names} for id, row in rows.items()}
    same(what, ours, {int(id): {name: typed(name, value) for name, value in row.items()} for id, row in copy.items()})


def moment(arguments):
    catalog = load_catalog("riverbank", **arguments["catalog"])
    # Those of a bank that has something of everything.
    copies = [copy for copy in arguments["copies"] if all(copy["tables"].values())]
    copies = {datetime.fromtimestamp(copy["before_ms"] / 1000, timezone.utc): copy for copy in copies}
    settle = timedelta(seconds=arguments["settle_s"])
    try:
        latest, _ = read = as_of_one_moment(catalog, READ, settle=settle)
        balances = catalog.load_table(BALANCES).scan().to_arrow().to_pylist()
    except (LookupError, NoSuchTableError) as error:
        print(error)
        sys.exit(3)
    whole(*read, balances)
    wanted = datetime.fromtimestamp(arguments["not_before_ms"] / 1000, timezone.utc)
    known = [time for time in copies if wanted <= time <= latest]
    if not known:
        print(f"whole until {latest}, and the first copy is of {min(copies, default=None)}; wanted from {wanted} on")
        sys.exit(3)
    time = max(known)
    before, rows = as_of_one_moment(catalog, READ, moment=time, settle=settle)
    whole(before, rows, balances)
    for name, copy in copies[time]["tables"].items():
        beside(f"silver.{name} at {time}", current(rows[f"silver.{name}"].to_pylist()), copy)
        if f"bronze.{name}" in rows:
            beside(f"bronze.{name} at {time}", current(rows[f"bronze.{name}"].to_pylist()), copy)
    sizes = {name: table.num_rows for name, table in rows.items()}
    print(json.dumps({"latest": str(latest), "moment": str(time), "behind_s": (latest - time) / timedelta(seconds=1), "rows": sizes}))


def whole(before, rows, balances):
    """Every row's counterpart in other tables is there, and the books balance."""
    all_rows = {name: table.to_pylist() for name, table in rows.items()}
    customers, accounts, transactions = (current(all_rows[name]) for name in SILVER[:3])
    lost = [id for id, row in accounts.items() if row["customer_id"] not in customers]
    assert not lost, f"before {before}: accounts {lost[:5]} are nobody's"
    lost = [id for id, row in transactions.items() if row["account_id"] not in accounts]
    assert not lost, f"before {before}: transactions {lost[:5]} are on no account"
    by_account, entries, by_transaction = defaultdict(Decimal), Counter(), defaultdict(Decimal)
    for posting in all_rows["silver.postings"]:
        by_account[posting["account_id"]] += posting["amount"]
        by_transaction[posting["transaction_id"]] += posting["amount"]
        entries[posting["account_id"]] += 1
    torn = {id: amount for id, amount in by_transaction.items() if amount != 0}
    assert not torn, f"before {before}: postings of {len(torn)} transactions do not sum to zero: {list(torn.items())[:5]}"
    computed = {id: row["opening_balance"] + by_account[id] for id, row in accounts.items()}
    same(f"before {before}: opening balances and postings", computed, {id: row["balance"] for id, row in accounts.items()})
    # A version with as many entries; a transaction that writes several shows the last one alone.
    versions = {(row["account_id"], row["entry_count"]): row["booked"] for row in sorted(balances, key=place)}
    known = {id: versions[id, entries[id]] for id in accounts if (id, entries[id]) in versions}
    same(f"before {before}: balances", known, {id: computed[id] for id in known})
    assert len(known) >= len(accounts) / 3, f"before {before}: only {len(known)} of {len(accounts)} balances are there"


def files(arguments):
    """Every table has the rows of its files, each once."""
    catalog = load_catalog("riverbank", **arguments["catalog"])
    lake, counts = Path(arguments["lake"]), {}
    for folder in sorted(path for path in lake.iterdir() if not path.name.startswith("_") and any(path.glob("day=*"))):
        table = catalog.load_table(folder.name).scan().to_arrow()
        names = table.column_names
        rows = [row for file in folder.glob("day=*/p=*/*.parquet") for row in pq.ParquetFile(file).read().to_pylist()]
        by_place = lambda rows: {(row["_partition"], *place(row)): [row.get(name) for name in names] for row in rows}  # noqa: E731
        ours, theirs = by_place(table.to_pylist()), by_place(rows)
        assert len(ours) == table.num_rows and len(theirs) == len(rows), f"{folder.name}: a row is there twice"
        same(folder.name, ours, theirs)
        counts[folder.name] = len(rows)
    print(json.dumps(counts))


if __name__ == "__main__":
    {"moment": moment, "files": files}[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))
