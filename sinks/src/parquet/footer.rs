//! What a file's footer says of it, so that a file can be checked without its rows.

use broker::TopicId;
use bytes::Bytes;
use jiff::civil::Date;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::layout::FileName;

/// How much of a file's end is read at first; the footers of most files are smaller.
const TAIL_BYTES: u64 = 64 << 10;

const TABLE: &str = "riverbank.table";
const TOPIC: &str = "riverbank.topic";
const PARTITION: &str = "riverbank.partition";
const START: &str = "riverbank.start";
const END: &str = "riverbank.end";
const SCHEMA: &str = "riverbank.schema";
const ROWS: &str = "riverbank.rows";
/// What files of earlier versions lack.
const TOPIC_ID: &str = "riverbank.topic_id";
const GENERATION: &str = "riverbank.generation";
const DAYS: &str = "riverbank.days";
const DIGEST: &str = "riverbank.digest";
const SUPERSEDED_BY: &str = "riverbank.superseded_by";

/// What a file is, by its footer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The table.
    pub table: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The first offset that it covers.
    pub start: i64,
    /// The last offset that it covers.
    pub end: i64,
    /// The version of the shape that it was written with.
    pub schema: u32,
    /// How many rows it has.
    pub rows: u64,
    /// The topic's id; `None` if the broker gave none, or an earlier version wrote the file.
    pub topic_id: Option<TopicId>,
    /// Which of the topics that had the table's name, from 1.
    pub generation: u32,
    /// The days of all records in its range, each of which has a file; `None` if an earlier version wrote it: then it holds them all.
    pub days: Option<Vec<Date>>,
    /// The digest of its records ([`super::digest`]).
    pub digest: Option<String>,
    /// No file at all, but a mark that the same range is written with another version of the shape: the table's was raised
    /// before this file was written.
    pub superseded_by: Option<u32>,
}

/// Why a footer could not be read, or is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum FooterError {
    /// The store: there is no such object, or it did not answer.
    #[error(transparent)]
    Store(#[from] object_store::Error),
    /// It is no whole Parquet file of ours.
    #[error("{0}")]
    Damaged(String),
}

impl Identity {
    /// What is written into the footer.
    pub fn key_values(&self) -> Vec<(&'static str, String)> {
        let days = |days: &Vec<Date>| days.iter().map(Date::to_string).collect::<Vec<_>>().join(",");
        let always = [
            (TABLE, self.table.clone()),
            (TOPIC, self.topic.clone()),
            (PARTITION, self.partition.to_string()),
            (START, self.start.to_string()),
            (END, self.end.to_string()),
            (SCHEMA, self.schema.to_string()),
            (ROWS, self.rows.to_string()),
            (GENERATION, self.generation.to_string()),
        ];
        let sometimes = [
            (TOPIC_ID, self.topic_id.map(|id| id.to_string())),
            (DAYS, self.days.as_ref().map(days)),
            (DIGEST, self.digest.clone()),
            (SUPERSEDED_BY, self.superseded_by.map(|schema| schema.to_string())),
        ];
        let sometimes = sometimes.into_iter().filter_map(|(key, value)| Some((key, value?)));
        always.into_iter().chain(sometimes).collect()
    }

    /// Whether this is the file of that name.
    pub fn is_of(&self, file: &FileName) -> bool {
        let place = (self.table.as_str(), self.partition, self.generation, self.start, self.end);
        // An earlier version's name has the shape's version of the decision, and its day is the first record's.
        let new = |days: &Vec<Date>| days.contains(&file.day) && self.schema == file.schema;
        place == (file.table.as_str(), file.partition, file.generation, file.start, file.end)
            && self.days.as_ref().is_none_or(new)
    }

    /// What a footer says; an error says what it lacks.
    pub fn from_metadata(metadata: &ParquetMetaData) -> Result<Self, String> {
        let pairs = metadata.file_metadata().key_value_metadata().map_or(&[][..], Vec::as_slice);
        let maybe = |key: &str| {
            let pair = pairs.iter().find(|pair| pair.key == key);
            pair.and_then(|pair| pair.value.clone())
        };
        let text = |key: &str| maybe(key).ok_or_else(|| format!("the footer has no {key}"));
        fn number<N: std::str::FromStr>(key: &str, text: String) -> Result<N, String> {
            text.parse().map_err(|_| format!("{key} is {text:?}"))
        }
        let identity = Self {
            table: text(TABLE)?,
            topic: text(TOPIC)?,
            partition: number(PARTITION, text(PARTITION)?)?,
            start: number(START, text(START)?)?,
            end: number(END, text(END)?)?,
            schema: number(SCHEMA, text(SCHEMA)?)?,
            rows: number(ROWS, text(ROWS)?)?,
            topic_id: maybe(TOPIC_ID).map(|text| number(TOPIC_ID, text)).transpose()?,
            generation: maybe(GENERATION).map_or(Ok(1), |text| number(GENERATION, text))?,
            days: maybe(DAYS)
                .map(|text| text.split(',').map(|day| number(DAYS, day.to_owned())).collect())
                .transpose()?,
            digest: maybe(DIGEST),
            superseded_by: maybe(SUPERSEDED_BY).map(|text| number(SUPERSEDED_BY, text)).transpose()?,
        };
        let stored = metadata.file_metadata().num_rows();
        if u64::try_from(stored).ok() != Some(identity.rows) {
            return Err(format!("{stored} rows are stored, and {} are named", identity.rows));
        }
        Ok(identity)
    }
}

/// Reads the footer of an object.
pub async fn read(store: &dyn ObjectStore, path: &Path) -> Result<Identity, FooterError> {
    let (_, metadata) = read_metadata(store, path).await?;
    Identity::from_metadata(&metadata).map_err(FooterError::Damaged)
}

/// Reads the whole footer of an object: its size in bytes, and the Parquet metadata.
pub async fn read_metadata(store: &dyn ObjectStore, path: &Path) -> Result<(u64, ParquetMetaData), FooterError> {
    let size = store.head(path).await?.size;
    if size == 0 {
        return Err(FooterError::Damaged("it is empty".to_owned()));
    }
    let mut tail = TAIL_BYTES.min(size);
    loop {
        let bytes: Bytes = store.get_range(path, size - tail..size).await?;
        let mut reader = ParquetMetaDataReader::new();
        match reader.try_parse_sized(&bytes, size) {
            Ok(()) => {
                let metadata = reader.finish().map_err(|error| FooterError::Damaged(error.to_string()))?;
                return Ok((size, metadata));
            }
            Err(ParquetError::NeedMoreData(needed)) if needed as u64 > tail && needed as u64 <= size => tail = needed as u64,
            Err(error) => return Err(FooterError::Damaged(error.to_string())),
        }
    }
}
