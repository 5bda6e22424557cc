//! What a file's footer says of it, so that a file can be checked without its rows.

use bytes::Bytes;
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
    pub fn key_values(&self) -> [(&'static str, String); 7] {
        [
            (TABLE, self.table.clone()),
            (TOPIC, self.topic.clone()),
            (PARTITION, self.partition.to_string()),
            (START, self.start.to_string()),
            (END, self.end.to_string()),
            (SCHEMA, self.schema.to_string()),
            (ROWS, self.rows.to_string()),
        ]
    }

    /// Whether this is the file of that name.
    pub fn is_of(&self, file: &FileName) -> bool {
        (self.table.as_str(), self.partition, self.start, self.end) == (file.table.as_str(), file.partition, file.start, file.end)
    }

    fn from_metadata(metadata: &ParquetMetaData) -> Result<Self, String> {
        let pairs = metadata.file_metadata().key_value_metadata().map_or(&[][..], Vec::as_slice);
        let text = |key: &str| {
            let pair = pairs.iter().find(|pair| pair.key == key);
            pair.and_then(|pair| pair.value.clone())
                .ok_or_else(|| format!("the footer has no {key}"))
        };
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
        };
        let stored = metadata.file_metadata().num_rows();
        if u64::try_from(stored).ok() != Some(identity.rows) {
            return Err(format!("{stored} rows are stored, and {} are told of", identity.rows));
        }
        Ok(identity)
    }
}

/// Reads the footer of an object.
pub async fn read(store: &dyn ObjectStore, path: &Path) -> Result<Identity, FooterError> {
    let size = store.head(path).await?.size;
    let mut tail = TAIL_BYTES.min(size);
    loop {
        let bytes: Bytes = store.get_range(path, size - tail..size).await?;
        let mut reader = ParquetMetaDataReader::new();
        match reader.try_parse_sized(&bytes, size) {
            Ok(()) => {
                let metadata = reader.finish().map_err(|error| FooterError::Damaged(error.to_string()))?;
                return Identity::from_metadata(&metadata).map_err(FooterError::Damaged);
            }
            Err(ParquetError::NeedMoreData(needed)) if needed as u64 > tail && needed as u64 <= size => tail = needed as u64,
            Err(error) => return Err(FooterError::Damaged(error.to_string())),
        }
    }
}
