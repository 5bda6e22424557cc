//! Workers that die in the middle of a transaction: what they leave open holds the others up until it times out, and no longer.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use broker::in_process::CommitFault;
use topology::dsl::Builder;
use topology::store::{KeyValue, MemoryBackends};
use topology::testing::TestDriver;
use topology::*;
use wire::Topic;

const INPUT: Topic<i64, i64> = Topic::new("input");
const BY_KEY: Topic<i64, i64> = Topic::new("by-key");
const TOTALS: Topic<i64, i64> = Topic::new("totals");
const SEEN: Topic<i64, i64> = Topic::new("seen");
const TOTAL: KeyValue<i64, i64> = KeyValue::backed_by("total", TOTALS);

struct Sum;

impl Processor for Sum {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    type Stores = KeyValue<i64, i64>;

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
        let total = cx.stores.get(&record.key)?.unwrap_or(0) + record.value;
        cx.stores.put(record.key, total);
        cx.out.forward(record.key, record.value);
        Ok(())
    }
}

fn two_workers() -> TestDriver {
    let builder = Builder::new("open");
    builder
        .stream(INPUT)
        .select_key(|key, _| key % 7)
        .repartition(BY_KEY)
        .process("sum", TOTAL, || Sum)
        .to(SEEN);
    let settings = EngineSettings {
        partitions: 2,
        threads: 2,
        ..EngineSettings::default()
    };
    TestDriver::with(builder.build().unwrap(), settings, Arc::new(MemoryBackends::default())).unwrap()
}

/// Sends a record of each key.
fn send_all(driver: &mut TestDriver) {
    for key in 0..7 {
        driver.queue(INPUT, 1_000, &key, Some(&1));
    }
}

#[test]
fn another_worker_takes_over_when_the_dead_ones_commit_has_timed_out() {
    for fault in [
        CommitFault::Lost,
        CommitFault::Late,
        CommitFault::AnswerLost,
        CommitFault::MarkersLate,
    ] {
        let mut driver = two_workers();
        send_all(&mut driver);
        driver.settle();
        let id = "open-0-0";
        driver.broker().transaction_faults().next_commit(id, fault);
        send_all(&mut driver);
        // Until it has met the fault: it commits as soon as its input runs dry.
        while driver.broker().transaction_faults().expected(id) > 0 {
            driver.turns(0, 1);
        }
        driver.take_down(0, false);
        driver.settle();
        let refused = driver.broker().transaction_faults().deliver(id);
        assert!(refused.iter().all(Result::is_err), "{fault:?}: {refused:?}");
        driver.settle();
        assert_eq!(
            driver.view(TOTAL),
            (0..7).map(|key| (key, 2)).collect::<Vec<_>>(),
            "{fault:?}"
        );
        assert_eq!(driver.drain(SEEN).len(), 14, "{fault:?}");
        assert_eq!(driver.broker().open_transactions(), 0, "{fault:?}");
    }
}
