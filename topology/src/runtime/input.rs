//! An input partition of a task: what waits, and how far it has come.
//!
//! A record of a repartition topic travels in a [pack](super::pack), or is [handed over](super::handover) in memory; its position
//! and offset are [finer than the log's](crate::offset). A commit may fall into the middle of a pack: the group's offset is then the pack's,
//! and its metadata text holds the place, the number of records that were ever handed over, the task's stream time, and a mark of the
//! transaction (`place,handed,time,mark`). Every commit of ours has them, but that earlier versions wrote no time; one that has not was
//! set by hand. Those versions read the first two and the last.

use std::time::Duration;

use broker::{Committed, Message, TopicPartition};
use bytes::Bytes;
use clock::Millis;

use super::queue::{BrokenPack, Queue};
use crate::offset::{LogPosition, Reached, RecordOffset};
use crate::record::RecordMetadata;

pub(crate) struct Input {
    pub partition: TopicPartition,
    pub node: usize,
    /// The reader's slot.
    pub slot: Option<u32>,
    /// What the group has.
    pub committed: Reached,
    /// What the state in the backend reflects, as of its opening.
    pub known: Option<Reached>,
    /// The id of the topic that it reflects.
    pub known_topic: Option<String>,
    /// The group has lost its offset: nothing is read before somebody has set it.
    pub is_lost: bool,
    /// Where the log starts, as far as that is needed: an input of which nothing was committed stands there.
    pub start: i64,
    pub paused: bool,
    /// The event time of the last record that was processed and has one.
    pub newest_ms: Option<Millis>,
    /// Records in the open transaction.
    pub processed: u64,
    /// Whether the source's event times are read ahead of the records' turns: other inputs' records may come first.
    pub reads_head: bool,
    /// What was read so of the record in front of the log: its event time, if it has one.
    head: Option<Option<Millis>>,
    log: Queue,
    /// What tasks of this worker have handed over, as packs with offsets of their own.
    memory: Queue,
    packs_handed: i64,
    handed: i64,
    /// The record in hand is one that was handed over.
    shows_handed: bool,
    /// The log's end as last seen, for the lag.
    end: i64,
    /// The log has nothing beyond what was fetched.
    at_end: bool,
    /// Since when it has had nothing while nothing waited.
    dry_since_ms: Option<Millis>,
}

impl Input {
    pub fn new(partition: TopicPartition, node: usize, is_packed: bool) -> Self {
        Self {
            partition,
            node,
            slot: None,
            committed: Reached::START,
            known: None,
            known_topic: None,
            is_lost: false,
            start: 0,
            paused: false,
            newest_ms: None,
            processed: 0,
            reads_head: false,
            head: None,
            log: Queue::new(is_packed),
            memory: Queue::new(true),
            packs_handed: 0,
            handed: 0,
            shows_handed: false,
            end: 0,
            at_end: false,
            dry_since_ms: None,
        }
    }

    pub fn reached(&self) -> Reached {
        Reached {
            log: self.log.next,
            handed: self.handed,
        }
    }

    /// What the group's commit says.
    pub fn reached_by(&self, committed: Option<&Committed>) -> Reached {
        // Records' offsets never fall, whoever sets the group's by hand.
        let handed_ever = self.committed.handed.max(self.known.map_or(0, |known| known.handed));
        let Some(committed) = committed else {
            return Reached {
                log: LogPosition::NONE,
                handed: handed_ever,
            };
        };
        // One that was set by hand names neither: the pack then counts from its start.
        let mut texts = committed.metadata.split(',');
        let (place, handed) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
        Reached {
            log: self
                .log
                .scale()
                .position_in_pack(committed.offset, place.parse().unwrap_or(0)),
            handed: handed.parse().unwrap_or(handed_ever),
        }
    }

    /// Where a task stands that is opened anew, by what the group says. The state in the backend never reflects more than was
    /// committed, so a commit of ours behind it is one that the broker has lost a later one of; one that was set by hand counts.
    pub fn reached_at_open(&self, committed: Option<&Committed>) -> Reached {
        let stand = self.reached_by(committed);
        match self.known {
            Some(known) if known.log > stand.log && stand.log.is_some() => {
                let is_ours = committed.is_some_and(is_ours);
                tracing::warn!(
                    input = %self.partition,
                    group = self.log_offset(stand.log),
                    state = self.log_offset(known.log),
                    set_by_hand = !is_ours,
                    "the group's offset lies behind what the state reflects"
                );
                if is_ours { known } else { stand }
            }
            _ => stand,
        }
    }

    /// What the group is to have when everything up to here is committed. The mark is the transaction's, the stream time the task's.
    pub fn commit(&self, stream_time_ms: Option<Millis>, mark: &str) -> Committed {
        self.commit_of(self.reached(), stream_time_ms, mark)
    }

