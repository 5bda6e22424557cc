//! Snapshots expire with the commits, so that the metadata, which each commit writes anew, stay small; those of a table to which no commit
//! comes, when it is tended ([`crate::maintain`]).
//!
//! The table's own properties say when: `history.expire.max-snapshot-age-ms` (a day, for tables that are made here) and
//! `history.expire.min-snapshots-to-keep`. However old they are, those stay by which a reader knows up to where the table is whole
//! (`docs/consistent-reads.md`). Data files are never touched: they are the sink's.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::metadata::Metadata;
use crate::progress::WATERMARK_TIME;

/// The property that says how long a snapshot is kept.
pub const AGE: &str = "history.expire.max-snapshot-age-ms";
const KEPT: &str = "history.expire.min-snapshots-to-keep";
/// Iceberg's own default: five days.
const AGE_MS: i64 = 432_000_000;
/// A reader looks for a snapshot that is older than the newest one by as long as files take to be committed: by less than this.
const SETTLE_MS: i64 = 600_000;
/// So many at once: a table that was left alone is tidied over some commits.
const AT_ONCE: usize = 20;

/// The snapshots that go now: the oldest, and none that a branch or tag is at.
/// `coming`: how many the same commit adds.
pub fn due(metadata: &Metadata, now_ms: i64, coming: usize) -> Vec<i64> {
    let number = |name: &str| metadata.property(name).and_then(|text| text.parse::<i64>().ok());
    let age = number(AGE).unwrap_or(AGE_MS);
    let before = now_ms - age;
    let kept = usize::try_from(number(KEPT).unwrap_or(1)).unwrap_or(1).max(1);
    let (all, referred) = (metadata.snapshots(), metadata.referred());
    let spare = (all.len() + coming).saturating_sub(kept);
    let old = all[..first_proof(all, age.clamp(0, SETTLE_MS))]
        .iter()
        .take_while(|one| one["timestamp-ms"].as_i64().is_some_and(|at| at < before));
    let ids = old.filter_map(|one| one["snapshot-id"].as_i64());
    ids.filter(|id| !referred.contains(id)).take(spare.min(AT_ONCE)).collect()
}

/// Where the newest snapshot is that says up to where the table is whole, and is older than the newest that says so by this; or else the
/// oldest that says so. All of them, where none does.
fn first_proof(all: &[Value], settle_ms: i64) -> usize {
    let says = |one: &Value| one["summary"][WATERMARK_TIME].is_string();
    let at = |one: &Value| one["timestamp-ms"].as_i64().unwrap_or(0);
    let Some(newest) = all.iter().rposition(says) else {
        return all.len();
    };
    let settled = |one: &Value| says(one) && at(&all[newest]) - at(one) >= settle_ms;
    let settled = all[..=newest].iter().rposition(settled);
    settled.or_else(|| all.iter().position(says)).unwrap_or(newest)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::Columns;

    /// A table with a snapshot at each of these minutes, the ones marked say up to where it is whole.
    fn table(minutes: &[(i64, bool)]) -> Metadata {
        let columns = Columns::declared(&arrow::datatypes::Schema::empty(), "t").unwrap();
        let mut json = Metadata::new("memory:///t", &columns, &[].into(), 0).json().clone();
        let snapshots = minutes.iter().zip(1..).map(|((minute, says), id)| {
            let summary = match says {
                true => json!({WATERMARK_TIME: "2026-01-01T00:00:00Z"}),
                false => json!({}),
            };
            json!({"snapshot-id": id, "timestamp-ms": minute * 60_000, "summary": summary})
        });
        json["snapshots"] = snapshots.collect();
        json["refs"]["main"] = json!({"snapshot-id": minutes.len(), "type": "branch"});
        json["properties"][AGE] = "86400000".into();
        Metadata::from_json(json).unwrap()
    }

    #[test]
    fn a_table_that_is_left_alone_still_says_up_to_where_it_is_whole() {
        let years_later = 1_000_000 * 60_000;
        let due = |minutes: &[(i64, bool)]| super::due(&table(minutes), years_later, 1);
        let all_say = |minutes: &[i64]| minutes.iter().map(|minute| (*minute, true)).collect::<Vec<_>>();
        // The one at 10 is older than the newest by as long as it takes.
        assert_eq!(due(&all_say(&[0, 5, 10, 15, 21])), [1, 2]);
        // None is: the first stays.
        assert_eq!(due(&all_say(&[0, 1, 2, 3])), Vec::<i64>::new());
        assert_eq!(due(&[(0, false), (1, true), (2, true)]), [1]);
        // Maintenance says nothing, and hides nothing.
        assert_eq!(due(&[(0, true), (10, true), (20, true), (5_000, false), (9_000, false)]), [1]);
        // Of another writer's table, the newest stays.
        assert_eq!(due(&[(0, false), (1, false), (2, false)]), [1, 2]);
        // While they are young, all stay.
        assert_eq!(
            super::due(&table(&all_say(&[0, 5, 10, 15, 21])), 22 * 60_000, 1),
            Vec::<i64>::new()
        );
    }
}
