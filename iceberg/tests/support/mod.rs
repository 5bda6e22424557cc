//! What the tests share: a lake that is written range by range, catalogs that fail as real ones do, and the proof at the end.
#![allow(dead_code, clippy::unwrap_used)]

pub mod bench;
pub mod catalog;
pub mod garbled;
pub mod judge;
pub mod killed;
pub mod proxy;
pub mod rest;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arrow::array::{
    ArrayRef, AsArray, Decimal128Builder, Int32Builder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef};
use arrow::error::ArrowError;
use broker::Message;
use clock::SystemClock;
use iceberg_tables::manifest;
use iceberg_tables::{Access, Catalog, Committer, Place, Progress, TableName};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sinks::group::generations::Generation;
use sinks::group::protocol::{Intent, Place as At};
use sinks::parquet::draft::Draft;
use sinks::parquet::writer::{FileBytes, FileWriter};
use sinks::{Column, Kind, Origin, Row, RowError, Rows, Table};
use wire::{MemoryRegistry, Registry};

pub const TABLE: &str = "bronze.records";
pub const DAY_MS: i64 = 86_400_000;
pub const FIRST_DAY_MS: i64 = 20_000 * DAY_MS;
pub const BOUND: Duration = Duration::from_secs(60);

/// A table with a column of each kind that matters.
pub struct Records {
    pub version: u32,
    /// A column that only newer shapes have.
    pub more: bool,
}

impl Records {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { version: 1, more: false })
    }
}

const WIDE: &[Column] = &[
    Column::nullable("id", Kind::Int64, "A number."),
    Column::nullable("more", Kind::Text, "What only newer shapes have."),
    Column::nullable("amount", Kind::MONEY, "Money."),
    Column::nullable("note", Kind::Text, "The record."),
    Column::nullable("at", Kind::Timestamp, "When."),
    Column::nullable("_lsn", Kind::Int64, "The source's position."),
    Column::required("_partition", Kind::Int32, "The partition."),
    Column::required("_offset", Kind::Int64, "The offset."),
];

static NARROW: LazyLock<Vec<Column>> = LazyLock::new(|| WIDE.iter().filter(|column| !column.is("more")).cloned().collect());

impl Table for Records {
    fn name(&self) -> &str {
        TABLE
    }
    fn topic(&self) -> &str {
        "records"
    }
    fn is_compacted(&self) -> bool {
        false
    }
    fn schema_version(&self) -> u32 {
        self.version
    }
    fn description(&self) -> &str {
        "Records of the tests."
    }
    fn columns(&self) -> &[Column] {
        if self.more { WIDE } else { &NARROW }
    }
    fn key_columns(&self) -> &[&str] {
        &[]
    }
    fn rows(&self, _: Arc<dyn Registry>) -> Box<dyn Rows> {
        Box::new(RecordRows {
            schema: self.schema(),
            records: Vec::new(),
        })
    }
}

struct RecordRows {
    schema: SchemaRef,
    records: Vec<(u32, Message)>,
}

impl Rows for RecordRows {
    fn push(&mut self, origin: Origin<'_>, record: &Message) -> Result<Row, RowError> {
        self.records.push((origin.partition, record.clone()));
        Ok(Row::Whole)
    }
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
    fn len(&self) -> usize {
        self.records.len()
    }
    fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let (mut ids, mut lsns, mut offsets) = (Int64Builder::new(), Int64Builder::new(), Int64Builder::new());
        let (mut partitions, mut notes, mut more) = (Int32Builder::new(), StringBuilder::new(), StringBuilder::new());
        let mut amounts = Decimal128Builder::new().with_precision_and_scale(38, 4)?;
        let mut times = TimestampMicrosecondBuilder::new().with_timezone("UTC");
        for (partition, record) in self.records.drain(..) {
            let note = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            ids.append_value(record.offset * 10);
            amounts.append_value(i128::from(record.offset - 5) * 10_001);
            more.append_value(format!("more than {note}"));
            notes.append_value(note);
            times.append_value(record.timestamp_ms * 1_000);
            lsns.append_value(1_000 + record.offset);
            partitions.append_value(partition as i32);
            offsets.append_value(record.offset);
        }
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(ids.finish()),
            Arc::new(amounts.finish()),
            Arc::new(notes.finish()),
            Arc::new(times.finish()),
            Arc::new(lsns.finish()),
            Arc::new(partitions.finish()),
            Arc::new(offsets.finish()),
        ];
        let more: ArrayRef = Arc::new(more.finish());
        if self.schema.fields().len() > columns.len() {
            columns.insert(1, more);
        }
        RecordBatch::try_new(self.schema.clone(), columns)
    }
}

