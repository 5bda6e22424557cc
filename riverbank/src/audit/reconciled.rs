//! What the bank itself says of its balances beside the source's.

use schemas::Money;
use schemas::silver::BalanceFrom;
use schemas::topics::RECONCILIATION;

use super::books::Emitted;
use super::check::Check;

/// Whether there is such an account.
pub(super) fn is_any(emitted: &Emitted) -> bool {
    emitted.gold.reconciled.iter().any(|(_, row)| row.difference != Money::ZERO)
}

/// Each account that the bank has found to differ, of those whose balance the source keeps; `None`: it keeps none.
pub(super) fn verdict(emitted: &Emitted) -> Option<Check> {
    let kept = emitted
        .accounts
        .values()
        .filter(|account| account.balance_from == BalanceFrom::Ledger)
        .count();
    let rows = || emitted.gold.reconciled.iter();
    let differing = rows().filter(|(_, row)| row.difference != Money::ZERO);
    let problems: Vec<String> = differing
        .map(|(id, row)| {
            let (streamed, source, lsn) = (row.streamed, row.source, row.source_lsn);
            format!("account {id}: the balance is {streamed}, and the source keeps {source} as of LSN {lsn}")
        })
        .collect();
    if kept == 0 && problems.is_empty() {
        return None;
    }
    let compared = rows().count();
    let mut check = Check::of(format!(
        "{}: {} of {compared} balances are the source's own, as of the same commit",
        RECONCILIATION.name(),
        compared - problems.len()
    ));
    if compared < kept {
        check
            .notes
            .push(format!("{} accounts were not compared yet", kept - compared));
    }
    check.found(problems);
    Some(check)
}
