//! Manifests (which files) and manifest lists (which manifests of a snapshot), as Avro files of Iceberg's format version 2.

use std::sync::LazyLock;

use apache_avro::schema::UnionSchema;
use apache_avro::types::Value as Avro;
use apache_avro::{Codec, DeflateSettings, Reader, Schema, Writer};
use serde_json::{Value, json};

use crate::data_file::DataFile;

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
/// The status of an entry whose file the snapshot has dropped.
const DELETED: i64 = 2;

fn optional(kind: Value) -> Value {
    json!(["null", kind])
}

fn map(key: i64, value: i64, of: &str) -> Value {
    let entry = json!({"type": "record", "name": format!("k{key}_v{value}"), "fields": [
        {"name": "key", "type": "int", "field-id": key},
        {"name": "value", "type": of, "field-id": value},
    ]});
    optional(json!({"type": "array", "items": entry}))
}

/// Arrays of keys and values are maps for readers. The parser drops the attribute that says so; the writer has it.
fn with_maps(schema: Schema) -> Schema {
    match schema {
        Schema::Record(mut record) => {
            for field in &mut record.fields {
                field.schema = with_maps(std::mem::replace(&mut field.schema, Schema::Null));
            }
            Schema::Record(record)
        }
        Schema::Union(union) => {
            let variants = union.variants().iter().cloned().map(with_maps).collect();
            UnionSchema::new(variants).map_or(Schema::Union(union), Schema::Union)
        }
        Schema::Array(mut array) => {
            if matches!(&*array.items, Schema::Record(entry) if entry.name.name().contains("_v")) {
                array.attributes.insert("logicalType".to_owned(), "map".into());
            }
            Schema::Array(array)
        }
        other => other,
    }
}

static ENTRY: LazyLock<Schema> = LazyLock::new(|| {
    let data_file = json!({"type": "record", "name": "r2", "fields": [
        {"name": "content", "type": "int", "field-id": 134},
        {"name": "file_path", "type": "string", "field-id": 100},
        {"name": "file_format", "type": "string", "field-id": 101},
        {"name": "partition", "type": {"type": "record", "name": "r102", "fields": []}, "field-id": 102},
        {"name": "record_count", "type": "long", "field-id": 103},
        {"name": "file_size_in_bytes", "type": "long", "field-id": 104},
        {"name": "column_sizes", "type": map(117, 118, "long"), "default": null, "field-id": 108},
        {"name": "value_counts", "type": map(119, 120, "long"), "default": null, "field-id": 109},
        {"name": "null_value_counts", "type": map(121, 122, "long"), "default": null, "field-id": 110},
        {"name": "lower_bounds", "type": map(126, 127, "bytes"), "default": null, "field-id": 125},
        {"name": "upper_bounds", "type": map(129, 130, "bytes"), "default": null, "field-id": 128},
        {"name": "split_offsets", "default": null, "field-id": 132,
            "type": optional(json!({"type": "array", "items": "long", "element-id": 133}))},
        {"name": "sort_order_id", "type": optional("int".into()), "default": null, "field-id": 140},
    ]});
    let entry = json!({"type": "record", "name": "manifest_entry", "fields": [
        {"name": "status", "type": "int", "field-id": 0},
        {"name": "snapshot_id", "type": optional("long".into()), "default": null, "field-id": 1},
        {"name": "sequence_number", "type": optional("long".into()), "default": null, "field-id": 3},
        {"name": "file_sequence_number", "type": optional("long".into()), "default": null, "field-id": 4},
        {"name": "data_file", "type": data_file, "field-id": 2},
    ]});
    with_maps(Schema::parse(&entry).expect("a schema that is written here"))
});

