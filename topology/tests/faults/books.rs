//! The topology of the random walk: it keeps books by group, beside a model of what must be in them.

use std::time::Duration;

use topology::dsl::Builder;
use topology::store::KeyValue;
use topology::*;
use wire::Topic;

pub const INPUT: Topic<i64, i64> = Topic::new("input");
pub const BY_KEY: Topic<i64, i64> = Topic::new("by-key");
/// Records that have their group as the key already, and meet the others in their task.
pub const DIRECT: Topic<i64, i64> = Topic::new("direct");
pub const TOTALS: Topic<i64, i64> = Topic::new("totals");
pub const SEEN: Topic<i64, i64> = Topic::new("seen");
pub const TOTAL: KeyValue<i64, i64> = KeyValue::backed_by("total", TOTALS);
pub const COUNT: KeyValue<i64, i64> = KeyValue::new("count");
pub const LAST: KeyValue<i64, i64> = KeyValue::new("last");
/// The totals once more, as a table of which one update of each key and commit goes on.
pub const SUMS: Topic<i64, i64> = Topic::new("sums");
pub const CHANGELOGS: [&str; 4] = ["totals", "walk-count-changelog", "walk-last-changelog", "walk-sums-changelog"];

pub const GROUPS: i64 = 7;
/// Under this key, each partition counts the calls of its punctuator.
pub const TICKS: i64 = 1_000_000;
pub const TICK: Duration = Duration::from_secs(5);

/// What a record does, beside being counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Put,
    Delete,
    Poison,
    Panic,
    TooLarge,
}

const DEEDS: [Deed; 5] = [Deed::Put, Deed::Delete, Deed::Poison, Deed::Panic, Deed::TooLarge];

/// A record's value: its number among all, its key before it was re-keyed, an amount, and what it does.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    pub number: i64,
    pub key: i64,
    pub amount: i64,
    pub deed: Deed,
}

impl Change {
    pub fn value(self) -> i64 {
        let deed = DEEDS.iter().position(|deed| *deed == self.deed).unwrap_or(0) as i64;
        self.number << 24 | self.key << 16 | self.amount << 8 | deed
    }

    pub fn of(value: i64) -> Self {
        Self {
            number: value >> 24,
            key: value >> 16 & 0xff,
            amount: value >> 8 & 0xff,
            deed: DEEDS[(value & 0xff) as usize],
        }
    }
}

/// Keeps the books; with `TICKING`, its punctuator counts its calls, and says each one's number.
struct Keeper<const TICKING: bool> {
    /// Of the record before, of either input.
    offsets: [RecordOffset; 2],
}

impl<const TICKING: bool> Processor for Keeper<TICKING> {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    type Stores = (KeyValue<i64, i64>, KeyValue<i64, i64>, KeyValue<i64, i64>);

    fn init(&mut self, schedule: &mut Schedule<'_>) {
        if TICKING {
            schedule.every(TICK, PunctuationType::WallClockTime);
        }
    }

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
        let offset = &mut self.offsets[usize::from(*cx.at.topic == *DIRECT.name())];
        assert!(cx.at.offset > *offset, "offset {} after {offset}", cx.at.offset);
        *offset = cx.at.offset;
        let change = Change::of(record.value);
        let count = cx.stores.1.get(&record.key)?.unwrap_or(0) + 1;
        cx.stores.1.put(record.key, count);
        let last = cx.stores.2.get(&change.key)?;
        let mut scanned = None;
        cx.stores.2.scan(change.key..=change.key, |_, number| {
            scanned = Some(number);
            std::ops::ControlFlow::Continue(())
        })?;
        assert_eq!(scanned, last, "a scan and a look-up of key {}", change.key);
        if last.is_some_and(|last| last >= change.number) {
            // Not a panic: a zombie may well come here, whose transaction is refused.
            return Err(ProcessError::Record(format!("{change:?} after {last:?}")));
        }
        match change.deed {
            Deed::Put | Deed::TooLarge => cx.stores.2.put(change.key, change.number),
            Deed::Delete => cx.stores.2.delete(change.key),
            // After it has written: nothing of that may stay.
            Deed::Poison => return Err(ProcessError::Record("poison".to_owned())),
            Deed::Panic => panic!("an injected panic"),
        }
        let total = cx.stores.0.get(&record.key)?.unwrap_or(0) + change.amount;
        cx.stores.0.put(record.key, total);
        cx.out.forward(record.key, record.value);
        Ok(())
    }

    fn punctuate(&mut self, cx: &mut Context<'_, Self>, _: Punctuation) -> Result<(), ProcessError> {
        let calls = cx.stores.1.get(&TICKS)?.unwrap_or(0) + 1;
        cx.stores.1.put(TICKS, calls);
        cx.out.forward(TICKS + i64::from(cx.at.partition), calls);
        Ok(())
    }
}

pub fn books(ticking: bool) -> Topology {
    let builder = Builder::new("walk");
    let by_group = builder.stream(INPUT).select_key(|key, _| key % GROUPS).repartition(BY_KEY);
    let by_group = by_group.merge(&builder.stream(DIRECT));
    let sums = by_group.group_by_key();
    let sums = sums.aggregate("sums", || 0, |_, value, sum| Some(sum + Change::of(*value).amount));
    sums.cached("last-sums", 1_000).to_stream().to_compacted(SUMS);
    if ticking {
        by_group
            .process("keeper", (TOTAL, COUNT, LAST), || Keeper::<true> {
                offsets: [RecordOffset::NONE; 2],
            })
            .to(SEEN);
    } else {
        by_group
            .process("keeper", (TOTAL, COUNT, LAST), || Keeper::<false> {
                offsets: [RecordOffset::NONE; 2],
            })
            .to(SEEN);
    }
    builder.build().unwrap()
}
