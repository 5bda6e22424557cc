//! Records that wait in an input, those in [packs](super::pack) one by one.

use std::collections::VecDeque;

use broker::Message;
use clock::Millis;

use super::pack::{self, Cursor, Packed};
use crate::headers;
use crate::offset::{LogPosition, Scale};
use crate::record::RecordMetadata;

pub(super) struct Queue {
    /// Behind the last record that was taken out.
    pub next: LogPosition,
    waiting: VecDeque<Message>,
    /// Records that wait, those within packs counted.
    records: usize,
    is_packed: bool,
    /// How many of the records in front were read ahead.
    ahead: usize,
    /// The record in front, the way on through its pack, and how many are left there with it.
    head: Option<Packed>,
    cursor: Cursor,
    left: usize,
}

/// The record in front cannot be taken out of its pack.
pub(crate) struct BrokenPack;

impl Queue {
    pub fn new(is_packed: bool) -> Self {
        Self {
            next: LogPosition::default(),
            waiting: VecDeque::new(),
            records: 0,
            is_packed,
            ahead: 0,
            head: None,
            cursor: Cursor::default(),
            left: 1,
        }
    }

    #[inline]
    pub fn scale(&self) -> Scale {
        Scale::new(self.is_packed)
    }

    /// Adds a message, and returns how many records it holds.
    pub fn push(&mut self, message: Message) -> usize {
        let records = match &message.value {
            Some(value) if self.is_packed && pack::is_barrier(value) => 0,
            Some(value) if self.is_packed => pack::count(value).map_or(1, |count| count as usize),
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
    pub fn len(&self) -> usize {
        self.records
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.records = 0;
        self.ahead = 0;
        self.head = None;
    }

    /// Whether the record in front was not read ahead.
    pub fn is_unread(&self) -> bool {
        self.ahead == 0
    }

    /// Shows the keys of the first `max` records, and counts them as read ahead. Returns how many there are.
    pub fn read_ahead(&mut self, max: usize, show: &mut dyn FnMut(&[u8])) -> usize {
        let mut count = 0;
        for (place, message) in self.waiting.iter().enumerate() {
            if count == max {
                break;
            }
            if !self.is_packed {
                message.key.as_deref().into_iter().for_each(&mut *show);
                count += 1;
                continue;
            }
            let Some(pack) = &message.value else { continue };
            let (mut record, mut cursor) = match place {
                0 => (self.head.clone(), self.cursor.clone()),
                _ => (None, Cursor::start()),
            };
            while count < max {
                let Some(next) = record.take().or_else(|| cursor.next_of(pack)) else {
                    break;
                };
                next.key.map(|range| &pack[range]).into_iter().for_each(&mut *show);
                count += 1;
            }
        }
        self.ahead = count;
        count
    }

    /// The timestamp of the record in front.
    pub fn front_ms(&self) -> Option<Millis> {
        let message = self.waiting.front()?;
        Some(Millis(
            self.head.as_ref().map_or(message.timestamp_ms, |head| head.timestamp_ms),
        ))
    }

    /// The position of the record in front.
    pub fn front(&self) -> LogPosition {
        let first = self.waiting.front().map_or(0, |message| message.offset);
        let first = self.scale().position(first);
        if self.is_packed { first.max(self.next) } else { first }
    }

    /// Shows the record in front. Where its pack is broken, `at` tells of what is left of it.
    pub fn show(&mut self, at: &mut RecordMetadata) -> Result<(), BrokenPack> {
        let message = self.waiting.front_mut().expect("the caller has seen that a record waits");
        at.timestamp_ms = Millis(message.timestamp_ms);
        if !self.is_packed {
            // Taken, not cloned: counting references costs more than decoding a small key.
            (at.key, at.value) = (message.key.take(), message.value.take());
            at.headers = std::mem::take(&mut message.headers);
            return Ok(());
        }
        at.headers.clear();
        match (&self.head, &message.value) {
            (Some(head), Some(pack)) => {
                let part = |range: &Option<std::ops::Range<usize>>| range.clone().map(|range| pack.slice(range));
                at.timestamp_ms = Millis(head.timestamp_ms);
                (at.key, at.value) = (part(&head.key), part(&head.value));
                if let Some(within) = &head.headers {
                    headers::decode(pack, within.clone(), &mut at.headers);
                }
                Ok(())
            }
            _ => {
                (at.key, at.value) = (message.key.clone(), message.value.clone());
                Err(BrokenPack)
            }
        }
    }

    /// Takes back what was shown: the record waits on.
    pub fn put_back(&mut self, at: &mut RecordMetadata) {
        if !self.is_packed
            && let Some(message) = self.waiting.front_mut()
        {
            (message.key, message.value) = (at.key.take(), at.value.take());
            message.headers = std::mem::take(&mut at.headers);
        }
    }

    /// The record in front is done. What is behind a break in a pack goes with it.
    pub fn pop(&mut self) {
        self.ahead = self.ahead.saturating_sub(1);
        let message = self.waiting.front().expect("it was shown");
        match &message.value {
            Some(pack) if self.left > 1 && self.head.is_some() => {
                self.next = self.front().next_in_pack();
                self.left -= 1;
                self.records -= 1;
                self.head = self.cursor.next_of(pack);
            }
            _ => {
                self.next = self.scale().position(message.offset + 1);
                self.records -= self.left;
                self.waiting.pop_front();
                self.open();
            }
        }
    }

    /// The message in front is new there: passes over barriers, and finds a pack's first record that is not done.
    fn open(&mut self) {
        (self.head, self.left) = (None, 1);
        if !self.is_packed {
            return;
        }
        while let Some(message) = self.waiting.front()
            && message.value.as_deref().is_some_and(pack::is_barrier)
        {
            self.next = self.scale().position(message.offset + 1);
            self.waiting.pop_front();
        }
        let Some(message) = self.waiting.front() else { return };
        let Some((pack, count)) = message.value.as_ref().and_then(|pack| Some((pack, pack::count(pack)?))) else {
            return;
        };
        let done = self.scale().place(message.offset, self.next).clamp(0, i64::from(count) - 1) as usize;
        self.cursor = Cursor::start();
        for _ in 0..=done {
            self.head = self.cursor.next_of(pack);
        }
        self.left = count as usize - done;
        self.records -= done;
    }
}