/// A row's place: generation, partition, offset.
pub type Key = (i32, i32, i64);

/// A lake that is written as a sink writes it.
pub struct Lake {
    pub store: Arc<dyn ObjectStore>,
    pub place: Place,
    pub table: Arc<Records>,
    /// What the files have.
    pub written: BTreeMap<Key, String>,
}

impl Lake {
    pub fn new(store: Arc<dyn ObjectStore>, url: &str) -> Self {
        Self {
            store,
            place: Place::new(url),
            table: Records::new(),
            written: BTreeMap::new(),
        }
    }

    /// A range of records, one a minute apart from another; its intent and its files, not yet in the store.
    pub fn range(&self, partition: u32, generation: u32, start: i64, count: i64, from_ms: i64) -> (Intent, Vec<FileBytes>) {
        let times: Vec<i64> = (0..count).map(|index| from_ms + index * 60_000).collect();
        self.range_of(partition, generation, start, &times)
    }

    /// A range of records that take turns between days.
    pub fn range_of_days(
        &self,
        partition: u32,
        generation: u32,
        start: i64,
        count: usize,
        days: &[i64],
    ) -> (Intent, Vec<FileBytes>) {
        let times: Vec<i64> = days.iter().copied().cycle().take(count).collect();
        self.range_of(partition, generation, start, &times)
    }

    /// The mark in place of a file that another shape's supersedes.
    pub fn superseded(&self, file: &FileBytes) -> object_store::PutPayload {
        let identity = sinks::parquet::footer::Identity {
            rows: 0,
            digest: None,
            superseded_by: Some(self.table.version),
            ..file.identity.clone()
        };
        let rows = self.table.rows(Arc::new(MemoryRegistry::default()));
        FileWriter::superseded(self.table.clone(), rows, &identity).unwrap().into()
    }

    fn range_of(&self, partition: u32, generation: u32, start: i64, times: &[i64]) -> (Intent, Vec<FileBytes>) {
        let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::default());
        let mut draft = Draft::new(self.table.clone(), registry, partition, generation, None);
        for (offset, time) in (start..).zip(times) {
            let message = Message {
                slot: 0,
                offset,
                timestamp_ms: *time,
                key: None,
                value: Some(format!("g{generation} p{partition} o{offset}").into()),
                headers: Vec::new(),
            };
            draft.push(&message).unwrap();
            draft.keep(message);
        }
        let place = At {
            topic_id: None,
            generation,
            last: None,
        };
        let intent = draft.intent(start, place).unwrap();
        let files = draft.finish(&intent, intent.files()).unwrap();
        (intent, files)
    }

    pub async fn decide(&self, intent: &Intent) {
        let folder = Intent::folder(&intent.table, intent.partition, intent.place.generation);
        let before = futures::TryStreamExt::try_collect::<Vec<_>>(self.store.list(Some(&folder)))
            .await
            .unwrap();
        self.store.put(&intent.path(), intent.to_json().into()).await.unwrap();
        for object in before.into_iter().filter(|object| object.location < intent.path()) {
            self.store.delete(&object.location).await.unwrap();
        }
    }

    pub async fn put(&mut self, file: &FileBytes) {
        self.store.put(&file.file.path(), file.bytes.clone().into()).await.unwrap();
        for (key, note) in rows_of(file.bytes.clone()) {
            self.written.insert(key, note);
        }
    }

    /// Writes a whole range, as the sink does.
    pub async fn write(&mut self, partition: u32, start: i64, count: i64, from_ms: i64) {
        self.write_in(1, partition, start, count, from_ms).await;
    }

    pub async fn write_in(&mut self, generation: u32, partition: u32, start: i64, count: i64, from_ms: i64) {
        let (intent, files) = self.range(partition, generation, start, count, from_ms);
        self.decide(&intent).await;
        for file in &files {
            self.put(file).await;
        }
    }

    pub async fn note_generation(&self, generation: u32, id: u64, ends: &[(u32, i64)]) {
        let noted = Generation {
            generation,
            topic: "records".into(),
            topic_id: broker::TopicId::from_bits(u128::from(id)),
            ends: ends.iter().copied().collect(),
            accepted_at: jiff::Timestamp::UNIX_EPOCH,
        };
        let json = serde_json::to_vec(&noted).unwrap();
        self.store.put(&noted.path(TABLE), json.into()).await.unwrap();
    }

    pub fn committer(&self, catalog: &Arc<dyn Catalog>) -> Committer {
        Committer::new(self.table.clone(), self.access(catalog.clone(), self.store.clone()))
    }

    /// The table, by this catalog and this store.
    pub fn access(&self, catalog: Arc<dyn Catalog>, store: Arc<dyn ObjectStore>) -> Access {
        Access {
            name: table_name(),
            catalog,
            store,
            place: self.place.clone(),
            clock: Arc::new(SystemClock),
        }
    }

    /// What the Iceberg table has; panics on a file or a row that is there twice.
    pub async fn table_rows(&self, catalog: &dyn Catalog) -> BTreeMap<Key, String> {
        let mut rows = BTreeMap::new();
        let mut urls = BTreeSet::new();
        let loaded = catalog.load(&table_name()).await.unwrap().expect("the table is there");
        let Some(snapshot) = loaded.metadata.current_snapshot() else {
            return rows;
        };
        let get = async |url: &str| {
            let path = self.place.path_of(url).unwrap_or_else(|| panic!("{url} is not in the lake"));
            self.store.get(&path).await.unwrap().bytes().await.unwrap()
        };
        let list = get(snapshot["manifest-list"].as_str().unwrap()).await;
        for one in manifest::read_list(&list).unwrap() {
            let bytes = get(&one.url).await;
            assert_eq!(bytes.len() as i64, one.bytes, "{}", one.url);
            for entry in manifest::read(&bytes, &one).unwrap().expect("a manifest of ours") {
                assert!(urls.insert(entry.url.clone()), "{} is in the table twice", entry.url);
                let found = rows_of(get(&entry.url).await);
                assert_eq!(found.len() as i64, entry.rows);
                for (key, note) in found {
                    assert!(rows.insert(key, note).is_none(), "{key:?} is in the table twice");
                }
            }
        }
        let total = snapshot["summary"]["total-records"].as_str().unwrap().parse();
        assert_eq!(total, Ok(rows.len()));
        rows
    }

    /// The table has what the files have.
    pub async fn prove(&self, catalog: &dyn Catalog) {
        let rows = self.table_rows(catalog).await;
        let lost: Vec<_> = self.written.keys().filter(|key| !rows.contains_key(*key)).collect();
        assert!(lost.is_empty(), "not in the table: {lost:?}");
        assert_eq!(rows, self.written);
    }
}

