//! The protocol: what a consumer group's committed offset says about files.
//!
//! ```text
//!        commit (start, intent)        intent, then files, create only      commit (end + 1, place)
//!  read ───────────────────────► decided ──────────────────────────► written ───────────────────► read on
//!                                   │ crash, or a new owner              │ crash, or a new owner
//!                                   └─ read [start, end] again ─ what is there: compare it, go on ┘
//! ```
//!
//! The end of a range is decided once: by the **intent**, the metadata of the offset that the group commits before anything is
//! written. A stale owner's commit is fenced by the group, so that two owners never decide on different ends; and of two who
//! write the same decided file, the store lets one through.
//!
//! Before a range's files, the intent itself is created in the store (`<table>/_intents/<generation>/<partition>/<start>.json`; the
//! one before it is then deleted). It says where the lake stands to who finds no committed offset, without a look at the files;
//! and where two groups write into one lake, both find the first one's intent, and do the same; who finds a later one is behind.
//!
//! Why are the days part of the intent? They are in the paths, and come from the records. If the log is compacted between two
//! attempts, a day's records may be gone, and the second attempt must not find other paths. Why the topic's id? A topic that was
//! made anew has other records at the same offsets. Why digests? A log that has lost its end, by an unclean election or a restored
//! disk, and has grown again, has other records there, too, under the same id.

use std::collections::BTreeMap;

use broker::{Committed, TopicId};
use jiff::civil::Date;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::generations::as_text;

/// The most days of one range: bounds its files, and what the group's metadata hold.
pub const DAYS_MAX: usize = 32;

/// A range of offsets that was decided upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The table.
    pub table: String,
    /// The partition.
    pub partition: u32,
    /// Where it belongs.
    pub place: Place,
    /// The first offset.
    pub start: i64,
    /// The last offset, which is a record's.
    pub end: i64,
    /// The version of the table's shape.
    pub schema: u32,
    /// The days of its records.
    pub days: Days,
}

/// The days of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Days {
    /// A file for each, with the short digest of its records.
    Split(BTreeMap<Date, String>),
    /// One file for all records, under the first one's day, as earlier versions decided.
    Whole(Date),
}

/// Where in which log something is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The topic, where the broker gives ids.
    pub topic_id: Option<TopicId>,
    /// Its generation in the lake, from 1.
    pub generation: u32,
    /// The digest of the last record that was written.
    pub last: Option<String>,
}

impl Intent {
    /// The short digest of a day's records, where it is known.
    pub fn digest(&self, day: Date) -> Option<&str> {
        match &self.days {
            Days::Split(days) => days.get(&day).map(String::as_str),
            Days::Whole(_) => None,
        }
    }

    /// Where a partition's intents are in the store.
    pub fn folder(table: &str, partition: u32, generation: u32) -> Path {
        Path::from(format!("{table}/_intents/{generation:05}/{partition:05}"))
    }

    /// Where it is in the store: names sort by their starts.
    pub fn path(&self) -> Path {
        Self::path_of(&self.table, self.partition, self.place.generation, self.start)
    }

    /// Where the intent of a range is that begins here.
    pub fn path_of(table: &str, partition: u32, generation: u32, start: i64) -> Path {
        let folder = Self::folder(table, partition, generation);
        Path::from(format!("{folder}/{start:020}.json"))
    }

    /// The partition, the generation and the start that an intent's path says.
    pub fn parse_path(path: &Path) -> Option<(u32, u32, i64)> {
        let parts: Vec<_> = path.parts().collect();
        let [_, _, generation, partition, file] = parts.as_slice() else {
            return None;
        };
        let start = file.as_ref().strip_suffix(".json")?.parse().ok()?;
        Some((partition.as_ref().parse().ok()?, generation.as_ref().parse().ok()?, start))
    }

    /// As it stands in the store.
    pub fn to_json(&self) -> String {
        let note = Note {
            start: Some(self.start),
            ..Note::of_intent(self)
        };
        note.to_json()
    }

    /// The intent that stands in the store.
    pub fn from_json(table: &str, partition: u32, json: &[u8]) -> Option<Self> {
        let note: Note = serde_json::from_slice(json).ok()?;
        let start = note.start?;
        match note.standing(table, partition, start)? {
            Standing::Decided(intent) => Some(intent),
            Standing::Next { .. } => None,
        }
    }
}

/// What stands beside an offset, as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<BTreeMap<Date, String>>,
    #[serde(default, with = "as_text", skip_serializing_if = "Option::is_none")]
    topic_id: Option<TopicId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<String>,
}

impl Note {
    fn of_place(place: &Place) -> Self {
        Self {
            topic_id: place.topic_id,
            generation: Some(place.generation),
            last: place.last.clone(),
            ..Self::default()
        }
    }

    fn of_intent(intent: &Intent) -> Self {
        let (day, days) = match &intent.days {
            Days::Whole(day) => (Some(*day), None),
            Days::Split(days) => (None, Some(days.clone())),
        };
        Self {
            end: Some(intent.end),
            schema: Some(intent.schema),
            day,
            days,
            ..Self::of_place(&intent.place)
        }
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers, texts and dates are always JSON")
    }

