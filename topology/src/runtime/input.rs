//! An input partition of a task: what waits, and how far it has come.
//!
//! A record of a repartition topic travels in a [pack](super::pack). So that every record has an offset of its own, which
//! rises within the partition, here and towards processors the offset in such a topic is the log's, times 65,536, plus the
//! place in the pack. A commit may fall into the middle of a pack: the group's offset is then the pack's, and its metadata
//! text the place.

use std::collections::VecDeque;

use broker::{Committed, Message, TopicPartition};
use bytes::Bytes;

use super::pack::{self, Cursor, Packed};
use crate::record::RecordMetadata;

pub(crate) struct Input {
    pub partition: TopicPartition,
    pub node: usize,
    /// The reader's slot.
    pub slot: Option<u32>,
    /// The offset after the last record that was processed.
    pub next: i64,
    /// The offset that the group has; −1: none.
    pub committed: i64,
    pub paused: bool,
    /// The event time of the last record that was processed.
    pub newest_ms: i64,
    /// Records in the open transaction.
    pub processed: u64,
    waiting: VecDeque<Message>,
    /// Records that wait, those within packs counted.
    records: usize,
    /// By how many bits the log's offset is shifted.
    shift: u32,
    /// The log's end as last seen, for the lag.
    end: i64,
    /// The record in front, the way on through its pack, and how many are left there with it.
    head: Option<Packed>,
    cursor: Cursor,
    left: usize,
}

/// The record in front cannot be taken out of its pack.
pub(crate) struct BrokenPack;

const PLACE_BITS: u32 = 16;

impl Input {
    pub fn new(partition: TopicPartition, node: usize, is_packed: bool) -> Self {
        Self {
            partition,
            node,
            slot: None,
            next: 0,
            committed: 0,
            paused: false,
            newest_ms: 0,
            processed: 0,
            waiting: VecDeque::new(),
            records: 0,
            shift: if is_packed { PLACE_BITS } else { 0 },
            end: 0,
            head: None,
            cursor: Cursor::default(),
            left: 1,
        }
    }

    fn is_packed(&self) -> bool {
        self.shift > 0
    }

    /// The group's commit, as an offset of a record; −1 where there is none.
    pub fn offset_of(&self, committed: Option<&Committed>) -> i64 {
        committed.map_or(-1, |committed| {
            // Whoever sets the group's offset by hand names no place: the pack then counts from its start.
            let place = if self.is_packed() {
                committed.metadata.parse().unwrap_or(0)
            } else {
                0u16
            };
            committed.offset << self.shift | i64::from(place)
        })
    }

    /// What the group is to have when everything up to `next` is committed.
    pub fn commit(&self) -> Committed {
        let place = self.next - (self.log_offset(self.next) << self.shift);
        Committed {
            offset: self.log_offset(self.next),
            metadata: if place > 0 { place.to_string() } else { String::new() },
        }
    }

    /// The log's offset of a record.
    pub fn log_offset(&self, offset: i64) -> i64 {
        offset >> self.shift
    }

    /// The log's next offset to be read and its end; all markers of transactions behind the last record are read with it.
    pub fn stand(&self) -> (i64, i64) {
        let next = self.log_offset(self.next);
        let position = if self.waiting.is_empty() { next.max(self.end) } else { next };
        (position, self.end.max(position))
    }

    /// The log ends here.
    pub fn ends_at(&mut self, next: i64) {
        self.end = next;
    }

    /// Adds a message, and returns how many records it holds.
    pub fn buffer(&mut self, message: Message) -> usize {
        let records = match &message.value {
            Some(value) if self.is_packed() => pack::count(value).map_or(1, |count| count as usize),
            _ => 1,
        };
        self.records += records;
        self.waiting.push_back(message);
        if self.waiting.len() == 1 {
            self.open();
        }
        records
    }

    /// Records that wait.
    pub fn buffered(&self) -> usize {
        self.records
    }

    pub fn has_work(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Forgets what waits and what was processed since the last commit.
    pub fn rewind(&mut self) {
        self.waiting.clear();
        self.records = 0;
        self.head = None;
        self.next = self.committed.max(0);
        self.processed = 0;
    }

    /// The timestamp of the record in front, in milliseconds since the epoch.
    pub fn front_ms(&self) -> Option<i64> {
        let message = self.waiting.front()?;
        Some(self.head.as_ref().map_or(message.timestamp_ms, |head| head.timestamp_ms))
    }

    /// Shows the record in front. Where its pack is broken, `at` tells of what is left of it.
    pub fn show(&mut self, at: &mut RecordMetadata) -> Result<(), BrokenPack> {
        let message = self.waiting.front_mut().expect("the caller has seen that a record waits");
        if self.shift == 0 {
            at.offset = message.offset;
            at.timestamp_ms = message.timestamp_ms;
            // Taken, not cloned: counting references costs more than decoding a small key.
            (at.key, at.value) = (message.key.take(), message.value.take());
            return Ok(());
        }
        at.offset = (message.offset << self.shift).max(self.next);
        match (&self.head, &message.value) {
            (Some(head), Some(pack)) => {
                let part = |range: &Option<std::ops::Range<usize>>| range.clone().map(|range| pack.slice(range));
                at.timestamp_ms = head.timestamp_ms;
                (at.key, at.value) = (part(&head.key), part(&head.value));
                Ok(())
            }
            _ => {
                at.timestamp_ms = message.timestamp_ms;
                (at.key, at.value) = (message.key.clone(), message.value.clone());
                Err(BrokenPack)
            }
        }
    }

    /// Takes back what was shown: the record waits on.
    pub fn put_back(&mut self, key: Option<Bytes>, value: Option<Bytes>) {
        if !self.is_packed()
            && let Some(message) = self.waiting.front_mut()
        {
            (message.key, message.value) = (key, value);
        }
    }

    /// The record that was shown is done, at this event time (milliseconds since the epoch). What is behind a break in a pack
    /// goes with it.
    pub fn pop(&mut self, event_time_ms: i64) {
        self.newest_ms = event_time_ms;
        self.processed += 1;
        let message = self.waiting.front().expect("it was shown");
        let first = message.offset << self.shift;
        match &message.value {
            Some(pack) if self.left > 1 && self.head.is_some() => {
                self.left -= 1;
                self.records -= 1;
                self.next = first.max(self.next) + 1;
                self.head = self.cursor.next_of(pack);
            }
            _ => {
                self.records -= self.left;
                self.next = (message.offset + 1) << self.shift;
                self.waiting.pop_front();
                self.open();
            }
        }
        self.end = self.end.max(self.log_offset(self.next));
    }

    /// The message in front is new there: finds its first record that is not committed.
    fn open(&mut self) {
        (self.head, self.left) = (None, 1);
        let Some(message) = self.waiting.front().filter(|_| self.shift > 0) else {
            return;
        };
        let Some((pack, count)) = message.value.as_ref().and_then(|pack| Some((pack, pack::count(pack)?))) else {
            return;
        };
        let done = (self.next - (message.offset << self.shift)).clamp(0, i64::from(count) - 1) as usize;
        self.cursor = Cursor::start();
        for _ in 0..=done {
            self.head = self.cursor.next_of(pack);
        }
        self.left = count as usize - done;
        self.records -= done;
    }
}