pub fn table_name() -> TableName {
    TableName::of(TABLE, None)
}

pub async fn progress(catalog: &dyn Catalog) -> Progress {
    let loaded = catalog.load(&table_name()).await.unwrap().unwrap();
    Progress::read(&loaded.metadata).unwrap()
}

/// Turns until nothing more comes; bounded.
pub async fn catch_up(committer: &mut Committer) -> u64 {
    for snapshots in 0..1_000 {
        if !committer.turn().await.unwrap().snapshot {
            return snapshots;
        }
    }
    panic!("there is no end to what is to be committed");
}

pub fn rows_of(bytes: bytes::Bytes) -> Vec<(Key, String)> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
    let mut rows = Vec::new();
    for batch in reader.map(Result::unwrap) {
        let column = |name: &str| batch.column_by_name(name).unwrap().clone();
        let (generations, partitions) = (column("_generation"), column("_partition"));
        let (offsets, notes) = (column("_offset"), column("note"));
        for row in 0..batch.num_rows() {
            let key = (
                generations.as_primitive::<Int32Type>().value(row),
                partitions.as_primitive::<Int32Type>().value(row),
                offsets.as_primitive::<Int64Type>().value(row),
            );
            rows.push((key, notes.as_string::<i32>().value(row).to_owned()));
        }
    }
    rows
}

/// A lake in a folder, with a catalog in a file beside it.
pub struct Folder {
    pub folder: tempfile::TempDir,
    pub lake: Lake,
    pub catalog: Arc<dyn Catalog>,
}

impl Folder {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = url::Url::from_file_path(folder.path().join("lake")).unwrap();
        let store = sinks::open(url.as_str(), &sinks::S3Options::default()).unwrap();
        let lake = Lake::new(store, url.as_str());
        let file = folder.path().join("catalog.db");
        let catalog = iceberg_tables::SqlCatalog::sqlite(&file, "riverbank", lake.store.clone(), lake.place.clone());
        let catalog = Arc::new(catalog.await.unwrap());
        Self { folder, lake, catalog }
    }

    pub fn database(&self) -> String {
        format!("sqlite:///{}", self.folder.path().join("catalog.db").display())
    }
}

/// A lock that async tests share.
pub type Shared<T> = Arc<Mutex<T>>;

/// A path of the lake.
pub fn path(text: &str) -> Path {
    Path::from(text)
}
