//! Manifests and their lists as Avro files.

use apache_avro::types::Value as Avro;
use apache_avro::{Codec, DeflateSettings, Writer};
use serde_json::Value;

use super::schema::{ENTRY, LIST};
use super::{ADDED, DELETED, EXISTING, Entry, ManifestError, ManifestFile, WRITER, optional_value};
use crate::data_file::{ColumnFacts, DataFile};

fn record(fields: Vec<(&str, Avro)>) -> Avro {
    Avro::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn data_file(file: &DataFile) -> Avro {
    let map = |value: &dyn Fn(&ColumnFacts) -> Option<Avro>| {
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

/// A manifest of the files that a snapshot adds. The snapshot and its sequence number stand in the list.
pub fn added(files: &[DataFile], schema: &Value, spec_id: i32, snapshot_id: i64) -> Result<Vec<u8>, ManifestError> {
    let entries = files
        .iter()
        .map(|file| entry(ADDED, snapshot_id, [file.since.map(Avro::Long), None], data_file(file)));
    write_manifest(entries, schema, spec_id)
}

/// A manifest of files that are in the table already.
pub fn merged(entries: &[Entry], schema: &Value, spec_id: i32) -> Result<Vec<u8>, ManifestError> {
    let entries = entries.iter().map(|one| again(EXISTING, one.snapshot_id, one));
    write_manifest(entries, schema, spec_id)
}

/// A manifest of files that a snapshot drops.
pub fn dropped(entries: &[Entry], schema: &Value, spec_id: i32, snapshot_id: i64) -> Result<Vec<u8>, ManifestError> {
    let entries = entries.iter().map(|one| again(DELETED, snapshot_id, one));
    write_manifest(entries, schema, spec_id)
}

/// An entry that was read, with another status.
fn again(status: i32, snapshot_id: i64, one: &Entry) -> Avro {
    let numbers = [one.sequence_number, one.file_sequence_number];
    entry(
        status,
        snapshot_id,
        numbers.map(|number| Some(Avro::Long(number))),
        one.data_file.clone(),
    )
}

/// `numbers`: the sequence numbers of the rows and of the file; those of the snapshot, where there are none.
fn entry(status: i32, snapshot_id: i64, numbers: [Option<Avro>; 2], data_file: Avro) -> Avro {
    let [rows, file] = numbers.map(optional_value);
    record(vec![
        ("status", Avro::Int(status)),
        ("snapshot_id", optional_value(Some(Avro::Long(snapshot_id)))),
        ("sequence_number", rows),
        ("file_sequence_number", file),
        ("data_file", data_file),
    ])
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
