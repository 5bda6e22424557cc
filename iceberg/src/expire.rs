//! Snapshots expire with the commits, so that the metadata, which each commit writes anew, stay small.
//!
//! The table's own properties say when: `history.expire.max-snapshot-age-ms` (a day, for tables that are made here) and
//! `history.expire.min-snapshots-to-keep`. Data files are never touched: they are the sink's.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::metadata::Metadata;

/// The property that says how long a snapshot is kept.
pub const AGE: &str = "history.expire.max-snapshot-age-ms";
const KEPT: &str = "history.expire.min-snapshots-to-keep";
/// Iceberg's own default: five days.
const AGE_MS: i64 = 432_000_000;
/// So many at once: a table that was left alone is tidied over some commits.
const AT_ONCE: usize = 20;

/// The snapshots that go with the next commit: the oldest, and none that a branch or tag is at.
pub fn due(metadata: &Metadata, now_ms: i64) -> Vec<i64> {
    let number = |name: &str| metadata.property(name).and_then(|text| text.parse::<i64>().ok());
    let before = now_ms - number(AGE).unwrap_or(AGE_MS);
    let kept = usize::try_from(number(KEPT).unwrap_or(1)).unwrap_or(1).max(1);
    let (all, referred) = (metadata.snapshots(), metadata.referred());
    // The next commit's is kept, too.
    let spare = (all.len() + 1).saturating_sub(kept);
    let old = all
        .iter()
        .take_while(|one| one["timestamp-ms"].as_i64().is_some_and(|at| at < before));
    let ids = old.filter_map(|one| one["snapshot-id"].as_i64());
    ids.filter(|id| !referred.contains(id)).take(spare.min(AT_ONCE)).collect()
}

/// The lists of snapshots that have expired. Nothing else names them.
pub fn lists<'a>(metadata: &'a Metadata, expired: &[i64]) -> Vec<&'a str> {
    let snapshots = expired.iter().filter_map(|id| metadata.snapshot(*id));
    snapshots.filter_map(|one| one["manifest-list"].as_str()).collect()
}

/// The list of the oldest snapshot that stays. Whatever manifest of an expired one is not in it is in none, if each snapshot follows
/// the one before it; `None` where that is not so, as after somebody went back to an earlier one.
pub fn oldest_list<'a>(metadata: &'a Metadata, expired: &[i64]) -> Option<&'a str> {
    let expired: BTreeSet<i64> = expired.iter().copied().collect();
    let id = |one: &Value| one["snapshot-id"].as_i64();
    let all = metadata.snapshots();
    let is_chain = all
        .windows(2)
        .all(|pair| pair[1]["parent-snapshot-id"].as_i64() == id(&pair[0]));
    let is_head = all.iter().position(|one| id(one).is_some_and(|id| !expired.contains(&id))) == Some(expired.len());
    let is_alone = metadata.referred().iter().all(|id| Some(*id) == metadata.main());
    let oldest = all.get(expired.len()).filter(|_| is_chain && is_head && is_alone)?;
    oldest["manifest-list"].as_str()
}