    /// What the group has, to be committed once more; where it has nothing, the input's start. Never a place further on, such as behind a
    /// barrier: this task would not know that the group is there.
    pub fn commit_again(&self, stream_time_ms: Option<Millis>, mark: &str) -> Committed {
        let has_none = self.committed.log.is_none();
        let stand = if has_none { self.reached() } else { self.committed };
        self.commit_of(stand, stream_time_ms, mark)
    }

    fn commit_of(&self, reached: Reached, stream_time_ms: Option<Millis>, mark: &str) -> Committed {
        let offset = self.log_offset(reached.log);
        let place = self.log.scale().place(offset, reached.log);
        Committed {
            offset,
            metadata: match stream_time_ms {
                Some(time_ms) => format!("{place},{},{time_ms},{mark}", reached.handed),
                None => format!("{place},{},{mark}", reached.handed),
            },
        }
    }

    /// The offset of the record in front.
    pub fn front_record(&mut self) -> RecordOffset {
        self.front();
        let log = if self.shows_handed { self.log.next } else { self.log.front() };
        log.record(self.handed)
    }

    /// Whether the record with this offset is committed.
    pub fn has_committed(&self, record: RecordOffset) -> bool {
        self.committed.is_past(record)
    }

    /// The log's offset of a position.
    pub fn log_offset(&self, position: LogPosition) -> i64 {
        self.log.scale().log_offset(position)
    }

    /// The log's offset up to which the group has committed; −1: none.
    pub fn committed_offset(&self) -> i64 {
        self.log_offset(self.committed.log)
    }

    /// The log's offset of the record in front.
    pub fn front_offset(&self) -> i64 {
        self.log_offset(self.log.front())
    }

    /// Whether everything in the log up to this offset, itself included, is processed.
    pub fn is_past(&self, offset: i64) -> bool {
        self.log_offset(self.log.next) > offset
    }

    /// The log's next offset to be read and its end; all markers of transactions behind the last record are read with it.
    pub fn stand(&self) -> (i64, i64) {
        let next = self.log_offset(self.log.next);
        let position = if self.log.is_empty() { next.max(self.end) } else { next };
        (position, self.end.max(position))
    }

    /// The log ends here.
    pub fn ends_at(&mut self, next: i64, now_ms: Millis) {
        self.end = next;
        self.has_no_more(now_ms);
    }

    /// All is fetched that can be read now.
    pub fn has_no_more(&mut self, now_ms: Millis) {
        self.at_end = true;
        self.note_dry(now_ms);
    }

    /// Notes the time, if it is the first at which nothing waits here.
    pub fn note_dry(&mut self, now_ms: Millis) {
        if self.at_end && !self.has_work() {
            self.dry_since_ms.get_or_insert(now_ms);
        }
    }

    /// Whether the other inputs' records wait for what may come here: see [`super::EngineSettings::max_task_idle`].
    pub fn is_waited_for(&self, max_idle: Duration, now_ms: Millis) -> bool {
        let is_fetched = self.slot.is_some();
        is_fetched && !self.has_work() && (!self.at_end || now_ms.since(self.dry_since_ms.unwrap_or(now_ms)) < max_idle)
    }

    /// Adds a message of the log, and returns how many records it holds.
    pub fn buffer(&mut self, message: Message) -> usize {
        (self.at_end, self.dry_since_ms) = (false, None);
        self.log.push(message)
    }

    /// Adds a pack that never sees the log.
    pub fn hand(&mut self, pack: Bytes, newest_ms: Millis) {
        self.dry_since_ms = None;
        self.memory.push(Message {
            slot: 0,
            offset: self.packs_handed,
            timestamp_ms: newest_ms.0,
            key: None,
            value: Some(pack),
            headers: Vec::new(),
        });
        self.packs_handed += 1;
    }

    /// Records that wait.
    pub fn buffered(&self) -> usize {
        self.log.len() + self.memory.len()
    }

    pub fn has_work(&self) -> bool {
        !self.log.is_empty() || self.has_handed()
    }

    /// Whether records wait that were handed over: the transaction cannot commit without them.
    pub fn has_handed(&self) -> bool {
        !self.memory.is_empty()
    }

    /// Takes out a record that was handed over and is not processed.
    pub fn take_handed(&mut self) -> Option<RecordMetadata> {
        let mut at = RecordMetadata::default();
        // A pack that never left the process is whole.
        self.has_handed().then(|| self.memory.show(&mut at).ok())??;
        self.memory.pop();
        Some(at)
    }

    /// The queue of the record in front: the log's, or what was handed over.
    fn front(&mut self) -> &mut Queue {
        self.shows_handed = match (self.log.front_ms(), self.memory.front_ms()) {
            (Some(log), Some(memory)) => memory < log,
            (_, memory) => memory.is_some(),
        };
        if self.shows_handed { &mut self.memory } else { &mut self.log }
    }

