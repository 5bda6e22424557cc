//! Histories as they were emitted: versions without gaps, the newest of which is the row.

use std::collections::{BTreeMap, HashMap};
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

/// A history's part of the audit; what differs, with how many versions there are and the LSN of the row.
#[derive(Default)]
pub(super) struct OfHistory {
    questions: Questions<i64, (usize, Option<i64>)>,
}

impl OfHistory {
    /// Looks at all histories, or again at those that differ. A row that is not as the source has it says nothing of its history.
    pub fn look<D: Emits>(&mut self, is_first: bool, emitted: &Emitted, is_wrong: impl Fn(i64) -> bool) {
        let all = D::versions(emitted);
        let ids = if is_first {
            all.keys().copied().collect()
        } else {
            self.questions.keys()
        };
        for id in ids {
            let row = D::rows(emitted).get(&id);
            match all.get(&id).and_then(|versions| difference::<D>(versions, row)) {
                Some(difference) if !is_wrong(id) => {
                    let state = (all.get(&id).map_or(0, BTreeMap::len), row.map(|row| D::made_at(row).0));
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

    pub fn ask_anew(&mut self) {
        self.questions.ask_anew();
    }

    pub fn verdict<D: Emits>(self, emitted: &Emitted, settle: Duration) -> Check {
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
        if without > 0 {
            check.notes.push(format!(
                "{without} rows have no history yet: nothing of them that is tracked has changed since histories are kept"
            ));
        }
        check
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
