"""A small bank as files of the lake, and what every figure of it must be, computed apart from any SQL.

The files are as the sink writes them: each table's folder, a file a range of offsets of a partition, money as DECIMAL, and in
files of the first generation, as of earlier versions, no `_generation`. Keys have many versions, some are deleted, a topic was
made anew, some records cannot be read, and some files are there twice.
"""

from __future__ import annotations

import datetime
import random
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests import aggregates
from tests.shapes import INT, SHAPES

Row = tuple[Any, ...]

START = datetime.datetime(2026, 3, 1, 22, 30, tzinfo=datetime.UTC)
PARTITIONS = 3
TENTH_OF_A_CENT = Decimal("0.0001")

#: The tables that have a history, by their rows: its name, its id, and what makes a version.
HISTORIES = {
    "customers": ("gold.customer_history", "customer_id", ("first_name", "last_name", "email")),
    "accounts": ("gold.account_history", "account_id", ("customer_id", "account_type", "currency", "status")),
}


def rounded(value: Decimal, places: str) -> Decimal:
    return value.quantize(Decimal(places), ROUND_HALF_UP)


@dataclass
class Topic:
    """A table's topic: the records that its files hold."""

    name: str
    records: list[dict[str, Any]] = field(default_factory=list)
    generation: int = 1
    offsets: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))

    def add(self, key: int | str, time: datetime.datetime, op: str, /, **own: Any) -> None:
        # The partition of a key stays within a generation.
        partition = sum(str(key).encode()) % (PARTITIONS + self.generation - 1)
        place = (self.generation, partition)
        bronze = self.name.startswith("bronze.")
        where = {"_partition": partition, "_offset": self.offsets[place], "_topic": f"topic of {self.name}"}
        how = {"_op": op, "_source_ts": time} if bronze else {"op": op, "_timestamp": time}
        error = {"_error": "it is no Avro", "_raw": b"\x00"} if op == "undecodable" else {}
        self.records.append(own | where | how | error | {"_generation": self.generation})
        # Elsewhere a commit's marker takes an offset now and then.
        self.offsets[place] += 1 if bronze or len(self.records) % 7 else 2


