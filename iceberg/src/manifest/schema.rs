//! The Avro schemas of manifests and of their lists, with Iceberg's field ids.

use std::sync::LazyLock;

use apache_avro::Schema;
use apache_avro::schema::UnionSchema;
use serde_json::{Value, json};

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

/// An entry of a manifest.
pub(super) static ENTRY: LazyLock<Schema> = LazyLock::new(|| {
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

/// An entry of a list.
pub(super) static LIST: LazyLock<Schema> = LazyLock::new(|| {
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