    fn standing(self, table: &str, partition: u32, offset: i64) -> Option<Standing> {
        let Self {
            end,
            schema,
            day,
            days,
            topic_id,
            generation,
            last,
            ..
        } = self;
        let place = Place {
            topic_id,
            generation: generation.unwrap_or(1),
            last,
        };
        let days = match (day, days) {
            (None, None) => None,
            (Some(day), None) => Some(Days::Whole(day)),
            (None, Some(days)) if !days.is_empty() => Some(Days::Split(days)),
            _ => return None,
        };
        match (end, schema, days) {
            (None, None, None) if generation.is_some() => Some(Standing::Next {
                offset,
                place: Some(place),
            }),
            (Some(end), Some(schema), Some(days)) if end >= offset && place.generation > 0 => {
                // An earlier version's knows nothing but its one file.
                let whole = matches!(days, Days::Whole(_));
                (whole || generation.is_some()).then(|| {
                    Standing::Decided(Intent {
                        table: table.to_owned(),
                        partition,
                        place,
                        start: offset,
                        end,
                        schema,
                        days,
                    })
                })
            }
            _ => None,
        }
    }
}

/// Where a partition stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Everything before this offset is written.
    Next {
        /// The offset.
        offset: i64,
        /// Of which log; `None` if an earlier version or an operator's tool has committed it.
        place: Option<Place>,
    },
    /// These files were decided upon, and may be written or not.
    Decided(Intent),
}

/// A committed offset that is not of this protocol: another program uses the group, or a newer version of this one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("offset {offset} is committed with a note that is no intent of a sink: {note:?}")]
pub struct NotOurs {
    offset: i64,
    note: String,
}

/// The commit that decides upon a range.
pub fn decide(intent: &Intent) -> Committed {
    Committed {
        offset: intent.start,
        metadata: Note::of_intent(intent).to_json(),
    }
}

/// The commit that says that a range is written.
pub fn finish(intent: &Intent) -> Committed {
    Committed {
        offset: intent.end + 1,
        metadata: Note::of_place(&intent.place).to_json(),
    }
}

/// What a committed offset says.
pub fn read(table: &str, partition: u32, committed: &Committed) -> Result<Standing, NotOurs> {
    let Committed { offset, metadata } = committed;
    if metadata.is_empty() {
        return Ok(Standing::Next {
            offset: *offset,
            place: None,
        });
    }
    let note: Option<Note> = serde_json::from_str(metadata).ok();
    let standing = note.and_then(|note| note.standing(table, partition, *offset));
    standing.ok_or_else(|| NotOurs {
        offset: *offset,
        note: metadata.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Date = Date::constant(1970, 1, 1);

    fn intent() -> Intent {
        Intent {
            table: "t".into(),
            partition: 2,
            place: Place {
                topic_id: TopicId::from_bits(1),
                generation: 3,
                last: Some("ab".into()),
            },
            start: 10,
            end: 19,
            schema: 1,
            days: Days::Split([(FIRST, "cd".into()), (Date::constant(1970, 1, 2), "ef".into())].into()),
        }
    }

    #[test]
    fn a_decision_is_read_as_it_was_made() {
        let (intent, decided) = (intent(), decide(&intent()));
        let note = r#"{"end":19,"schema":1,"days":{"1970-01-01":"cd","1970-01-02":"ef"},"topic_id":"AAAAAAAAAAAAAAAAAAAAAQ","generation":3,"last":"ab"}"#;
        assert_eq!((decided.offset, decided.metadata.as_str()), (10, note));
        assert_eq!(read("t", 2, &decided), Ok(Standing::Decided(intent.clone())));
        let next = Standing::Next {
            offset: 20,
            place: Some(intent.place.clone()),
        };
        assert_eq!(read("t", 2, &finish(&intent)), Ok(next));
        assert_eq!(Intent::from_json("t", 2, intent.to_json().as_bytes()), Some(intent.clone()));
        assert_eq!(intent.path().as_ref(), "t/_intents/00003/00002/00000000000000000010.json");
        assert_eq!(Intent::parse_path(&intent.path()), Some((2, 3, 10)));
    }

    #[test]
    fn an_earlier_version_s_decision_is_one_file() {
        let committed = |offset, metadata: &str| Committed {
            offset,
            metadata: metadata.into(),
        };
        let decided = read("t", 2, &committed(10, r#"{"end":19,"schema":1,"day":"1970-01-01"}"#));
        let Ok(Standing::Decided(intent)) = decided else {
            panic!("{decided:?}")
        };
        assert_eq!((intent.days, intent.place.generation), (Days::Whole(FIRST), 1));
        let next = Standing::Next { offset: 20, place: None };
        assert_eq!(read("t", 2, &committed(20, "")), Ok(next));
    }

    #[test]
    fn a_foreign_note_is_refused_not_guessed_at() {
        for note in [
            "x",
            "{}",
            r#"{"end":9,"schema":1,"day":"1970-01-01"}"#,
            r#"{"end":19,"schema":1}"#,
            r#"{"end":19,"schema":1,"days":{},"generation":1}"#,
            r#"{"end":19,"schema":1,"days":{"1970-01-01":"ab"}}"#,
            r#"{"generation":1,"topic_id":"x"}"#,
            r#"{"generation":1,"newer":true}"#,
        ] {
            let committed = Committed {
                offset: 10,
                metadata: note.into(),
            };
            assert!(read("t", 2, &committed).is_err(), "{note}");
        }
    }
}