    /// If the record in front was not read ahead, shows the keys of it and of those behind it. Returns how many.
    pub fn read_ahead(&mut self, max: usize, show: &mut dyn FnMut(&[u8])) -> usize {
        let front = self.front();
        if front.is_unread() { front.read_ahead(max, show) } else { 0 }
    }

    /// Forgets what waits and what was processed since the last commit.
    pub fn rewind(&mut self) {
        self.head = None;
        (self.at_end, self.dry_since_ms) = (false, None);
        self.log.clear();
        self.log.next = self.committed.log.max(self.log.scale().position(self.start));
        self.memory.clear();
        self.handed = self.committed.handed;
        self.processed = 0;
    }

    /// Whether the event time of the record in front is still to be read.
    pub fn wants_head(&self) -> bool {
        self.reads_head && self.head.is_none() && !self.log.is_empty()
    }

    /// The event time of the record in front was read: `None`, if it has none.
    pub fn set_head(&mut self, event_time_ms: Option<Millis>) {
        self.head = Some(event_time_ms);
    }

    /// By which time the record in front comes among those of other inputs. One without an event time comes right behind the one before it.
    pub fn event_ms(&self) -> Option<Millis> {
        match self.head {
            None => self.front_ms(),
            Some(None) => Some(self.newest_ms.unwrap_or(Millis(i64::MIN))),
            Some(event_time_ms) => event_time_ms,
        }
    }

    /// The event time of the record in front, which has this time in the log, if it has one.
    pub fn own_event_ms(&self, log_ms: Millis) -> Option<Millis> {
        if self.reads_head { self.head.flatten() } else { Some(log_ms) }
    }

    /// The timestamp of the record in front.
    pub fn front_ms(&self) -> Option<Millis> {
        match (self.log.front_ms(), self.memory.front_ms()) {
            (Some(log), Some(memory)) => Some(log.min(memory)),
            (log, memory) => log.or(memory),
        }
    }

    /// Shows the record in front. Where its pack is broken, `at` tells of what is left of it.
    pub fn show(&mut self, at: &mut RecordMetadata) -> Result<(), BrokenPack> {
        at.offset = self.front_record();
        if self.shows_handed {
            self.memory.show(at)
        } else {
            self.log.show(at)
        }
    }

    /// Takes back what was shown: the record waits on.
    pub fn put_back(&mut self, at: &mut RecordMetadata) {
        if !self.shows_handed {
            self.log.put_back(at);
        }
    }

    /// The record that was shown is done, with its event time, if it has one. What is behind a break in a pack goes with it.
    pub fn pop(&mut self, event_time_ms: Option<Millis>) {
        self.newest_ms = event_time_ms.or(self.newest_ms);
        self.processed += 1;
        self.head = None;
        if self.shows_handed {
            self.memory.pop();
            self.handed += 1;
        } else {
            self.log.pop();
            self.end = self.end.max(self.log_offset(self.log.next));
        }
    }
}

/// Whether a commit is one of ours: one that was set by hand has no text.
pub(crate) fn is_ours(committed: &Committed) -> bool {
    committed.metadata.contains(',')
}

/// The task's stream time, as a commit of one of its inputs has it.
pub(crate) fn stream_time_of(committed: &Committed) -> Option<Millis> {
    let mut texts = committed.metadata.split(',').skip(2);
    let (time, _mark) = (texts.next()?, texts.next()?);
    time.parse().ok().map(Millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offset::Scale;

    fn committed(metadata: &str) -> Committed {
        Committed {
            offset: 7,
            metadata: metadata.to_owned(),
        }
    }

    #[test]
    fn commits_of_this_version_and_of_earlier_ones_are_read() {
        let input = Input::new(TopicPartition::new("packs", 0), 0, true);
        let reached = Reached {
            log: Scale::new(true).position_in_pack(7, 3),
            handed: 5,
        };
        for (metadata, stream_time_ms) in [("3,5,-12,a.1", Some(Millis(-12))), ("3,5,a.1", None), ("3,5,17", None)] {
            assert_eq!(input.reached_by(Some(&committed(metadata))), reached);
            assert_eq!(stream_time_of(&committed(metadata)), stream_time_ms);
        }
        assert_eq!(stream_time_of(&committed("")), None, "set by hand");
    }

    #[test]
    fn an_earlier_version_reads_what_is_committed_now() {
        let mut input = Input::new(TopicPartition::new("packs", 0), 0, true);
        input.committed = Reached {
            log: Scale::new(true).position_in_pack(7, 3),
            handed: 5,
        };
        for stream_time_ms in [None, Some(Millis(1_700_000_000_000)), Some(Millis(-1))] {
            let metadata = input.commit_again(stream_time_ms, "a.1").metadata;
            let texts: Vec<&str> = metadata.split(',').collect();
            assert_eq!((texts[0], texts[1], texts[texts.len() - 1]), ("3", "5", "a.1"));
            assert_eq!(stream_time_of(&committed(&metadata)), stream_time_ms);
        }
    }
}
