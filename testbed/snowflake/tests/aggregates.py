"""Gold that is made of rows, computed anew from the bank's plain values: the facts, and what each group comes to, as the topics have it."""

from __future__ import annotations

import datetime
from collections import defaultdict
from decimal import Decimal
from typing import Any

#: A row, by its table's columns.
Group = dict[str, Any]

#: The columns that are each table's key.
KEYS = {
    "gold.transactions": ("transaction_id",),
    "gold.customer_positions": ("customer_id", "currency"),
    "gold.account_daily": ("account_id", "day"),
    "gold.bank_daily": ("day", "account_type", "currency"),
    "gold.transaction_minutes": ("minute", "txn_type", "status", "currency"),
}


def aggregates(
    accounts: dict[int, Group],
    versions: dict[int, list[Group]],
    balances: dict[int, Group],
    transactions: dict[int, Group],
    postings: list[Group],
) -> dict[str, list[Group]]:
    """Each table's rows, of the accounts, balances and transactions that are there, of all versions of accounts, and of all postings."""
    days = account_days(accounts, postings)
    of_transactions = facts(versions, transactions)
    return {
        "gold.transactions": of_transactions,
        "gold.customer_positions": positions(accounts, balances),
        "gold.account_daily": days,
        "gold.bank_daily": bank_days(accounts, days),
        "gold.transaction_minutes": minutes(of_transactions),
    }


def facts(versions: dict[int, list[Group]], transactions: dict[int, Group]) -> list[Group]:
    """Each transaction with the version of its account that was in force when it was made; before the first one, that."""
    rows = []
    for id, row in transactions.items():
        if of := versions.get(row["account_id"]):
            then = ([version for version in of if version["valid_from"] <= row["created_at"]] or of[:1])[-1]
            rows.append({
                "transaction_id": id, "account_id": row["account_id"], "account_version": then["version"],
                "customer_id": then["customer_id"], "account_type": then["account_type"], "currency": of[-1]["currency"],
            } | {
                name: row[name]
                for name in ("txn_type", "amount", "related_account_id", "status", "created_at", "updated_at", "source_lsn", "source_ts")
            })  # fmt: skip
    return rows


def positions(accounts: dict[int, Group], balances: dict[int, Group]) -> list[Group]:
    groups: dict[Any, list[tuple[Group, Group]]] = defaultdict(list)
    for id, account in accounts.items():
        if id in balances:
            groups[account["customer_id"], account["currency"]].append((account, balances[id]))
    return [
        {
            "customer_id": customer, "currency": currency, "booked": sum(b["booked"] for _, b in of),
            "available": sum(b["available"] for _, b in of), "accounts": len(of),
            "open_accounts": sum(a["status"] == "ACTIVE" for a, _ in of),
        }
        for (customer, currency), of in groups.items()
    ]  # fmt: skip


def account_days(accounts: dict[int, Group], postings: list[Group]) -> list[Group]:
    reversed_ = {posting["reverses"] for posting in postings if posting["reverses"]}
    standing: dict[int, dict[datetime.date, list[Decimal]]] = defaultdict(lambda: defaultdict(list))
    for posting in postings:
        if not posting["is_cash"] and not posting["reverses"] and posting["posting_id"] not in reversed_:
            standing[posting["account_id"]][posting["effective_at"].date()].append(posting["amount"])
    rows = []
    for id, account in accounts.items():
        opening = account["opening_balance"]
        for day, amounts in sorted(standing[id].items()):
            credits, debits = sum(a for a in amounts if a > 0), -sum(a for a in amounts if a < 0)
            closing = opening + credits - debits
            rows.append({
                "account_id": id, "day": day, "customer_id": account["customer_id"], "account_type": account["account_type"],
                "currency": account["currency"], "opening": opening, "credits": Decimal(credits), "debits": Decimal(debits),
                "entries": len(amounts), "closing": closing,
            })  # fmt: skip
            opening = closing
    return rows


def bank_days(accounts: dict[int, Group], days: list[Group]) -> list[Group]:
    groups: dict[Any, Group] = {}

    def group(day: datetime.date, row: Group) -> Group:
        key = (day, row["account_type"], row["currency"])
        empty = {"net_flow": Decimal(0), "opened_with": Decimal(0), "new_accounts": 0, "closed_accounts": 0, "active_accounts": 0, "active": set()}
        return groups.setdefault(key, dict(zip(KEYS["gold.bank_daily"], key, strict=True)) | empty)

    for row in days:
        of = group(row["day"], row)
        of["net_flow"] += row["credits"] - row["debits"]
        of["active_accounts"] += 1
        of["active"].add(row["customer_id"])
    for account in accounts.values():
        of = group(account["created_at"].date(), account)
        of["new_accounts"] += 1
        of["opened_with"] += account["opening_balance"]
        if account["status"] == "INACTIVE" and account.get("closed_at"):
            group(account["closed_at"].date(), account)["closed_accounts"] += 1
    return [{name: value for name, value in of.items() if name != "active"} | {"active_customers": len(of["active"])} for of in groups.values()]


def minutes(transactions: list[Group]) -> list[Group]:
    groups: dict[Any, list[Decimal]] = defaultdict(list)
    for row in transactions:
        minute = row["created_at"].replace(second=0, microsecond=0)
        groups[minute, row["txn_type"], row["status"], row["currency"]].append(row["amount"])
    return [
        dict(zip(KEYS["gold.transaction_minutes"], key, strict=True))
        | {"transactions": len(amounts), "amount": sum(amounts), "failures": len(amounts) if key[2] == "FAILED" else 0}
        for key, amounts in groups.items()
    ]


def by_key(table: str, rows: list[Group]) -> dict[tuple[Any, ...], Group]:
    """The rows of a table by their keys."""
    return {tuple(row[column] for column in KEYS[table]): row for row in rows}


def figures(tables: dict[str, list[Group]]) -> dict[str, list[tuple[Any, ...]]]:
    """What the current rows and the figures on top of them must be."""
    rows = {f"SELECT {', '.join(of[0])} FROM {table}": [tuple(row.values()) for row in of] for table, of in tables.items() if of}
    by_day: dict[Any, list[Any]] = defaultdict(lambda: [Decimal(0), Decimal(0), 0, 0, 0])
    added = ("net_flow", "opened_with", "new_accounts", "closed_accounts", "active_accounts")
    for row in tables["gold.bank_daily"]:
        sums = by_day[row["day"], row["currency"]]
        sums[:] = [sum + row[name] for sum, name in zip(sums, added, strict=True)]
    held: dict[str, Decimal] = defaultdict(Decimal)
    bank = []
    for (day, currency), (net_flow, opened_with, *counts) in sorted(by_day.items()):
        held[currency] += net_flow + opened_with
        bank.append((day, currency, net_flow, opened_with, held[currency], *counts))
    by_minute: dict[Any, list[int]] = defaultdict(lambda: [0, 0])
    for row in tables["gold.transaction_minutes"]:
        sums = by_minute[row["minute"].date(), row["minute"], row["currency"]]
        sums[:] = [sums[0] + row["transactions"], sums[1] + row["failures"]]
    newest: dict[str, list[Any]] = defaultdict(list)
    for (day, minute, currency), sums in sorted(by_minute.items(), reverse=True):
        newest[currency].append((day, minute, currency, *sums))
    return rows | {
        "SELECT * FROM gold.kpi_bank_by_day": bank,
        "SELECT * FROM gold.kpi_transactions_by_minute": [row for of in newest.values() for row in of[:1440]],
    }
