//! Lists: parts of a store in the order of its keys' bytes, with a bound on the work.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wire::OrderedKey;

use super::{Queries, QueryError, Scattered, open};
use crate::store::{KeyValue, Span, StoreKey, StoreValue};

/// Keys by what they begin with: of a store with keys `(A, B)`, those of an `A`, or of all from one `A` on and before another. By default,
/// all keys.
///
/// ```
/// use topology::query::{Begins, Scan};
///
/// let of_account = Scan::<(i64, String)> {
///     keys: Begins::with(&17_i64),
///     ..Scan::default()
/// };
/// ```
#[derive(Debug, Clone, Default)]
pub struct Begins(Span);

impl Begins {
    /// Those that begin with this.
    pub fn with(beginning: &impl OrderedKey) -> Self {
        Self(Span::with_prefix(ordered(beginning)))
    }

    /// Those that begin with `from` or with what comes behind it, and before those that begin with `to`.
    pub fn between<A: OrderedKey>(from: &A, to: &A) -> Self {
        Self(Span::between(ordered(from), ordered(to)))
    }
}

/// What of a store is to be listed, and how much work that may be.
#[derive(Debug, Clone)]
pub struct Scan<K> {
    /// Only entries of these keys.
    pub keys: Begins,
    /// Only entries behind this key.
    pub after: Option<K>,
    /// How many entries at most.
    pub limit: usize,
    /// How many entries are looked at, at most; at least one of each partition is.
    pub visits_max: usize,
    /// These partitions alone; without it, all.
    pub partitions: Option<Vec<u32>>,
    /// Set by whoever wants the answer no longer.
    pub ended: Arc<AtomicBool>,
}

/// The entries that were found, and how far that is all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<K, V> {
    /// In key order.
    pub entries: Vec<(K, V)>,
    /// There may be more behind this key; none: these are all.
    pub until: Option<K>,
}

impl<K> Default for Scan<K> {
    fn default() -> Self {
        Self {
            keys: Begins::default(),
            after: None,
            limit: usize::MAX,
            visits_max: usize::MAX,
            partitions: None,
            ended: Arc::default(),
        }
    }
}

impl Queries {
    /// The first entries in key order that `keep` accepts, of the partitions of this instance.
    ///
    /// # Errors
    ///
    /// There is no such store, it fails, or nobody waits any longer.
    pub fn scan<K: StoreKey, V: StoreValue>(
        &self,
        store: KeyValue<K, V>,
        scan: &Scan<K>,
        keep: impl Fn(&K, &V) -> bool,
    ) -> Result<Scattered<Listed<K, V>>, QueryError> {
        let found = self.locate(store.name(), scan.partitions.as_deref())?;
        let visits_max = (scan.visits_max / found.value.len().max(1)).max(1);
        let mut entries: Vec<(K, V)> = Vec::new();
        let mut until: Option<K> = None;
        for served in &found.value {
            let (view, _) = open::<K, V>(served);
            let start = scan.after.clone().map_or(Bound::Unbounded, Bound::Excluded);
            // Behind where another partition was left nothing can be said.
            let end = until.clone().map_or(Bound::Unbounded, Bound::Included);
            let (mut taken, mut visits) = (0, 0);
            let mut last = None;
            let mut is_cut = false;
            let span = scan.keys.0.clone().and(Span::of(&(start, end)));
            view.scan_span(&span, |key, value| {
                if scan.ended.load(Ordering::Relaxed) {
                    return ControlFlow::Break(());
                }
                let is_wanted = visits < visits_max && keep(&key, &value);
                if visits == visits_max || (is_wanted && taken == scan.limit) {
                    is_cut = true;
                    return ControlFlow::Break(());
                }
                visits += 1;
                last = Some(key.clone());
                if is_wanted {
                    taken += 1;
                    entries.push((key, value));
                }
                ControlFlow::Continue(())
            })?;
            if scan.ended.load(Ordering::Relaxed) {
                return Err(QueryError::Ended);
            }
            if is_cut {
                until = last.or(until);
            }
        }
        let end = until.as_ref().map(ordered);
        entries.retain(|(key, _)| end.as_ref().is_none_or(|end| ordered(key) <= *end));
        entries.sort_by_cached_key(|(key, _)| ordered(key));
        if entries.len() > scan.limit {
            entries.truncate(scan.limit);
            until = entries.last().map(|(key, _)| key.clone()).or(until);
        }
        Ok(found.with(Listed { entries, until }))
    }

    /// As [`Queries::scan`], however much work it is. For small stores and checks of the whole.
    ///
    /// # Errors
    ///
    /// As [`Queries::scan`].
    pub fn page<K: StoreKey, V: StoreValue>(
        &self,
        store: KeyValue<K, V>,
        after: Option<&K>,
        limit: usize,
        keep: impl Fn(&K, &V) -> bool,
    ) -> Result<Scattered<Vec<(K, V)>>, QueryError> {
        let scan = Scan {
            after: after.cloned(),
            limit,
            ..Scan::default()
        };
        let found = self.scan(store, &scan, keep)?;
        Ok(Scattered {
            value: found.value.entries,
            others: found.others,
            missing: found.missing,
        })
    }
}

/// What keys are ordered by, in the store and here.
fn ordered(key: &impl OrderedKey) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16);
    key.encode_ordered(&mut bytes);
    bytes
}
