//! Offsets of records, which are finer than the log's in a repartition topic.
//!
//! There, records travel in packs, many in one record of the log, or are handed over in memory and never see the log. So that
//! each has an offset of its own, which rises within the partition whichever way it takes, three numbers are told apart:
//!
//! ```text
//!  the log's offset, an i64 as the broker has it
//!  LogPosition    the log's offset × 65,536 + the place in the pack
//!  RecordOffset   LogPosition + the number of records that were ever handed over
//! ```
//!
//! In any other topic they are the same: nothing is packed, and nothing handed over. [`Scale`] says which of the two a topic is.

use std::fmt;

/// The offset of a record within its partition, as processors see it: it rises from record to record, and is the record's own.
///
/// In a topic that others write it is the log's offset. In a repartition topic it is not, since many records share one of the log's:
/// there it orders records and tells them apart, and the log cannot be asked for it. So it does not pass for the log's:
///
/// ```compile_fail
/// fn log_has(record: topology::RecordOffset, log_end: i64) -> bool {
///     record < log_end
/// }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordOffset(i64);

impl RecordOffset {
    /// Where there is no record: in a punctuation.
    pub const NONE: Self = Self(-1);

    /// The number, to be stored or written somewhere; −1 where there is no record.
    #[inline]
    pub const fn as_i64(self) -> i64 {
        self.0
    }
}

impl fmt::Display for RecordOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A position in an input's log, down to the place in a pack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LogPosition(i64);

impl LogPosition {
    /// The group has none.
    pub const NONE: Self = Self(-1);

    #[inline]
    pub fn is_none(self) -> bool {
        self.0 < 0
    }

    #[inline]
    pub fn is_some(self) -> bool {
        !self.is_none()
    }

    /// The position behind the record that is here, in the same pack.
    #[inline]
    pub fn next_in_pack(self) -> Self {
        Self(self.0 + 1)
    }

    /// The offset of the record here, or of the next one from memory, after so many that were handed over.
    #[inline]
    pub fn record(self, handed: i64) -> RecordOffset {
        RecordOffset(self.0 + handed)
    }
}

/// How much finer the positions in a topic are than the log's offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scale {
    place_bits: u32,
}

impl Scale {
    #[inline]
    pub const fn new(is_packed: bool) -> Self {
        Self {
            place_bits: if is_packed { u16::BITS } else { 0 },
        }
    }

    /// Of a record of the log, or of the first one in its pack.
    #[inline]
    pub fn position(self, log_offset: i64) -> LogPosition {
        LogPosition(log_offset << self.place_bits)
    }

    /// Of a record in a pack; where there are no packs, there are no places.
    pub fn position_in_pack(self, log_offset: i64, place: u16) -> LogPosition {
        let place = if self.place_bits > 0 { i64::from(place) } else { 0 };
        LogPosition(log_offset << self.place_bits | place)
    }

    /// The log's offset of a position; −1 of [`LogPosition::NONE`].
    #[inline]
    pub fn log_offset(self, position: LogPosition) -> i64 {
        position.0 >> self.place_bits
    }

    /// How many records lie between the start of a pack and a position in it or behind it.
    #[inline]
    pub fn place(self, log_offset: i64, position: LogPosition) -> i64 {
        position.0 - self.position(log_offset).0
    }
}

/// How far an input has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reached {
    /// Behind the last record from the log.
    pub log: LogPosition,
    /// How many records were handed over in memory, ever.
    pub handed: i64,
}

impl Reached {
    /// The start of a log.
    pub const START: Self = Self {
        log: LogPosition(0),
        handed: 0,
    };

    /// As the state's backend keeps it.
    pub fn of_stored(log: i64, handed: i64) -> Self {
        Self {
            log: LogPosition(log),
            handed,
        }
    }

    pub fn stored(self) -> (i64, i64) {
        (self.log.0, self.handed)
    }

    /// Whether a record lies before this.
    pub fn is_past(self, record: RecordOffset) -> bool {
        self.log.max(LogPosition(0)).record(self.handed) > record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_an_offset_and_a_place() {
        let packed = Scale::new(true);
        let position = packed.position_in_pack(7, 3);
        assert_eq!(
            Reached {
                log: position,
                handed: 5
            }
            .stored(),
            (7 << 16 | 3, 5)
        );
        assert_eq!((packed.log_offset(position), packed.place(7, position)), (7, 3));
        assert_eq!(position, packed.position_in_pack(7, 2).next_in_pack());
        assert!(packed.position(7) < position && position < packed.position(8));
        assert_eq!(packed.log_offset(LogPosition::NONE), -1);
    }

    #[test]
    fn without_packs_all_are_the_logs_offset() {
        let plain = Scale::new(false);
        assert_eq!(plain.position_in_pack(7, 3), plain.position(7), "there are no places");
        assert_eq!(plain.position(7).record(0).as_i64(), 7);
        assert_eq!(plain.log_offset(plain.position(7)), 7);
    }

    #[test]
    fn what_is_handed_over_moves_all_that_comes_after() {
        let at = Scale::new(true).position(7);
        assert!(at.record(1) > at.record(0) && at.next_in_pack().record(1) > at.record(1));
        let reached = Reached { log: at, handed: 1 };
        assert!(reached.is_past(at.record(0)) && !reached.is_past(at.record(1)));
        let handed_alone = Reached {
            log: LogPosition::NONE,
            handed: 1,
        };
        assert!(handed_alone.is_past(LogPosition(0).record(0)), "nothing of the log");
    }
}
