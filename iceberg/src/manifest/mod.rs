//! Manifests (which files) and manifest lists (which manifests of a snapshot), as Avro files of Iceberg's format version 2.

mod read;
mod schema;
mod write;

use apache_avro::types::Value as Avro;

pub use read::{read, read_list, urls};
pub use write::{added, dropped, merged, write_list};

/// A manifest could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is no Avro file of the kind.
    #[error("{0}")]
    Avro(Box<apache_avro::Error>),
    /// It lacks something.
    #[error("a manifest or its list lacks {0}")]
    Lacks(&'static str),
}

impl From<apache_avro::Error> for ManifestError {
    fn from(error: apache_avro::Error) -> Self {
        ManifestError::Avro(Box::new(error))
    }
}

/// Marks the manifests that this program wrote: their entries are of our own shape.
const WRITER: &str = "riverbank";
/// The status of an entry: its file was there before the snapshot.
const EXISTING: i32 = 0;
/// The snapshot has added it.
const ADDED: i32 = 1;
/// The snapshot has dropped it.
const DELETED: i32 = 2;

/// A manifest, as a list names it.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestFile {
    /// Its URL.
    pub url: String,
    /// Its size in bytes.
    pub bytes: i64,
    /// The partition spec.
    pub spec_id: i32,
    /// 0: of data files, 1: of deletes.
    pub content: i32,
    /// When it was added.
    pub sequence_number: i64,
    /// The lowest of its files'.
    pub min_sequence_number: i64,
    /// The snapshot that added it.
    pub snapshot_id: i64,
    /// Added, existing and deleted files.
    pub files: [i32; 3],
    /// Their rows.
    pub rows: [i64; 3],
    /// What is said of the values of partitions, as it was read.
    partitions: Avro,
    key_metadata: Avro,
}

impl ManifestFile {
    /// A manifest of data files that this snapshot writes; of none yet.
    pub fn new(url: String, bytes: usize, spec_id: i32, snapshot_id: i64, sequence_number: i64) -> Self {
        Self {
            url,
            bytes: bytes as i64,
            spec_id,
            content: 0,
            sequence_number,
            min_sequence_number: sequence_number,
            snapshot_id,
            files: [0; 3],
            rows: [0; 3],
            partitions: optional_value(None),
            key_metadata: optional_value(None),
        }
    }
}

/// An entry of a manifest of ours: a file, and since when it is in the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The snapshot that added it.
    pub snapshot_id: i64,
    /// The sequence number of its rows.
    pub sequence_number: i64,
    /// The sequence number of the snapshot that added it.
    pub file_sequence_number: i64,
    /// Its URL.
    pub url: String,
    /// Its rows.
    pub rows: i64,
    /// Its size in bytes.
    pub bytes: i64,
    data_file: Avro,
}

fn optional_value(value: Option<Avro>) -> Avro {
    match value {
        None => Avro::Union(0, Box::new(Avro::Null)),
        Some(value) => Avro::Union(1, Box::new(value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::data_file::DataFile;

    fn file(url: &str) -> DataFile {
        DataFile {
            url: url.to_owned(),
            rows: 7,
            bytes: 70,
            since: None,
            columns: [(1, crate::data_file::ColumnFacts::default())].into(),
            splits: vec![4],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let schema = json!({"type": "struct", "schema-id": 0, "fields": []});
        let bytes = added(&[file("a"), file("b")], &schema, 0, 11).unwrap();
        let mut one = ManifestFile::new("m".into(), bytes.len(), 0, 11, 3);
        (one.files, one.rows) = ([2, 0, 0], [14, 0, 0]);
        let list = write_list(&[one.clone()], 11, None, 3).unwrap();
        assert_eq!(read_list(&list).unwrap(), [one.clone()]);
        let entries = read(&bytes, &one).unwrap().unwrap();
        let seen: Vec<_> = entries
            .iter()
            .map(|entry| (entry.url.as_str(), entry.sequence_number, entry.rows))
            .collect();
        assert_eq!(seen, [("a", 3, 7), ("b", 3, 7)]);
        let again = read(&merged(&entries, &schema, 0).unwrap(), &one).unwrap().unwrap();
        assert_eq!(again, entries);
        // What a snapshot drops is in none of its files, and names them all the same.
        let gone = dropped(&entries, &schema, 0, 12).unwrap();
        assert_eq!(read(&gone, &one).unwrap().unwrap(), []);
        assert_eq!(urls(&gone).unwrap(), [""; 0]);
        assert_eq!(urls(&bytes).unwrap(), ["a", "b"]);
    }

    #[test]
    fn rows_may_be_older_than_their_file() {
        let schema = json!({"type": "struct", "schema-id": 0, "fields": []});
        let old = DataFile {
            since: Some(2),
            ..file("a")
        };
        let bytes = added(&[old, file("b")], &schema, 0, 11).unwrap();
        let one = ManifestFile::new("m".into(), bytes.len(), 0, 11, 5);
        let entries = read(&bytes, &one).unwrap().unwrap();
        let numbers = |entries: &[Entry]| -> Vec<_> {
            entries
                .iter()
                .map(|entry| (entry.sequence_number, entry.file_sequence_number))
                .collect()
        };
        assert_eq!(numbers(&entries), [(2, 5), (5, 5)]);
        let again = read(&merged(&entries, &schema, 0).unwrap(), &one).unwrap().unwrap();
        assert_eq!(numbers(&again), [(2, 5), (5, 5)]);
    }
}
