//! What one record's steps cost, one by one: wire, store, engine without a network.

use std::sync::Arc;

use divan::{Bencher, black_box};
use load_tests::reference::work::Change;
use load_tests::samples;
use topology::store::{Backends, Batch, RocksBackends, RocksSettings};
use wire::{Codec, Wire};

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
