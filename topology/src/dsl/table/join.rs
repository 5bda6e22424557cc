//! Tables joined by their keys.
//!
//! A change of either side looks up what the other side has. A joined row has the later event time of its two rows.

use super::{OldValues, Rows, Table, later_ms};
use crate::change::Change;
use crate::record::Record;
use crate::store::{StoreKey, StoreValue, Timestamped};

/// Which rows there are where one side has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// None.
    Neither,
    /// The left side's.
    Right,
    /// Either side's.
    Either,
}

impl<K: StoreKey, V: StoreValue> Table<K, V> {
    /// The rows that both tables have.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    /// use topology::Topic;
    ///
    /// const PRICES: Topic<String, i64> = Topic::new("prices");
    /// const STOCK: Topic<String, i64> = Topic::new("stock");
    /// const WORTH: Topic<String, i64> = Topic::new("worth");
    ///
    /// let b = Builder::new("example");
    /// let (prices, stock) = (b.table(PRICES, "prices"), b.table(STOCK, "stock"));
    /// prices.join(&stock, |price, count| price * count).to_stream().to_compacted(WORTH);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// driver.send(PRICES, 5, &"tea".to_owned(), Some(&3));
    /// driver.send(STOCK, 4, &"tea".to_owned(), Some(&7));
    /// driver.send(PRICES, 6, &"tea".to_owned(), None);
    /// let worth: Vec<_> = driver.drain(WORTH).into_iter().map(|r| (r.value, r.timestamp_ms.0)).collect();
    /// assert_eq!(worth, [(Some(21), 5), (None, 6)]);
    /// ```
    pub fn join<W: StoreValue, VO: StoreValue>(
        &self,
        other: &Table<K, W>,
        join: impl Fn(&V, &W) -> VO + Clone + Send + Sync + 'static,
    ) -> Table<K, VO> {
        self.filter_join(other, move |left, right| Some(join(left, right)))
    }

    /// The rows of this table, with the other's where there is one.
    pub fn left_join<W: StoreValue, VO: StoreValue>(
        &self,
        other: &Table<K, W>,
        join: impl Fn(&V, Option<&W>) -> VO + Clone + Send + Sync + 'static,
    ) -> Table<K, VO> {
        self.filter_left_join(other, move |left, right| Some(join(left, right)))
    }

    /// The rows that either table has. `join` is never given two `None`s.
    pub fn outer_join<W: StoreValue, VO: StoreValue>(
        &self,
        other: &Table<K, W>,
        join: impl Fn(Option<&V>, Option<&W>) -> VO + Clone + Send + Sync + 'static,
    ) -> Table<K, VO> {
        self.filter_outer_join(other, move |left, right| Some(join(left, right)))
    }

    /// As [`Table::join`]; rows of which `join` makes `None` are not in the result.
    ///
    /// ```
    /// use topology::Topic;
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    ///
    /// const STOCK: Topic<i64, i64> = Topic::new("stock");
    /// const ORDERED: Topic<i64, i64> = Topic::new("ordered");
    /// const MISSING: Topic<i64, i64> = Topic::new("missing");
    ///
    /// let b = Builder::new("example");
    /// let (stock, ordered) = (b.table(STOCK, "stock"), b.table(ORDERED, "ordered"));
    /// let missing = stock.filter_join(&ordered, |stock, ordered| Some(ordered - stock).filter(|missing| *missing > 0));
    /// missing.to_stream().to_compacted(MISSING);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// driver.send(STOCK, 0, &1, Some(&10));
    /// driver.send(ORDERED, 1, &1, Some(&12));
    /// driver.send(STOCK, 2, &1, Some(&20));
    /// let missing: Vec<_> = driver.drain(MISSING).into_iter().map(|record| record.value).collect();
    /// assert_eq!(missing, [Some(2), None]);
    /// ```
    pub fn filter_join<W: StoreValue, VO: StoreValue>(
        &self,
        other: &Table<K, W>,
        join: impl Fn(&V, &W) -> Option<VO> + Clone + Send + Sync + 'static,
    ) -> Table<K, VO> {
        self.joined(other, Missing::Neither, move |left, right| join(left?, right?))
    }