static LIST: LazyLock<Schema> = LazyLock::new(|| {
    let summary = json!({"type": "record", "name": "r508", "fields": [
        {"name": "contains_null", "type": "boolean", "field-id": 509},
        {"name": "contains_nan", "type": optional("boolean".into()), "default": null, "field-id": 518},
        {"name": "lower_bound", "type": optional("bytes".into()), "default": null, "field-id": 510},
        {"name": "upper_bound", "type": optional("bytes".into()), "default": null, "field-id": 511},
    ]});
    let list = json!({"type": "record", "name": "manifest_file", "fields": [
        {"name": "manifest_path", "type": "string", "field-id": 500},
        {"name": "manifest_length", "type": "long", "field-id": 501},
        {"name": "partition_spec_id", "type": "int", "field-id": 502},
        {"name": "content", "type": "int", "field-id": 517},
        {"name": "sequence_number", "type": "long", "field-id": 515},
        {"name": "min_sequence_number", "type": "long", "field-id": 516},
        {"name": "added_snapshot_id", "type": "long", "field-id": 503},
        {"name": "added_files_count", "type": "int", "field-id": 504},
        {"name": "existing_files_count", "type": "int", "field-id": 505},
        {"name": "deleted_files_count", "type": "int", "field-id": 506},
        {"name": "added_rows_count", "type": "long", "field-id": 512},
        {"name": "existing_rows_count", "type": "long", "field-id": 513},
        {"name": "deleted_rows_count", "type": "long", "field-id": 514},
        {"name": "partitions", "default": null, "field-id": 507,
            "type": optional(json!({"type": "array", "items": summary, "element-id": 508}))},
        {"name": "key_metadata", "type": optional("bytes".into()), "default": null, "field-id": 519},
    ]});
    Schema::parse(&list).expect("a schema that is written here")
});

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
    /// A manifest of data files that this snapshot adds.
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
    /// Its sequence number.
    pub sequence_number: i64,
    /// Its URL.
    pub url: String,
    /// Its rows.
    pub rows: i64,
    data_file: Avro,
}

fn optional_value(value: Option<Avro>) -> Avro {
    match value {
        None => Avro::Union(0, Box::new(Avro::Null)),
        Some(value) => Avro::Union(1, Box::new(value)),
    }
}

