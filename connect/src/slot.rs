//! The replication slot: how far Postgres has kept its log for the connector.

use sqlx::{PgConnection, Row};

/// A replication slot, as `pg_replication_slots` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotState {
    /// Whether a connector reads it now.
    pub is_active: bool,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: String,
    /// Bytes of log that are kept for it.
    pub retained_bytes: Option<i64>,
    /// Bytes that may still be written before it is lost; `None` where nothing limits it.
    pub safe_bytes: Option<i64>,
}

impl SlotState {
    /// Whether what was not captured yet is gone.
    pub fn is_lost(&self) -> bool {
        self.wal_status == "lost"
    }
}

/// The state of a slot; `None` where there is no such slot. Any login may ask.
pub async fn slot_state(connection: &mut PgConnection, name: &str) -> Result<Option<SlotState>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT active, coalesce(wal_status, 'lost') AS wal_status, safe_wal_size,
                pg_wal_lsn_diff(
                    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn
                )::bigint AS retained
         FROM pg_replication_slots WHERE slot_name = $1",
    )
    .bind(name)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(SlotState {
        is_active: row.try_get("active")?,
        wal_status: row.try_get("wal_status")?,
        retained_bytes: row.try_get("retained")?,
        safe_bytes: row.try_get("safe_wal_size")?,
    }))
}
