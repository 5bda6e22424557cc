//! Histories as they were emitted: versions without gaps, the newest of which is the row.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use api::model::instant;
use processors::scd2::{AccountHistory, CustomerHistory, Dimension};
use schemas::gold::{AccountVersion, CustomerVersion, Versioned};
use schemas::silver::{Account, Customer};
use schemas::topics::{ACCOUNT_HISTORY, CUSTOMER_HISTORY};

use super::books::Emitted;
use super::check::Check;
use super::questions::Questions;
use super::versions::Versions;

/// A history, and the rows that it is of.
pub(super) trait Emits: Dimension {
    /// The topic.
    const TOPIC: &'static str;
    /// The versions that were emitted.
    fn versions(of: &Emitted) -> &Versions<Self::Version>;
    /// The rows in force.
    fn rows(of: &Emitted) -> &HashMap<i64, Self::Row>;
}

impl Emits for CustomerHistory {
    const TOPIC: &'static str = CUSTOMER_HISTORY.name();

    fn versions(of: &Emitted) -> &Versions<CustomerVersion> {
        &of.customer_versions
    }

    fn rows(of: &Emitted) -> &HashMap<i64, Customer> {
        &of.customers
    }
}

impl Emits for AccountHistory {
    const TOPIC: &'static str = ACCOUNT_HISTORY.name();

    fn versions(of: &Emitted) -> &Versions<AccountVersion> {
        &of.account_versions
    }

    fn rows(of: &Emitted) -> &HashMap<i64, Account> {
        &of.accounts
    }
}

/// What is known of a history that differs: as long as it changes, it is not to be judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct State {
    versions: usize,
    /// The most that it has had.
    most: usize,
    /// The LSN of the row.
    row: Option<i64>,
}

/// A history's part of the audit.
#[derive(Default)]
pub(super) struct OfHistory {
    questions: Questions<i64, State>,
}

impl OfHistory {
    /// Looks at all histories, or again at those that differ. A row that is not as the source has it says nothing of its history.
    /// `from_start`: every row must have one.
    pub fn look<D: Emits>(&mut self, is_first: bool, from_start: bool, emitted: &Emitted, is_wrong: impl Fn(i64) -> bool) {
        let (all, rows) = (D::versions(emitted), D::rows(emitted));
        let ids: BTreeSet<i64> = match is_first {
            true if from_start => all.keys().chain(rows.keys()).copied().collect(),
            true => all.keys().copied().collect(),
            false => self.questions.keys().into_iter().collect(),
        };
        for id in ids {
            let (versions, row) = (all.get(&id), rows.get(&id));
            let count = versions.map_or(0, BTreeMap::len);
            let state = State {
                versions: count,
                most: self.questions.state(id).map_or(0, |state| state.most).max(count),
                row: row.map(|row| D::made_at(row).0),
            };
            let difference = match versions {
                Some(versions) => difference::<D>(versions, row),
                None => missing(state),
            };
            match difference {
                Some(difference) if !is_wrong(id) => {
                    self.questions
                        .differs(id, state, format!("{}: row {id}: {difference}", D::TOPIC));
                }
                _ => self.questions.agrees(id),
            }
        }
    }

    pub fn is_unsettled(&self, settle: Duration) -> bool {
        self.questions.is_unsettled(settle)
    }

    pub fn is_any_settled(&self, settle: Duration) -> bool {
        self.questions.is_any_settled(settle)
    }

    pub fn ask_anew(&mut self) {
        self.questions.ask_anew();
    }

    pub fn verdict<D: Emits>(self, from_start: bool, emitted: &Emitted, settle: Duration) -> Check {
        let all = D::versions(emitted);
        let mut check = Check::default();
        let right = all.len().saturating_sub(check.answered(self.questions, settle));
        check.what = format!(
            "{}: {right} of {} histories are without a gap and end with their row, {} versions in all",
            D::TOPIC,
            all.len(),
            all.values().map(BTreeMap::len).sum::<usize>()
        );
        let without = D::rows(emitted).keys().filter(|id| !all.contains_key(*id)).count();
        // Else they are told as wrong.
        if without > 0 && !from_start {
            check.notes.push(format!(
                "{without} rows have no history yet: nothing of them that is tracked has changed since histories are kept"
            ));
        }
        check
    }
}