class Bank:
    """The bank: its history as topics, and its present as plain values."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.topics = {name: Topic(name) for name in SHAPES}
        self.now, self.lsn = START, 1_000
        self.customers: dict[int, dict[str, Any]] = {}
        self.accounts: dict[int, dict[str, Any]] = {}
        self.transactions: dict[int, dict[str, Any]] = {}
        self.postings: dict[str, dict[str, Any]] = {}
        self.balances: dict[int, dict[str, Any]] = {}
        self.versions: dict[str, dict[int, list[dict[str, Any]]]] = {kind: defaultdict(list) for kind in HISTORIES}
        #: The rows of Gold that adds up, as their topics have them, by table and key.
        self.added_up: dict[str, dict[Any, dict[str, Any]]] = {table: {} for table in aggregates.KEYS}
        self.reconciled: dict[int, dict[str, Any]] = {}
        self.rejected: list[tuple[str, str, datetime.datetime]] = []
        self.undecodable = 0
        for id in range(1, 41):
            self.open_customer(id)
        for id in range(1, 61):
            self.open_account(id)
            self.add_up()
        for id in range(1, 251):
            if id == 150:
                self.make_topics_anew()
            self.transact(id)
            self.add_up()
        self.spoil()
        self.add_up()

    def tick(self) -> dict[str, Any]:
        self.now += datetime.timedelta(seconds=self.random.randrange(1, 5_000), microseconds=123_456)
        self.lsn += 8
        return {"source_lsn": self.lsn, "source_ts": self.now}

    def write(self, table: str, key: int | str, row: dict[str, Any], op: str = "upsert") -> None:
        kept = {name: value for name, value in row.items() if name in SHAPES[table]}
        self.topics[table].add(key, self.now, op, **kept)

    def change(self, kind: str, row: dict[str, Any]) -> None:
        """A new version of a row: in Bronze and Silver."""
        row |= self.tick() | {"updated_at": self.now}
        self.write(f"bronze.{kind}", row["id"], row, "u")
        self.write(f"silver.{kind}", row["id"], row)
        if kind in HISTORIES:
            self.follow(kind, row["id"], row)

    def write_version(self, kind: str, version: dict[str, Any]) -> None:
        table, id, _ = HISTORIES[kind]
        self.write(table, f"{version[id]}-{version['version']}", version)

    def follow(self, kind: str, id: int, row: dict[str, Any] | None) -> None:
        """The next version of a row, unless it is as it was; without a row, that of its deletion."""
        _, name, tracked = HISTORIES[kind]
        versions = self.versions[kind][id]
        since = self.now
        if versions:
            last = versions[-1]
            if row and all(row[column] == last[column] for column in tracked):
                return
            since = max(since, last["valid_from"] + datetime.timedelta(microseconds=1))
            last |= {"valid_to": since, "is_current": False}
            self.write_version(kind, last)
        columns = {column: (row or versions[-1])[column] for column in tracked}
        place = {name: id, "version": len(versions) + 1, "source_lsn": self.lsn, "source_tx_id": self.lsn // 8}
        versions.append(columns | place | {"valid_from": since, "valid_to": None, "is_current": True, "is_deleted": row is None})
        self.write_version(kind, versions[-1])

    def take_back(self, kind: str, id: int, row: dict[str, Any]) -> None:
        """A version that was seen on its way, in a transaction that changed nothing in the end."""
        table, name, _ = HISTORIES[kind]
        self.tick()
        self.follow(kind, id, row)
        gone = self.versions[kind][id].pop()
        self.write(table, f"{id}-{gone['version']}", {name: id, "version": gone["version"]}, "delete")
        self.versions[kind][id][-1] |= {"valid_to": None, "is_current": True}
        self.write_version(kind, self.versions[kind][id][-1])

    def open_customer(self, id: int) -> None:
        row = {"id": id, "first_name": f"Ada{id}", "last_name": f"Łoś-{id % 7}", "email": f"a{id}@x.org", "created_at": self.now}
        self.customers[id] = row
        self.change("customers", row)
        if id % 5 == 0:
            row["last_name"] = f"Married {id}"
            self.change("customers", row)
        if id == 40:
            self.write("silver.customers", id, {"id": id}, "delete")
            self.follow("customers", id, None)
            del self.customers[id]

    def open_account(self, id: int) -> None:
        opening = Decimal(self.random.randrange(0, 10**7)) * TENTH_OF_A_CENT
        row = {
            "id": id, "customer_id": id % 39 + 1, "account_type": "SAVINGS" if id % 3 else "CHECKING",
            "currency": "EUR" if id % 4 else "JPY", "opening_balance": opening, "balance": opening, "status": "ACTIVE",
            "created_at": self.now,
        }  # fmt: skip
        self.accounts[id] = row
        self.change("accounts", row)
        self.balances[id] = {
            "account_id": id, "customer_id": row["customer_id"], "currency": row["currency"], "opening": opening, "booked": opening,
            "pending": Decimal(0), "available": opening, "entry_count": 0, "is_deleted": False,
        }  # fmt: skip
        self.write("gold.account_balances", id, self.balances[id] | self.tick())
        if id % 20 == 0:
            row |= {"status": "INACTIVE", "closed_at": self.now}
            self.change("accounts", row)
        if id % 10 == 3:
            self.take_back("accounts", id, row | {"status": "INACTIVE"})
        if id == 60:
            self.balances[id]["is_deleted"] = True
            self.write("gold.account_balances", id, self.balances[id] | self.tick())
        if id == 59:
            self.write("silver.accounts", id, {"id": id}, "delete")
            self.follow("accounts", id, None)
            self.write("gold.account_balances", id, {"account_id": id}, "delete")
            del self.accounts[id], self.balances[id]

    def transact(self, id: int) -> None:
        account = self.random.choice(sorted(self.accounts.keys() & self.balances.keys() - {60}))
        kind = self.random.choice(["DEPOSIT", "WITHDRAWAL", "TRANSFER"])
        same = [other for other in self.balances if other != account and self.currency(other) == self.currency(account) and other != 60]
        row = {
            "id": id, "account_id": account, "txn_type": kind, "amount": Decimal(self.random.randrange(1, 10**6)) * TENTH_OF_A_CENT,
            "related_account_id": self.random.choice(same) if kind == "TRANSFER" else None, "status": "PENDING", "created_at": self.now,
        }  # fmt: skip
        self.transactions[id] = row
        self.change("transactions", row)
        row["status"] = self.random.choice(["PENDING", "COMPLETED", "COMPLETED", "FAILED", "REVERSED"])
        if row["status"] in ("COMPLETED", "REVERSED"):
            self.post(row, 1)
        if row["status"] == "REVERSED":
            self.post(row, -1)
        self.change("transactions", row)

    def currency(self, account: int) -> str:
        return self.balances[account]["currency"]

    def post(self, transaction: dict[str, Any], sign: int) -> None:
        amount = transaction["amount"] * sign
        own, other = transaction["account_id"], transaction["related_account_id"]
        match transaction["txn_type"]:
            case "DEPOSIT":
                legs = [(own, amount), (None, -amount)]
            case "WITHDRAWAL":
                legs = [(own, -amount), (None, amount)]
            case _:
                legs = [(own, -amount), (other, amount)]
        for number, (account, change) in enumerate(legs):
            name = f"{transaction['id']}-{number}"
            id = f"{name}-{'post' if sign > 0 else 'reverse'}"
            posting = {
                "posting_id": id, "transaction_id": transaction["id"], "account_id": account or -1, "is_cash": account is None,
                "effective_at": transaction["created_at"], "currency": self.currency(own), "amount": change,
                "reverses": f"{name}-post" if sign < 0 else None, "booked_at": self.now,
            }  # fmt: skip
            self.postings[id] = posting
            if account is not None:
                balance = self.balances[account]
                balance["booked"] += change
                balance["available"] += change
                balance["entry_count"] += 1
                posting |= {"entry_number": balance["entry_count"], "balance_after": balance["booked"], "recorded_at": self.now}
            self.write("silver.postings", id, posting | self.tick() | {"key_account_id": own}, "append")
            if account is not None:
                self.write("gold.account_balances", account, balance | self.tick() | {"last_entry_at": self.now})
                self.reconcile(account)

    def reconcile(self, account: int) -> None:
        """The source of every fifth account has a cent more."""
        streamed = self.balances[account]["booked"]
        source = streamed + (Decimal("0.01") if account % 5 == 0 else 0)
        row = {"account_id": account, "currency": self.currency(account), "streamed": streamed, "source": source, "difference": streamed - source}
        self.reconciled[account] = row | {"is_complete": True} | self.tick()
        self.write("gold.reconciliation", account, self.reconciled[account])

    def aggregates(self) -> dict[str, list[dict[str, Any]]]:
        postings = list(self.postings.values())
        return aggregates.aggregates(self.accounts, self.versions["accounts"], self.balances, self.transactions, postings)

    def add_up(self) -> None:
        """Writes each group that is another now, and the end of each that is no more."""
        for table, rows in self.aggregates().items():
            known, now = self.added_up[table], aggregates.by_key(table, rows)
            for key in known.keys() - now.keys():
                self.write(table, str(key), dict(zip(aggregates.KEYS[table], key, strict=True)), "delete")
            for key, row in now.items():
                if known.get(key) != row:
                    self.write(table, str(key), row)
            self.added_up[table] = now

    def make_topics_anew(self) -> None:
        """The topics are deleted and made anew: offsets begin at 0, and what there is comes again."""
        for topic in self.topics.values():
            topic.generation += 1
        for id, row in self.customers.items():
            self.write("silver.customers", id, row | self.tick())
        for id, row in self.accounts.items():
            self.write("silver.accounts", id, row | self.tick())
        for id, row in self.transactions.items():
            self.write("silver.transactions", id, row | self.tick())
        for kind, histories in self.versions.items():
            for version in (version for versions in histories.values() for version in versions):
                self.write_version(kind, version)
        self.added_up = {table: {} for table in aggregates.KEYS}
        self.add_up()

    def spoil(self) -> None:
        """An account that is gone from Silver while its transactions are there, records that cannot be read, those that break a
        rule, and gaps in Bronze."""
        gone = self.transactions[1]["account_id"]
        self.write("silver.accounts", gone, {"id": gone}, "delete")
        self.follow("accounts", gone, None)
        del self.accounts[gone]
        for table, id in (("silver.accounts", 1), ("gold.account_balances", 2), ("bronze.customers", 3)):
            self.topics[table].add(id, self.now, "undecodable", **({"account_id": id} if table.startswith("gold") else {"id": id}))
            self.undecodable += 1
        self.topics["gold.account_daily"].add("2", self.now, "undecodable", account_id=2, day=self.now.date())
        self.undecodable += 1
        for number in range(5):
            topic, rule = f"bank.public.{'accounts' if number % 2 else 'customers'}", "amount-above-zero"
            self.tick()
            self.rejected.append((topic, rule, self.now))
            row = {"topic": topic, "partition": 0, "offset": number, "key": b"k", "value": b"v", "rule": rule, "reason": "it is not"}
            self.write("silver.rejected", number, row | {"rejected_at": self.now, "row_id": number}, "append")
        topic = self.topics["bronze.customers"]
        topic.offsets[(topic.generation, 0)] += 4
        topic.add("0", self.now, "tombstone")
        topic.add("0", self.now, "tombstone")
        topic.offsets[(topic.generation, 0)] += 3
        topic.add("0", self.now, "tombstone")

    # --- files ---------------------------------------------------------------------------------------------------

    def files(self, table: str) -> dict[str, list[dict[str, Any]]]:
        """The table's files, by their paths under its folder."""
        files: dict[tuple[int, int, int], list[dict[str, Any]]] = defaultdict(list)
        for record in self.topics[table].records:
            place = (record["_generation"], record["_partition"])
            files[*place, record["_offset"] // 40].append(record)
        named = {}
        for (generation, partition, _), records in files.items():
            time = records[0].get("_timestamp") or records[0]["_source_ts"]
            first, last = records[0]["_offset"], records[-1]["_offset"]
            prefix = "" if generation == 1 else f"g{generation}-"
            named[f"day={time:%Y-%m-%d}/p={partition:02}/{prefix}{first}-{last}-s2.parquet"] = records
        return named

    def write_files(self, lake: Path) -> dict[str, list[str]]:
        """Writes every file, and returns their paths by table."""
        written: dict[str, list[str]] = {}
        for table, shape in SHAPES.items():
            for path, records in self.files(table).items():
                # Those of the first generation are of an earlier version, which had no such column.
                columns = shape if records[0]["_generation"] == 1 else shape | {"_generation": INT}
                rows = pa.Table.from_pylist(records, pa.schema(list(columns.items())))
                file = lake / table / path
                file.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(rows, file, compression="zstd")
                written.setdefault(table, []).append(path)
        return written

    # --- figures -------------------------------------------------------------------------------------------------

    def figures(self) -> dict[str, list[Row]]:
        """What each view must return, its rows in any order."""
        live = [balance for balance in self.balances.values() if not balance["is_deleted"]]
        added_up = aggregates.figures(self.aggregates())
        return self.rows() | self.history_figures() | added_up | self.balance_figures(live) | self.transaction_figures() | self.quality()

    def history_figures(self) -> dict[str, list[Row]]:
        validity = ("valid_from", "valid_to", "is_current", "is_deleted", "source_lsn")
        figures = {}
        for kind, (table, id, tracked) in HISTORIES.items():
            columns = (id, "version", *tracked, *validity)
            all = [version for versions in self.versions[kind].values() for version in versions]
            figures[f"SELECT {', '.join(columns)} FROM {table}"] = [tuple(version[name] for name in columns) for version in all]
        return figures

    def rows(self) -> dict[str, list[Row]]:
        name = {id: f"{row['first_name']} {row['last_name']}" for id, row in self.customers.items()}
        account = lambda id: self.accounts.get(id, {})  # noqa: E731
        return {
            "SELECT id, email, last_name, updated_at FROM silver.customers": [
                (id, row["email"], row["last_name"], row["updated_at"]) for id, row in self.customers.items()
            ],
            "SELECT id, status, balance, closed_at FROM silver.accounts": [
                (id, row["status"], row["balance"], row.get("closed_at")) for id, row in self.accounts.items()
            ],
            "SELECT id, status, amount, related_account_id FROM silver.transactions": [
                (id, row["status"], row["amount"], row["related_account_id"]) for id, row in self.transactions.items()
            ],
            "SELECT account_id, opening, booked, available, entry_count, is_deleted FROM gold.account_balances": [
                (id, row["opening"], row["booked"], row["available"], row["entry_count"], row["is_deleted"])
                for id, row in self.balances.items()
            ],
            "SELECT customer_id, full_name, created_on FROM gold.dim_customer": [
                (id, name[id], row["created_at"].date()) for id, row in self.customers.items()
            ],
            "SELECT account_id, customer_name, currency, opening_balance FROM gold.dim_account": [
                (id, name.get(row["customer_id"]), row["currency"], row["opening_balance"]) for id, row in self.accounts.items()
            ],
            "SELECT transaction_id, customer_id, currency, amount, created_on FROM gold.fact_transactions": [
                (
                    id, account(row["account_id"]).get("customer_id"), account(row["account_id"]).get("currency"),
                    row["amount"], row["created_at"].date(),
                )
                for id, row in self.transactions.items()
            ],
            "SELECT posting_id, account_id, is_cash, amount, is_reversal, booked_on FROM gold.fact_postings": [
                (id, row["account_id"], row["is_cash"], row["amount"], row["reverses"] is not None, row["booked_at"].date())
                for id, row in self.postings.items()
            ],
            "SELECT date_day, date_key, iso_week, month_start, is_weekend FROM gold.dim_date WHERE year_number = 2026": [
                (
                    day, int(f"{day:%Y%m%d}"), day.isocalendar().week, day.replace(day=1), day.isoweekday() >= 6,
                )
                for day in (datetime.date(2026, 1, 1) + datetime.timedelta(days=n) for n in range(365))
            ],
            "SELECT COUNT(*), MIN(date_day), MAX(date_day) FROM gold.dim_date": [
                (10_958, datetime.date(2020, 1, 1), datetime.date(2049, 12, 31))
            ],
        }  # fmt: skip

    def balance_figures(self, live: list[dict[str, Any]]) -> dict[str, list[Row]]:
        name = {id: f"{row['first_name']} {row['last_name']}" for id, row in self.customers.items()}
        totals, top_accounts, top_customers = [], [], []
        for currency in ("EUR", "JPY"):
            of = [balance for balance in live if balance["currency"] == currency]
            total = sum(balance["booked"] for balance in of)
            totals.append((
                currency, len(of), total, sum(b["pending"] for b in of), sum(b["available"] for b in of),
                rounded(total / len(of), "0.0001"),
            ))  # fmt: skip
            of.sort(key=lambda balance: (-balance["booked"], balance["account_id"]))
            top_accounts += [
                (currency, place, b["account_id"], b["customer_id"], name.get(b["customer_id"]), b["booked"])
                for place, b in enumerate(of[:10], 1)
            ]
            customers: dict[int, list[Decimal]] = defaultdict(list)
            for balance in of:
                customers[balance["customer_id"]].append(balance["booked"])
            order = sorted(customers, key=lambda id: (-sum(customers[id]), id))
            top_customers += [
                (currency, place, id, name.get(id), len(customers[id]), sum(customers[id])) for place, id in enumerate(order[:10], 1)
            ]
        return {
            "SELECT * FROM gold.kpi_as_of": [(self.newest_change(),)],
            "SELECT * FROM gold.kpi_balances": totals,
            "SELECT * FROM gold.kpi_top_accounts": top_accounts,
            "SELECT * FROM gold.kpi_top_customers": top_customers,
        }

    def newest_change(self) -> datetime.datetime:
        """Of the balances as they are: the last version of each, unless that is a delete."""
        newest: dict[int, dict[str, Any]] = {}
        for record in self.topics["gold.account_balances"].records:
            if record["op"] != "undecodable":
                newest[record["account_id"]] = record
        return max(record["source_ts"] for record in newest.values() if record["op"] != "delete")

    def transaction_figures(self) -> dict[str, list[Row]]:
        types, days, mix = defaultdict(list), defaultdict(list), defaultdict(list)
        for row in self.transactions.values():
            currency = self.accounts.get(row["account_id"], {}).get("currency")
            mix[currency, row["status"]].append(row["amount"])
            if row["status"] == "COMPLETED":
                types[currency, row["txn_type"]].append(row["amount"])
                days[row["created_at"].date(), currency, row["txn_type"]].append(row["amount"])
        of = {currency: sum(len(a) for (c, _), a in mix.items() if c == currency) for currency, _ in mix}
        flows = defaultdict(list)
        for row in self.postings.values():
            if not row["is_cash"]:
                flows[row["booked_at"].date(), row["currency"]].append(row["amount"])
        return {
            "SELECT * FROM gold.kpi_totals": [(
                len(self.customers), len(self.accounts), sum(row["status"] == "ACTIVE" for row in self.accounts.values()),
                len(self.transactions), sum(row["status"] == "COMPLETED" for row in self.transactions.values()), len(self.postings),
            )],
            "SELECT * FROM gold.kpi_amount_by_type": [(*key, len(a), sum(a)) for key, a in types.items()],
            "SELECT * FROM gold.kpi_transactions_by_day": [(*key, len(a), sum(a)) for key, a in days.items()],
            "SELECT * FROM gold.kpi_status_mix": [
                (*key, len(a), sum(a), rounded(Decimal(100 * len(a)) / of[key[0]], "0.01")) for key, a in mix.items()
            ],
            "SELECT * FROM gold.kpi_postings_by_day": [
                (*key, len(a), sum(x for x in a if x > 0), -sum(x for x in a if x < 0), sum(a)) for key, a in flows.items()
            ],
        }  # fmt: skip

    def quality(self) -> dict[str, list[Row]]:
        rules = defaultdict(list)
        for topic, rule, time in self.rejected:
            rules[topic, rule].append(time)
        positions = defaultdict(list)
        for table, topic in self.topics.items():
            for record in topic.records:
                positions[table, record["_generation"], record["_partition"]].append(record["_offset"])
        gaps = [
            (table, generation, partition, before + 1, after - 1)
            for (table, generation, partition), offsets in positions.items()
            if table.startswith("bronze.")
            for before, after in zip(sorted(offsets), sorted(offsets)[1:], strict=False)
            if after > before + 1
        ]
        differing = {id: row for id, row in self.reconciled.items() if row["difference"]}
        return {
            "SELECT * FROM ops.dq_rejected": [(*key, len(times), min(times), max(times)) for key, times in rules.items()],
            "SELECT COUNT(*) FROM ops.dq_undecodable": [(self.undecodable,)],
            "SELECT table_name, _generation, _partition, first_missing, last_missing FROM ops.dq_gaps": gaps,
            "SELECT * FROM ops.dq_unbalanced": [],
            "SELECT * FROM ops.dq_balances": [],
            "SELECT view_name, findings FROM gold.kpi_findings WHERE view_name <> 'dq_duplicates'": [
                ("dq_undecodable", self.undecodable), ("dq_rejected", len(rules)), ("dq_unbalanced", 0), ("dq_balances", 0),
                ("dq_reconciliation", len(differing)),
            ],
            "SELECT account_id, streamed, source, difference, is_complete FROM ops.dq_reconciliation": [
                (id, row["streamed"], row["source"], row["difference"], row["is_complete"]) for id, row in differing.items()
            ],
            "SELECT account_id, currency, streamed, source, source_ts FROM gold.reconciliation": [
                (id, row["currency"], row["streamed"], row["source"], row["source_ts"]) for id, row in self.reconciled.items()
            ],
            "SELECT posting_id, entry_number, balance_after FROM silver.postings": [
                (id, row.get("entry_number"), row.get("balance_after")) for id, row in self.postings.items()
            ],
            "SELECT table_name, _generation, _partition, first_offset, last_offset, offsets_without_row FROM ops.dq_positions": [
                (*key, min(offsets), max(offsets), max(offsets) - min(offsets) + 1 - len(offsets)) for key, offsets in positions.items()
            ],
        }  # fmt: skip
