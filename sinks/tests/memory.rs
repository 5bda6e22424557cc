//! That what open files say of their memory is what the process has. A process of its own: others' memory would count, too.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use broker::Message;
use bytes::Bytes;
use sinks::parquet::draft::Draft;
use sinks::parquet::encoding::PAGE_ROWS;
use sinks::tables;
use support::debezium::{TRANSACTIONS, V, Writer, transaction};
use wire::{MemoryRegistry, Registry};

const OPEN: u32 = 16;

/// The process's memory in bytes, as the system counts it.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1_024
}

#[test]
fn the_memory_of_open_files_is_what_they_say() {
    let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::default());
    let writer = Writer::new(&registry, TRANSACTIONS);
    let row = |number: i64| transaction(number, V::Decimal(i128::from(number) * 9_973 % 1_000_003, 2));
    let events: Vec<Bytes> = (0..4_096).map(|number| writer.insert(number * 531, row(number))).collect();
    let table = tables::all()
        .into_iter()
        .find(|table| table.name() == "bronze.transactions")
        .unwrap();
    let before = resident();
    let new = |partition| Draft::new(table.clone(), registry.clone(), partition, 1, None);
    let mut drafts: Vec<Draft> = (0..OPEN).map(new).collect();
    let said = |drafts: &[Draft]| drafts.iter().map(Draft::memory_bytes).sum::<u64>();
    // From the first rows on, to several pages.
    for rows in [2_000, PAGE_ROWS as i64 / 2, 2 * PAGE_ROWS as i64 + 1] {
        for draft in &mut drafts {
            let next = draft.last().map_or(0, |last| last.offset + 1);
            for offset in next..rows {
                let record = Message {
                    slot: 0,
                    offset,
                    timestamp_ms: 1_772_366_400_000,
                    key: Some(Bytes::from_static(b"key")),
                    value: Some(events[offset as usize % events.len()].clone()),
                    headers: vec![],
                };
                draft.push(&record).unwrap();
                draft.keep(record);
            }
        }
        let (grown, said) = (resident() - before, said(&drafts));
        assert!(
            grown < said * 3 / 2 + (8 << 20),
            "{OPEN} open files of {rows} rows take {grown} bytes, and say {said}"
        );
        assert!(
            said < grown * 2,
            "{OPEN} open files of {rows} rows take {grown} bytes, and say {said}"
        );
    }
}
