"""The columns of the lake's tables, as the sink writes them; beside these, a file has `_generation`."""

from __future__ import annotations

import pyarrow as pa

BIGINT, INT, TEXT, BYTES, BOOL = pa.int64(), pa.int32(), pa.string(), pa.binary(), pa.bool_()
MONEY, SOURCE_MONEY, TIME, DAY = pa.decimal128(38, 4), pa.decimal128(20, 4), pa.timestamp("us", "UTC"), pa.date32()

COMMON = {"op": TEXT, "_topic": TEXT, "_partition": INT, "_offset": BIGINT, "_timestamp": TIME, "_raw_key": BYTES, "_raw": BYTES, "_error": TEXT}
BRONZE = {
    "_op": TEXT, "_lsn": BIGINT, "_tx_id": BIGINT, "_source_ts": TIME, "_snapshot": TEXT, "_before": TEXT, "_unparsed": TEXT,
    "_topic": TEXT, "_partition": INT, "_offset": BIGINT, "_raw_key": BYTES, "_raw": BYTES, "_error": TEXT,
}  # fmt: skip
SOURCE = {"source_lsn": BIGINT, "source_ts": TIME}
CUSTOMER = {"id": BIGINT, "first_name": TEXT, "last_name": TEXT, "email": TEXT, "created_at": TIME, "updated_at": TIME}
ACCOUNT = {
    "id": BIGINT, "customer_id": BIGINT, "account_type": TEXT, "currency": TEXT, "opening_balance": MONEY, "balance": MONEY,
    "status": TEXT, "closed_at": TIME, "created_at": TIME, "updated_at": TIME,
}  # fmt: skip
TRANSACTION = {
    "id": BIGINT, "account_id": BIGINT, "txn_type": TEXT, "amount": MONEY, "related_account_id": BIGINT, "status": TEXT,
    "created_at": TIME, "updated_at": TIME,
}  # fmt: skip
VALIDITY = {
    "valid_from": TIME, "valid_to": TIME, "is_current": BOOL, "is_deleted": BOOL, "source_lsn": BIGINT, "source_tx_id": BIGINT,
}  # fmt: skip
SHAPES: dict[str, dict[str, pa.DataType]] = {
    "bronze.customers": CUSTOMER | BRONZE,
    "bronze.accounts": ACCOUNT | {"opening_balance": SOURCE_MONEY, "balance": SOURCE_MONEY} | BRONZE,
    "bronze.transactions": TRANSACTION | {"amount": SOURCE_MONEY} | BRONZE,
    "silver.customers": CUSTOMER | SOURCE | COMMON,
    "silver.accounts": ACCOUNT | SOURCE | {"balance_from": TEXT} | COMMON,
    "silver.transactions": TRANSACTION | SOURCE | COMMON,
    "silver.postings": {
        "posting_id": TEXT, "transaction_id": BIGINT, "account_id": BIGINT, "is_cash": BOOL, "currency": TEXT, "amount": MONEY,
        "reverses": TEXT, "booked_at": TIME, "effective_at": TIME, "source_lsn": BIGINT, "entry_number": BIGINT, "balance_after": MONEY, "recorded_at": TIME,
        "key_account_id": BIGINT,
    } | COMMON,
    "silver.rejected": {
        "topic": TEXT, "partition": INT, "offset": BIGINT, "key": BYTES, "value": BYTES, "rule": TEXT, "reason": TEXT, "rejected_at": TIME,
        "row_id": BIGINT,
    } | COMMON,
    "gold.account_balances": {
        "account_id": BIGINT, "customer_id": BIGINT, "currency": TEXT, "opening": MONEY, "booked": MONEY, "pending": MONEY,
        "available": MONEY, "entry_count": BIGINT, "last_entry_at": TIME, "is_deleted": BOOL,
    } | SOURCE | {"commit_number": BIGINT} | COMMON,
    "gold.customer_history": {
        "customer_id": BIGINT, "version": BIGINT, "first_name": TEXT, "last_name": TEXT, "email": TEXT,
    } | VALIDITY | COMMON,
    "gold.account_history": {
        "account_id": BIGINT, "version": BIGINT, "customer_id": BIGINT, "account_type": TEXT, "currency": TEXT, "status": TEXT,
    } | VALIDITY | COMMON,
    "gold.transactions": {
        "transaction_id": BIGINT, "account_id": BIGINT, "account_version": BIGINT, "customer_id": BIGINT, "account_type": TEXT,
        "currency": TEXT, "txn_type": TEXT, "amount": MONEY, "related_account_id": BIGINT, "status": TEXT, "created_at": TIME,
        "updated_at": TIME,
    } | SOURCE | COMMON,
    "gold.customer_positions": {
        "customer_id": BIGINT, "currency": TEXT, "booked": MONEY, "available": MONEY, "accounts": BIGINT, "open_accounts": BIGINT,
    } | COMMON,
    "gold.account_daily": {
        "account_id": BIGINT, "day": DAY, "customer_id": BIGINT, "account_type": TEXT, "currency": TEXT, "opening": MONEY,
        "credits": MONEY, "debits": MONEY, "entries": BIGINT, "closing": MONEY,
    } | COMMON,
    "gold.bank_daily": {
        "day": DAY, "account_type": TEXT, "currency": TEXT, "net_flow": MONEY, "opened_with": MONEY, "new_accounts": BIGINT,
        "closed_accounts": BIGINT, "active_accounts": BIGINT, "active_customers": BIGINT,
    } | COMMON,
    "gold.transaction_minutes": {
        "minute": TIME, "txn_type": TEXT, "status": TEXT, "currency": TEXT, "transactions": BIGINT, "amount": MONEY, "failures": BIGINT,
    } | COMMON,
    "gold.reconciliation": {
        "account_id": BIGINT, "currency": TEXT, "streamed": MONEY, "source": MONEY, "difference": MONEY, "is_complete": BOOL,
    } | SOURCE | COMMON,
}  # fmt: skip