/// What is wrong where there are no versions.
fn missing(of: State) -> Option<String> {
    match (of.row, of.most) {
        (None, 0 | 1) => None,
        // What came and went in one transaction has no history: its only version is taken back. No other history ends so.
        (None, most) => Some(format!("its history, of {most} versions, is gone")),
        (Some(_), 0) => Some("it has no history, and histories are kept from the start".to_owned()),
        (Some(_), most) => Some(format!("the row is there, and its history, of {most} versions, is gone")),
    }
}

/// What is wrong with a row's versions, if anything. Nothing personal: it is printed.
fn difference<D: Emits>(versions: &BTreeMap<i64, D::Version>, row: Option<&D::Row>) -> Option<String> {
    for (expected, number) in (1..).zip(versions.keys()) {
        if *number != expected {
            return Some(format!("version {number} comes where version {expected} should be"));
        }
    }
    let following = versions.values().skip(1).map(Some).chain([None]);
    for (version, next) in versions.values().zip(following) {
        let (version, next) = (version.validity(), next.map(|next| next.validity().valid_from));
        if version.valid_to != next {
            let shown = |at: Option<_>| at.map_or("nothing".to_owned(), instant);
            let (to, next) = (shown(version.valid_to), shown(next));
            return Some(format!(
                "version {} ends with {to}, and what follows begins with {next}",
                version.version
            ));
        }
        if next.is_some_and(|next| next <= version.valid_from) {
            return Some(format!("version {} ends before it begins", version.version));
        }
    }
    let newest = versions.values().next_back()?;
    let validity = newest.validity();
    match row {
        None if validity.is_deleted => None,
        None => Some("the row is gone, and its newest version is none of a deletion".to_owned()),
        Some(_) if validity.is_deleted => Some("the row is there, and its newest version is one of a deletion".to_owned()),
        Some(row) if D::version(row, validity) == *newest => None,
        Some(_) => Some(format!("version {}, the newest, is not as the row is", validity.version)),
    }
}

#[cfg(test)]
mod tests {
    use schemas::CustomerId;
    use schemas::gold::{CustomerVersion, Validity};
    use topology::Micros;

    use super::*;

    fn row() -> Customer {
        Customer {
            id: CustomerId(1),
            first_name: "Ada".to_owned(),
            last_name: "Lovelace".to_owned(),
            email: "ada@example.org".to_owned(),
            created_at: 0,
            updated_at: 0,
            source_lsn: 10,
            source_ts: 0,
        }
    }

    /// The row and so many versions, of which the last is of another name than the row.
    fn emitted(has_row: bool, versions: i64) -> Emitted {
        let version = |number| {
            let validity = Validity {
                version: number,
                valid_from: Micros(number),
                valid_to: (number < versions).then_some(Micros(number + 1)),
                is_deleted: false,
                source_lsn: 10,
                source_tx_id: None,
            };
            CustomerVersion {
                first_name: "Nobody".to_owned(),
                ..CustomerHistory::version(&row(), validity)
            }
        };
        let versions: BTreeMap<i64, CustomerVersion> = (1..=versions).map(|number| (number, version(number))).collect();
        Emitted {
            customers: has_row.then(|| (1, row())).into_iter().collect(),
            customer_versions: (!versions.is_empty()).then_some((1, versions)).into_iter().collect(),
            ..Emitted::default()
        }
    }

    #[test]
    fn a_history_that_disappears_between_two_looks_does_not_agree() {
        // (whether the row is there, versions at the first look and at the second) and what is then said.
        let cases = [
            (
                (true, 1, 0),
                Some("the row is there, and its history, of 1 versions, is gone"),
            ),
            (
                (true, 2, 0),
                Some("the row is there, and its history, of 2 versions, is gone"),
            ),
            ((false, 2, 0), Some("its history, of 2 versions, is gone")),
            // It came and went.
            ((false, 1, 0), None),
        ];
        for ((has_row, first, then), expected) in cases {
            let mut histories = OfHistory::default();
            histories.look::<CustomerHistory>(true, false, &emitted(has_row, first), |_| false);
            // As often as one likes.
            for _ in 0..3 {
                histories.look::<CustomerHistory>(false, false, &emitted(has_row, then), |_| false);
            }
            let check = histories.verdict::<CustomerHistory>(false, &emitted(has_row, then), Duration::ZERO);
            let said = check.problems.first().map(String::as_str);
            assert_eq!(
                said,
                expected
                    .map(|text| format!("gold.customer_history: row 1: {text}"))
                    .as_deref()
            );
        }
    }
}
