//! What the HTTP service answers, beside what was emitted.

use std::time::Instant;

use api::model::Balance;
use api::routes::LagReport;
use futures::{StreamExt, stream};
use schemas::gold::AccountBalance;

use super::asked::Patience;
use super::check::{Check, LOOK_INTERVAL};
use super::questions::Questions;
use super::run::Audit;
use super::service::Service;

/// Requests at the same time.
const REQUESTS: usize = 16;
const LAG_LOOKS_MAX: usize = 15;

/// Asks for balances: all of them, or as many as `accounts_max`, spread over the ids.
pub async fn check_served(
    audit: &mut Audit,
    service: &Service,
    accounts_max: usize,
    patience: Patience,
) -> anyhow::Result<Vec<Check>> {
    let mut ids: Vec<i64> = audit.balances().map(|balance| balance.account_id.0).collect();
    ids.sort_unstable();
    let all = ids.len();
    if all > accounts_max {
        ids = (0..accounts_max).map(|place| ids[place * all / accounts_max]).collect();
    }
    let asked = ids.len();
    let mut questions = Questions::default();
    let started = Instant::now();
    loop {
        let answers: Vec<(i64, Result<Option<Balance>, String>)> = stream::iter(ids)
            .map(|id| async move { (id, service.balance(id).await) })
            .buffer_unordered(REQUESTS)
            .collect()
            .await;
        audit.follow()?;
        for (id, answer) in answers {
            let emitted = audit.balance(id).cloned();
            match difference(id, &answer, emitted.as_ref()) {
                None => questions.agrees(id),
                // What an answer says of itself changes with each commit and heartbeat: what was emitted says whether the balance did.
                Some(difference) => questions.differs(id, emitted, difference),
            }
        }
        ids = questions.keys();
        if !questions.is_unsettled(patience.settle) || started.elapsed() >= patience.total() {
            break;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    let mut check = Check::default();
    let right = asked - check.answered(questions, patience.settle);
    check.what = format!("HTTP: {right} of {asked} balances are served as they were emitted");
    if asked < all {
        check.notes.push(format!("of {all}; --accounts-max asks for more"));
    }
    Ok(vec![check, lag(service).await])
}

fn difference(id: i64, answer: &Result<Option<Balance>, String>, emitted: Option<&AccountBalance>) -> Option<String> {
    let (served, emitted) = match (answer, emitted) {
        (Err(error), _) => return Some(format!("account {id}: {error}")),
        (Ok(None), None) => return None,
        (Ok(None), Some(_)) => return Some(format!("account {id} is not found, though it has a balance")),
        (Ok(Some(_)), None) => return Some(format!("account {id} is served, though it was deleted")),
        (Ok(Some(served)), Some(emitted)) => (served, emitted),
    };
    let amount = |amount: schemas::Money| amount.in_currency(emitted.currency).to_string();
    let fields = [
        ("booked", &served.booked, amount(emitted.booked)),
        ("pending", &served.pending, amount(emitted.pending)),
        ("available", &served.available, amount(emitted.available)),
        ("opening", &served.opening, amount(emitted.opening)),
        ("currency", &served.currency.to_string(), emitted.currency.to_string()),
        (
            "customer_id",
            &served.customer_id.to_string(),
            emitted.customer_id.to_string(),
        ),
        (
            "entry_count",
            &served.entry_count.to_string(),
            emitted.entry_count.to_string(),
        ),
    ];
    let differing = fields.iter().filter(|(_, served, emitted)| *served != emitted);
    let differing: Vec<String> = differing
        .map(|(field, served, emitted)| format!("{field} is {served} over HTTP and {emitted} in the topic"))
        .collect();
    (!differing.is_empty()).then(|| format!("account {id}: {}", differing.join(", ")))
}

/// What the service itself says of its source: worth knowing beside whatever differs. Its figures are a moment old, so an idle bank
/// is asked again.
async fn lag(service: &Service) -> Check {
    let mut check = Check::of("lag: the service says how far it is");
    let waits = |report: &LagReport| report.inputs.iter().map(|input| input.lag_records).sum::<i64>();
    let mut report = service.lag().await;
    for _ in 0..LAG_LOOKS_MAX {
        match &report {
            Ok(said) if waits(said) > 0 => tokio::time::sleep(LOOK_INTERVAL).await,
            _ => break,
        }
        report = service.lag().await;
    }
    match report {
        Ok(said) => {
            let waiting = waits(&said);
            let heard = said.source.as_ref().and_then(|source| source.silence_seconds);
            check.what = match heard {
                Some(seconds) => format!("lag: {waiting} records wait, the source was heard {seconds:.0} s ago"),
                None => format!("lag: {waiting} records wait"),
            };
            check.notes.extend(said.source.into_iter().flat_map(|source| source.troubles));
        }
        Err(error) => check.problems.push(format!("{error:#}")),
    }
    check
}