fn record(fields: Vec<(&str, Avro)>) -> Avro {
    Avro::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn data_file(file: &DataFile) -> Avro {
    let map = |value: &dyn Fn(&crate::data_file::ColumnFacts) -> Option<Avro>| {
        let entries = file.columns.iter().filter_map(|(id, facts)| {
            let value = value(facts)?;
            Some(record(vec![("key", Avro::Int(*id)), ("value", value)]))
        });
        optional_value(Some(Avro::Array(entries.collect())))
    };
    let bytes = |bytes: &Option<Vec<u8>>| bytes.clone().map(Avro::Bytes);
    record(vec![
        ("content", Avro::Int(0)),
        ("file_path", Avro::String(file.url.clone())),
        ("file_format", Avro::String("PARQUET".to_owned())),
        ("partition", record(vec![])),
        ("record_count", Avro::Long(file.rows)),
        ("file_size_in_bytes", Avro::Long(file.bytes)),
        ("column_sizes", map(&|facts| Some(Avro::Long(facts.bytes)))),
        ("value_counts", map(&|facts| Some(Avro::Long(facts.values)))),
        ("null_value_counts", map(&|facts| facts.nulls.map(Avro::Long))),
        ("lower_bounds", map(&|facts| bytes(&facts.lower))),
        ("upper_bounds", map(&|facts| bytes(&facts.upper))),
        (
            "split_offsets",
            optional_value(Some(Avro::Array(file.splits.iter().map(|at| Avro::Long(*at)).collect()))),
        ),
        ("sort_order_id", optional_value(None)),
    ])
}

/// A manifest of the files that a snapshot adds, which it and its sequence number are told by the list.
pub fn added(files: &[DataFile], schema: &Value, spec_id: i32, snapshot_id: i64) -> Result<Vec<u8>, ManifestError> {
    let entries = files.iter().map(|file| {
        record(vec![
            ("status", Avro::Int(1)),
            ("snapshot_id", optional_value(Some(Avro::Long(snapshot_id)))),
            ("sequence_number", optional_value(None)),
            ("file_sequence_number", optional_value(None)),
            ("data_file", data_file(file)),
        ])
    });
    write_manifest(entries, schema, spec_id)
}

/// A manifest of files that are in the table already.
pub fn merged(entries: &[Entry], schema: &Value, spec_id: i32) -> Result<Vec<u8>, ManifestError> {
    let entries = entries.iter().map(|entry| {
        let number = || optional_value(Some(Avro::Long(entry.sequence_number)));
        record(vec![
            ("status", Avro::Int(0)),
            ("snapshot_id", optional_value(Some(Avro::Long(entry.snapshot_id)))),
            ("sequence_number", number()),
            ("file_sequence_number", number()),
            ("data_file", entry.data_file.clone()),
        ])
    });
    write_manifest(entries, schema, spec_id)
}

fn write_manifest(entries: impl Iterator<Item = Avro>, schema: &Value, spec_id: i32) -> Result<Vec<u8>, ManifestError> {
    let mut writer = Writer::with_codec(&ENTRY, Vec::new(), Codec::Deflate(DeflateSettings::default()))?;
    for (key, value) in [
        ("schema", schema.to_string()),
        ("schema-id", schema["schema-id"].to_string()),
        ("partition-spec", "[]".to_owned()),
        ("partition-spec-id", spec_id.to_string()),
        ("format-version", "2".to_owned()),
        ("content", "data".to_owned()),
        ("writer", WRITER.to_owned()),
    ] {
        writer.add_user_metadata(key.to_owned(), value)?;
    }
    for entry in entries {
        writer.append_value(entry)?;
    }
    Ok(writer.into_inner()?)
}

/// The files of a manifest that this program wrote; `None` if another did. `in_list` is what the list says of it.
pub fn read(bytes: &[u8], in_list: &ManifestFile) -> Result<Option<Vec<Entry>>, ManifestError> {
    let reader = Reader::new(bytes)?;
    if reader.user_metadata().get("writer").map(Vec::as_slice) != Some(WRITER.as_bytes()) {
        return Ok(None);
    }
    let mut entries = Vec::new();
    for value in reader {
        let entry = Fields::of(value?)?;
        let data_file = entry.get("data_file").ok_or(ManifestError::Lacks("data_file"))?.clone();
        let file = Fields::of(data_file.clone())?;
        entries.push(Entry {
            snapshot_id: entry.long(&["snapshot_id"]).unwrap_or(in_list.snapshot_id),
            sequence_number: entry.long(&["sequence_number"]).unwrap_or(in_list.sequence_number),
            url: file.text("file_path").ok_or(ManifestError::Lacks("file_path"))?,
            rows: file.long(&["record_count"]).ok_or(ManifestError::Lacks("record_count"))?,
            data_file,
        });
    }
    Ok(Some(entries))
}

/// The URLs of the files that a manifest has live, whoever wrote it.
pub fn urls(bytes: &[u8]) -> Result<Vec<String>, ManifestError> {
    let mut urls = Vec::new();
    for value in Reader::new(bytes)? {
        let entry = Fields::of(value?)?;
        let status = entry.long(&["status"]).ok_or(ManifestError::Lacks("status"))?;
        let file = entry.get("data_file").ok_or(ManifestError::Lacks("data_file"))?;
        let file = Fields::of(file.clone())?;
        if status != DELETED {
            urls.push(file.text("file_path").ok_or(ManifestError::Lacks("file_path"))?);
        }
    }
    Ok(urls)
}

/// The list of a snapshot's manifests.
pub fn write_list(
    manifests: &[ManifestFile],
    snapshot_id: i64,
    parent: Option<i64>,
    sequence_number: i64,
) -> Result<Vec<u8>, ManifestError> {
    let mut writer = Writer::with_codec(&LIST, Vec::new(), Codec::Deflate(DeflateSettings::default()))?;
    for (key, value) in [
        ("snapshot-id", snapshot_id.to_string()),
        (
            "parent-snapshot-id",
            parent.map_or_else(|| "null".to_owned(), |id| id.to_string()),
        ),
        ("sequence-number", sequence_number.to_string()),
        ("format-version", "2".to_owned()),
    ] {
        writer.add_user_metadata(key.to_owned(), value)?;
    }
    for manifest in manifests {
        writer.append_value(record(vec![
            ("manifest_path", Avro::String(manifest.url.clone())),
            ("manifest_length", Avro::Long(manifest.bytes)),
            ("partition_spec_id", Avro::Int(manifest.spec_id)),
            ("content", Avro::Int(manifest.content)),
            ("sequence_number", Avro::Long(manifest.sequence_number)),
            ("min_sequence_number", Avro::Long(manifest.min_sequence_number)),
            ("added_snapshot_id", Avro::Long(manifest.snapshot_id)),
            ("added_files_count", Avro::Int(manifest.files[0])),
            ("existing_files_count", Avro::Int(manifest.files[1])),
            ("deleted_files_count", Avro::Int(manifest.files[2])),
            ("added_rows_count", Avro::Long(manifest.rows[0])),
            ("existing_rows_count", Avro::Long(manifest.rows[1])),
            ("deleted_rows_count", Avro::Long(manifest.rows[2])),
            ("partitions", manifest.partitions.clone()),
            ("key_metadata", manifest.key_metadata.clone()),
        ]))?;
    }
    Ok(writer.into_inner()?)
}

/// The manifests of a list, whoever wrote it.
pub fn read_list(bytes: &[u8]) -> Result<Vec<ManifestFile>, ManifestError> {
    let mut manifests = Vec::new();
    for value in Reader::new(bytes)? {
        let fields = Fields::of(value?)?;
        let long = |names: &'static [&'static str]| fields.long(names).ok_or(ManifestError::Lacks(names[0]));
        let int = |names| long(names).map(|number| number as i32);
        // Older writers have other names for the same fields.
        let files = [
            int(&["added_files_count", "added_data_files_count"])?,
            int(&["existing_files_count", "existing_data_files_count"])?,
            int(&["deleted_files_count", "deleted_data_files_count"])?,
        ];
        manifests.push(ManifestFile {
            url: fields.text("manifest_path").ok_or(ManifestError::Lacks("manifest_path"))?,
            bytes: long(&["manifest_length"])?,
            spec_id: int(&["partition_spec_id"])?,
            content: int(&["content"])?,
            sequence_number: long(&["sequence_number"])?,
            min_sequence_number: long(&["min_sequence_number"])?,
            snapshot_id: long(&["added_snapshot_id"])?,
            files,
            rows: [
                long(&["added_rows_count"])?,
                long(&["existing_rows_count"])?,
                long(&["deleted_rows_count"])?,
            ],
            partitions: fields.optional("partitions"),
            key_metadata: fields.optional("key_metadata"),
        });
    }
    Ok(manifests)
}

/// The fields of a record.
struct Fields(Vec<(String, Avro)>);

impl Fields {
    fn of(value: Avro) -> Result<Self, ManifestError> {
        match value {
            Avro::Record(fields) => Ok(Self(fields)),
            _ => Err(ManifestError::Lacks("records")),
        }
    }

    fn get(&self, name: &str) -> Option<&Avro> {
        let (_, value) = self.0.iter().find(|(own, _)| own == name)?;
        match value {
            Avro::Union(_, inner) => Some(inner),
            other => Some(other),
        }
    }

    fn long(&self, names: &[&str]) -> Option<i64> {
        names.iter().find_map(|name| match self.get(name)? {
            Avro::Int(number) => Some(i64::from(*number)),
            Avro::Long(number) => Some(*number),
            _ => None,
        })
    }

    fn text(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Avro::String(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn optional(&self, name: &str) -> Avro {
        optional_value(self.get(name).filter(|value| **value != Avro::Null).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(url: &str) -> DataFile {
        DataFile {
            url: url.to_owned(),
            rows: 7,
            bytes: 70,
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
    }
}
