//! What one record's steps cost, one by one: wire, store, engine without a network.

use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use load_tests::reference::work::{Balance, Change};
use load_tests::samples;
use load_tests::tables::{TableWork, Tables};
use topology::dsl::Builder;
use topology::store::{Backends, Batch, KeyValue, RocksBackends, RocksSettings};
use topology::testing::TestDriver;
use topology::{Context, ProcessError, Processor, Record};
use wire::{Codec, Topic, Wire};

fn main() {
    divan::main();
}

#[divan::bench]
fn decode_change_event(bencher: Bencher<'_, '_>) {
    let (codec, envelopes) = (
        Codec::reader(samples::registry()),
        samples::envelopes(1_000, 100_000).unwrap(),
    );
    let mut next = envelopes.iter().cycle();
    bencher.bench_local(|| Change::decode(black_box(next.next().unwrap()), &codec).unwrap());
}

fn encode<T: Wire>(bencher: Bencher<'_, '_>, value: &T) {
    let codec = samples::codec::<T>().unwrap();
    let mut out = Vec::new();
    bencher.bench_local(|| {
        out.clear();
        black_box(value).encode(&codec, &mut out).unwrap();
    });
}

fn decode<T: Wire>(bencher: Bencher<'_, '_>, value: &T) {
    let codec = samples::codec::<T>().unwrap();
    let mut bytes = Vec::new();
    value.encode(&codec, &mut bytes).unwrap();
    bencher.bench_local(|| T::decode(black_box(&bytes), &codec).unwrap());
}

#[divan::bench]
fn encode_posting(bencher: Bencher<'_, '_>) {
    encode(bencher, &samples::posting().unwrap());
}

#[divan::bench]
fn decode_posting(bencher: Bencher<'_, '_>) {
    decode(bencher, &samples::posting().unwrap());
}

#[divan::bench]
fn encode_balance(bencher: Bencher<'_, '_>) {
    encode(bencher, &samples::balance());
}

#[divan::bench]
fn decode_balance(bencher: Bencher<'_, '_>) {
    decode(bencher, &samples::balance());
}

const ASKED: Topic<i64, i64> = Topic::new("asked");
const ACCOUNTS: i64 = 1_000;

/// For each record, looks up and writes every account: in the layers above the backend, as it is done within a second.
struct Overlay;

impl Processor for Overlay {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    type Stores = KeyValue<i64, Balance>;

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
        for account in 0..ACCOUNTS {
            let mut balance = cx.stores.get(&account)?.unwrap_or_default();
            balance.postings += record.value;
            cx.stores.put(account, balance);
        }
        Ok(())
    }
}

/// Look-ups and writes, 64 of each account in a transaction.
#[divan::bench]
fn overlay_get_and_put(bencher: Bencher<'_, '_>) {
    let builder = Builder::new("overlay");
    drop(
        builder
            .stream(ASKED)
            .process("overlay", KeyValue::new("balances"), || Overlay),
    );
    let mut driver = TestDriver::new(builder.build().unwrap()).unwrap();
    let records = 64;
    bencher.counter(ItemsCount::new(records * ACCOUNTS as usize)).bench_local(|| {
        for _ in 0..records {
            driver.queue(ASKED, 0, &1, Some(&1));
        }
        driver.settle();
    });
}

/// A thousand records of work with tables, in a transaction.
#[divan::bench(args = [TableWork::Aggregate, TableWork::ForeignKeyJoin, TableWork::VersionedGet])]
fn table(bencher: Bencher<'_, '_>, work: TableWork) {
    let mut tables = Tables::new(work).unwrap();
    let records = 1_000;
    bencher
        .counter(ItemsCount::new(records))
        .bench_local(|| tables.run(records).unwrap());
}

const KEYS: u64 = 100_000;

fn database(folder: &tempfile::TempDir) -> Arc<dyn topology::store::Backend> {
    RocksBackends::new(folder.path(), RocksSettings::default())
        .open("bench", &["balances"])
        .unwrap()
}

fn written(keys: impl Iterator<Item = u64>) -> Batch {
    let mut batch = Batch::default();
    keys.for_each(|key| batch.set(0, &key.to_be_bytes(), Some(&[7; 20])));
    batch
}

#[divan::bench]
fn rocksdb_get(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder);
    database.write(&written(0..KEYS)).unwrap();
    let mut key = 0_u64;
    bencher.bench_local(|| {
        key = (key + 7_919) % KEYS;
        database.get(0, &key.to_be_bytes()).unwrap()
    });
}

/// A thousand keys at once, as a task reads ahead.
#[divan::bench]
fn rocksdb_get_thousand(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder);
    database.write(&written(0..KEYS)).unwrap();
    let mut start = 0_u64;
    bencher.counter(ItemsCount::new(1_000_usize)).bench_local(|| {
        start += 1;
        let mut keys: Vec<[u8; 8]> = (0..1_000).map(|i| ((start + i * 7_919) % KEYS).to_be_bytes()).collect();
        keys.sort_unstable();
        let keys: Vec<&[u8]> = keys.iter().map(<[u8; 8]>::as_slice).collect();
        let mut found = 0;
        database
            .get_many(0, &keys, &mut |value| found += usize::from(value.is_some()))
            .unwrap();
        assert_eq!(found, 1_000);
    });
}

/// Batches of a thousand, as a flush writes them.
#[divan::bench]
fn rocksdb_write_thousand(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder);
    let mut start = 0_u64;
    bencher.bench_local(|| {
        start += 1;
        database
            .write(&written((0..1_000).map(|i| (start + i * 7_919) % KEYS)))
            .unwrap();
    });
}