    /// As [`Table::left_join`]; rows of which `join` makes `None` are not in the result.
    pub fn filter_left_join<W: StoreValue, VO: StoreValue>(
        &self,
        other: &Table<K, W>,
        join: impl Fn(&V, Option<&W>) -> Option<VO> + Clone + Send + Sync + 'static,
    ) -> Table<K, VO> {
        self.joined(other, Missing::Right, move |left, right| join(left?, right))
    }

    /// As [`Table::outer_join`]; rows of which `join` makes `None` are not in the result.
    pub fn filter_outer_join<W: StoreValue, VO: StoreValue>(
        &self,
        other: &Table<K, W>,
        join: impl Fn(Option<&V>, Option<&W>) -> Option<VO> + Clone + Send + Sync + 'static,
    ) -> Table<K, VO> {
        self.joined(other, Missing::Either, move |left, right| {
            (left.is_some() || right.is_some()).then(|| join(left, right))?
        })
    }

    fn joined<W: StoreValue, VO: StoreValue>(
        &self,
        other: &Table<K, W>,
        missing: Missing,
        join: impl Fn(Option<&V>, Option<&W>) -> Option<VO> + Clone + Send + Sync + 'static,
    ) -> Table<K, VO> {
        let old = OldValues::of(vec![self.old.clone(), other.old.clone()]);
        // A row that one side alone makes goes with it, and only what was there is deleted.
        if missing != Missing::Neither {
            self.old.want();
        }
        if missing == Missing::Either {
            other.old.want();
        }
        let (by_left, by_right) = (join.clone(), join.clone());
        let left = one_side(self, &other.rows, missing != Missing::Neither, "join", &old, by_left);
        let right = one_side(
            other,
            &self.rows,
            missing == Missing::Either,
            "join_other",
            &old,
            move |right, left| by_right(left, right),
        );
        Table {
            changes: left.merge(&right),
            rows: both(&self.rows, &other.rows, join),
            old,
            all_changes: None,
        }
    }
}

/// What the changes of one side make. `is_kept`: its rows stay where the other side has none.
fn one_side<K: StoreKey, V: StoreValue, W: StoreValue, VO: StoreValue>(
    table: &Table<K, V>,
    other: &Rows<K, W>,
    is_kept: bool,
    operator: &str,
    old: &std::sync::Arc<OldValues>,
    join: impl Fn(Option<&V>, Option<&W>) -> Option<VO> + Clone + Send + Sync + 'static,
) -> crate::dsl::Stream<K, Change<VO>> {
    let (look_up, wanted) = (other.look_up.clone(), old.clone());
    // Both sides' rows are looked up, so both are of one task.
    let stores = [table.rows.stores.clone(), other.stores.clone()].concat();
    let name = table.changes.name_after(operator);
    table.changes.stateful(name, stores, move |record, stores, out| {
        let change = &record.value;
        if !change.is_latest {
            return Ok(());
        }
        let found = look_up(stores, &record.key, None)?;
        if found.is_none() && (!is_kept || change.is_empty()) {
            return Ok(());
        }
        let at_ms = later_ms(found.as_ref(), record.timestamp_ms);
        let beside = found.as_ref().map(|row| &row.value);
        let old = match wanted.is_wanted() {
            true => join(change.old.as_ref(), beside),
            false => None,
        };
        let new = join(change.new.as_ref(), beside);
        out.push(Record::new(record.key.clone(), Change::new(new, old), at_ms));
        Ok(())
    })
}

fn both<K: 'static, V: 'static, W: 'static, VO: 'static>(
    left: &Rows<K, V>,
    right: &Rows<K, W>,
    join: impl Fn(Option<&V>, Option<&W>) -> Option<VO> + Send + Sync + 'static,
) -> Rows<K, VO> {
    let (of_left, of_right) = (left.look_up.clone(), right.look_up.clone());
    Rows {
        stores: [left.stores.clone(), right.stores.clone()].concat(),
        look_up: std::sync::Arc::new(move |stores, key, _| {
            let (left, right) = (of_left(stores, key, None)?, of_right(stores, key, None)?);
            let at_ms = [
                left.as_ref().map(|row| row.timestamp_ms),
                right.as_ref().map(|row| row.timestamp_ms),
            ];
            let value = join(left.as_ref().map(|row| &row.value), right.as_ref().map(|row| &row.value));
            let at_ms = at_ms.into_iter().flatten().max();
            Ok(value.zip(at_ms).map(|(value, at_ms)| Timestamped::new(value, at_ms)))
        }),
        retention: None,
    }
}
