//! Files that are uploaded in parts and copied onto their places are there exactly once, like others.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use support::{Bench, Fault, bury, rng, wait_for};
use testkit::object_store::CountingStore;

/// Every file is a large one.
fn bench(seed: u64) -> Bench {
    let mut bench = Bench::one(seed);
    bench.settings.multipart_bytes = 1;
    bench.apart_ms = 3_600_000;
    bench
}

fn uploads(bench: &Bench) -> Vec<Path> {
    bench.block_on(async {
        let folder = Path::from("_uploads");
        let objects = bench.store.inner();
        let objects = objects.list(Some(&folder)).map_ok(|object| object.location);
        objects.try_collect().await.unwrap()
    })
}

#[test]
fn uploads_leave_nothing_behind() {
    let mut bench = bench(1);
    bench.produce("records", 400, &mut rng(1));
    let sink = bench.start("only");
    bench.wait_until_written();
    sink.stop().unwrap();
    bench.prove();
    assert_eq!(uploads(&bench), []);
    let probed = Path::from("_riverbank/create-only-copy");
    bench.block_on(async { bench.store.inner().head(&probed).await.unwrap() });
}

/// One owner hangs at each of its requests in turn, and is taken for dead; another one writes everything; then the first goes on.
#[test]
fn an_owner_that_hangs_at_any_request_doubles_nothing() {
    let mut last = 0;
    for request in 0.. {
        let mut bench = bench(2);
        bench.settings.rows_max = 10_000;
        bench.settings.put_timeout = support::BOUND;
        bench.produce("records", 60, &mut rng(2));
        let store = CountingStore::hanging_at(bench.store.inner(), request);
        let metrics = prometheus::Registry::new();
        let first = bench.sink_on(store.clone(), "first").start(&metrics).unwrap();
        wait_for("it hangs, or has written all", || store.hangs() || bench.look().0 == 0);
        if !store.hangs() {
            first.stop().unwrap();
            break;
        }
        last = request;
        bench.broker.expire_member("sinks", "first");
        let second = bench.start("second");
        bench.wait_until_written();
        bench.prove();
        store.let_go();
        let _ = first.stop();
        second.stop().unwrap();
        bench.prove();
    }
    println!("{last} requests");
    // At least the probes, an intent, an upload of two requests, its part, a copy and a deletion.
    assert!(last >= 10, "{last}");
}

#[test]
fn every_fault_of_an_upload_is_made_good() {
    for fault in Fault::ALL {
        let mut bench = bench(3);
        bench.produce("records", 200, &mut rng(3));
        bench.store.suffer(&[fault], 0.3);
        let sink = bench.start("only");
        wait_for("a file is there", || !bench.files("records").is_empty());
        bench.store.recover();
        bench.wait_until_written();
        sink.stop().unwrap();
        bench.prove();
    }
}

/// A store whose puts keep what is there, and whose copies do not, gets its files by puts.
#[test]
fn a_store_that_copies_onto_what_is_there_gets_puts() {
    let mut bench = bench(4);
    bench.store.overwrite_copies(true);
    bench.produce("records", 100, &mut rng(4));
    let sink = bench.start("only");
    bench.wait_until_written();
    sink.stop().unwrap();
    bench.prove();
    // The probe's two, and none of a file's.
    assert_eq!(bench.store.copies(), 2);
    assert!(bench.store.puts() > bench.files("records").len() as u64);
}

#[test]
fn a_crash_in_the_midst_of_uploads_is_made_good() {
    for step in sinks::Step::ALL {
        let mut bench = bench(5);
        bench.produce("records", 200, &mut rng(5));
        let sink = bench.start_with("first", support::CrashAt::new(step, 2));
        bury(&bench, sink, "first");
        let sink = bench.start("second");
        bench.wait_until_written();
        sink.stop().unwrap();
        bench.prove();
    }
}
