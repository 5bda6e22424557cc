//! How files are laid out for those who read them, and that an open file's memory is what it says.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use broker::Message;
use bytes::Bytes;
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::file::metadata::{ParquetMetaData, SortingColumn};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::serialized_reader::ReadOptionsBuilder;
use sinks::group::protocol::Place;
use sinks::parquet::draft::Draft;
use sinks::parquet::encoding::{GROUP_ROWS, PAGE_ROWS};
use sinks::{Table, tables};
use support::Plain;
use support::debezium::{TRANSACTIONS, V, Writer, transaction};
use wire::{MemoryRegistry, Registry};

fn record(offset: i64, value: Bytes) -> Message {
    Message {
        slot: 0,
        offset,
        timestamp_ms: 1_772_366_400_000,
        key: Some(Bytes::from_static(b"key")),
        value: Some(value),
        headers: vec![],
    }
}

fn draft(table: Arc<dyn Table>, registry: Arc<dyn Registry>) -> Draft {
    Draft::new(table, registry, 3, 1, None)
}

/// The one file that a draft ends as.
fn metadata(draft: Draft) -> ParquetMetaData {
    let place = Place {
        topic_id: None,
        generation: 1,
        last: None,
    };
    let intent = draft.intent(0, place).unwrap();
    let files = draft.finish(&intent, intent.files()).unwrap();
    let [file] = &files[..] else { panic!("{} files", files.len()) };
    let options = ReadOptionsBuilder::new().with_page_index().build();
    let reader = SerializedFileReader::new_with_options(file.bytes.clone(), options).unwrap();
    reader.metadata().clone()
}

/// Some transactions, whose values are taken again and again.
fn transactions(registry: &Arc<dyn Registry>) -> Vec<Bytes> {
    let writer = Writer::new(registry, TRANSACTIONS);
    let row = |number: i64| transaction(number, V::Decimal(i128::from(number) * 97, 2));
    let event = |number: i64| match number % 10 {
        0 => writer.event("u", number, row(number), row(number)),
        _ => writer.insert(number, row(number)),
    };
    (0..512).map(event).collect()
}

#[test]
fn columns_are_encoded_for_those_who_read_them() {
    let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::default());
    let events = transactions(&registry);
    let table = tables::all()
        .into_iter()
        .find(|table| table.name() == "bronze.transactions")
        .unwrap();
    let mut draft = draft(table, registry);
    // A page may be longer by as many as are written at once.
    let rows = 2 * PAGE_ROWS as i64 + 4_096;
    for (offset, event) in (0..rows).zip(events.iter().cycle()) {
        let record = record(offset, event.clone());
        draft.push(&record).unwrap();
        draft.keep(record);
    }
    let metadata = metadata(draft);
    let [group] = metadata.row_groups() else {
        panic!("one row group")
    };
    // What repeats has a dictionary, and nothing else: looking up what does not repeat costs as much as writing it.
    let dictionaries: Vec<&str> = group
        .columns()
        .iter()
        .filter(|chunk| chunk.dictionary_page_offset().is_some())
        .map(|chunk| chunk.column_descr().name())
        .collect();
    assert_eq!(
        dictionaries,
        [
            "txn_type",
            "status",
            "_op",
            "_snapshot",
            "_topic",
            "_partition",
            "_generation"
        ]
    );
    let places: BTreeMap<&str, usize> = group
        .columns()
        .iter()
        .zip(0..)
        .map(|(chunk, place)| (chunk.column_descr().name(), place))
        .collect();
    let pages = metadata.page_index_for_row_group(0);
    // By these, readers pass over files, row groups and pages.
    for name in [
        "id",
        "account_id",
        "amount",
        "created_at",
        "updated_at",
        "_lsn",
        "_source_ts",
        "_offset",
    ] {
        let place = places[name];
        let statistics = group.column(place).statistics().unwrap();
        assert!(
            statistics.min_bytes_opt().is_some() && statistics.max_bytes_opt().is_some(),
            "{name}"
        );
        let pages = pages.column_index(place).map(|index| index.num_pages());
        assert_eq!(pages, Some(3), "{name}");
    }
    // Of texts, the chunk's: each page has them all.
    for name in ["status", "_before", "_error", "_topic"] {
        let place = places[name];
        let statistics = group.column(place).statistics().unwrap();
        assert!(statistics.null_count_opt().is_some(), "{name}");
        assert!(pages.column_index(place).is_none_or(|index| index.num_pages() == 0), "{name}");
        assert!(pages.offset_index(place).is_some(), "{name}");
    }
    let order = SortingColumn {
        column_idx: places["_offset"] as i32,
        descending: false,
        nulls_first: false,
    };
    assert_eq!(group.sorting_columns(), Some(&vec![order]));
    for chunk in group.columns() {
        assert!(
            matches!(chunk.compression(), Compression::ZSTD(_)),
            "{:?}",
            chunk.column_path()
        );
        assert!(chunk.bloom_filter_offset().is_none(), "{:?}", chunk.column_path());
    }
    let of = |name: &str| group.column(places[name]).column_descr().self_type().clone();
    let amount = of("amount");
    assert_eq!(amount.get_physical_type(), Physical::FIXED_LEN_BYTE_ARRAY);
    assert_eq!(amount.get_basic_info().logical_type_ref(), Some(&LogicalType::decimal(4, 20)));
    let at = of("created_at");
    assert_eq!(
        (at.get_physical_type(), at.get_basic_info().logical_type_ref()),
        (Physical::INT64, Some(&LogicalType::timestamp(true, TimeUnit::MICROS)))
    );
    assert_eq!(of("_offset").get_basic_info().repetition(), Repetition::REQUIRED);
}

#[test]
fn a_large_file_has_several_row_groups() {
    let mut draft = draft(Arc::new(Plain::new("records")), Arc::new(MemoryRegistry::default()));
    let rows = GROUP_ROWS as i64 + 7;
    for offset in 0..rows {
        let record = record(offset, Bytes::from_static(b"value"));
        draft.push(&record).unwrap();
        draft.keep(record);
    }
    let groups = metadata(draft);
    let groups: Vec<i64> = groups.row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [GROUP_ROWS as i64, 7]);
}
