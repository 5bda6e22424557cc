//! `/balances` on real servers: what several accounts held at one moment of the source, while instances are killed.

#[allow(dead_code, reason = "each test file uses a part")]
mod support {
    pub mod stack;
    pub mod ten;
}

use std::sync::Arc;
use std::time::Duration;

use support::stack::{Stack, eventually};
use support::ten::Ten;

const READY: Duration = Duration::from_secs(180);
/// Answers of one moment before anything is killed.
const READS: usize = 1_000;

/// Money only moves between ten accounts of 100.00 each: whoever asks for all ten sees 1,000.00, at either instance, whichever of them is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_accounts_have_a_thousand_together() {
    let stack = Stack::start().await;
    let mut instances = [stack.riverbank("one"), stack.riverbank("two")];
    for instance in &mut instances {
        instance.spawn();
    }
    for instance in &mut instances {
        instance.ready(&stack.http, READY).await;
    }
    stack.capture().await;
    let ten = Arc::new(Ten::open(&stack.postgres_url()).await);
    let mut tasks = Vec::new();
    for writer in 0..4 {
        let ten = ten.clone();
        tasks.push(tokio::spawn(async move { ten.write(writer).await }));
    }
    for instance in &instances {
        let (ten, http, url) = (ten.clone(), stack.http.clone(), instance.url.clone());
        tasks.push(tokio::spawn(async move { ten.read(&http, &url).await }));
    }
    let more = async |count: usize, what: &str| {
        let until = ten.seen()[0] + count;
        eventually(what, Duration::from_secs(180), || async {
            let seen = ten.seen();
            (seen[0] >= until).then_some(()).ok_or_else(|| format!("{seen:?}"))
        })
        .await;
    };
    more(READS, "both instances").await;
    let [one, two] = &mut instances;
    for victim in [one, two] {
        victim.kill();
        more(READS / 10, "one was killed").await;
        victim.spawn();
        victim.ready(&stack.http, READY).await;
        more(READS / 10, "it is back").await;
    }
    ten.end();
    for task in tasks {
        task.await.expect("no reader saw another sum");
    }
    let [whole, assumed, apart, _] = ten.seen();
    assert!(
        apart + assumed < whole,
        "answers of one moment are the rule: {:?}",
        ten.seen()
    );
    for instance in &mut instances {
        instance.audit().await;
        instance.stop(Duration::from_secs(60)).await;
    }
}
