//! The protocol: what a consumer group's committed offset says about files.
//!
//! ```text
//!        commit (start, intent)          put, create only            commit (end + 1, "")
//!  read ───────────────────────► decided ─────────────────► written ─────────────────────► read on
//!                                   │ crash, or a new owner     │ crash, or a new owner
//!                                   └─ read [start, end] again ─┴─ it is there: check it, go on
//! ```
//!
//! The end of a file is decided once: by the **intent**, the metadata of the offset that the group commits before the file is
//! written. A stale owner's commit is fenced by the group, so that two owners never decide on different ends; and of two who
//! write the same decided file, the store lets one through.
//!
//! Why the day is part of the intent: the day is in the path, and comes from the first record. If the log is compacted between
//! two attempts, that record may be gone, and the second attempt must not find another path.

use broker::Committed;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::layout::FileName;

/// A file that was decided upon, beside the offset of its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Intent {
    end: i64,
    schema: u32,
    day: Date,
}

/// Where a partition stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Everything before this offset is written.
    Next(i64),
    /// This file was decided upon, and may be written or not.
    Decided(FileName),
}

/// A committed offset that is not of this protocol: another program uses the group, or a newer version of this one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("offset {offset} is committed with a note that is no intent of a sink: {note:?}")]
pub struct NotOurs {
    offset: i64,
    note: String,
}

/// The commit that decides upon a file.
pub fn decide(file: &FileName) -> Committed {
    let intent = Intent {
        end: file.end,
        schema: file.schema,
        day: file.day,
    };
    let metadata = serde_json::to_string(&intent).expect("numbers and a date are always JSON");
    Committed {
        offset: file.start,
        metadata,
    }
}

/// The commit that says that a file is written.
pub fn finish(file: &FileName) -> Committed {
    Committed {
        offset: file.end + 1,
        metadata: String::new(),
    }
}

/// What a committed offset says.
pub fn read(table: &str, partition: u32, committed: &Committed) -> Result<Standing, NotOurs> {
    let Committed { offset, metadata } = committed;
    if metadata.is_empty() {
        return Ok(Standing::Next(*offset));
    }
    let intent: Option<Intent> = serde_json::from_str(metadata).ok();
    match intent {
        Some(Intent { end, schema, day }) if end >= *offset => Ok(Standing::Decided(FileName {
            table: table.to_owned(),
            day,
            partition,
            start: *offset,
            end,
            schema,
        })),
        _ => Err(NotOurs {
            offset: *offset,
            note: metadata.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parquet::layout::day_of;

    fn file() -> FileName {
        FileName {
            table: "t".into(),
            day: day_of(0),
            partition: 2,
            start: 10,
            end: 19,
            schema: 1,
        }
    }

    #[test]
    fn a_decision_is_read_as_it_was_made() {
        let decided = decide(&file());
        assert_eq!(
            decided,
            Committed {
                offset: 10,
                metadata: r#"{"end":19,"schema":1,"day":"1970-01-01"}"#.into()
            }
        );
        assert_eq!(read("t", 2, &decided), Ok(Standing::Decided(file())));
        assert_eq!(read("t", 2, &finish(&file())), Ok(Standing::Next(20)));
    }

    #[test]
    fn a_foreign_note_is_refused_not_guessed_at() {
        for note in [
            "x",
            "{}",
            r#"{"end":9,"schema":1,"day":"1970-01-01"}"#,
            r#"{"end":19,"schema":1}"#,
        ] {
            assert!(
                read(
                    "t",
                    2,
                    &Committed {
                        offset: 10,
                        metadata: note.into()
                    }
                )
                .is_err(),
                "{note}"
            );
        }
    }
}
