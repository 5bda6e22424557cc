//! The Gold tables that are made of other rows, beside those rows: what was emitted of each must be what the emitted rows that it is made of come to.
//!
//! Those rows are compared with the source by themselves. Where they differ from it, or from one another, nothing is said of what is made of them:
//! one fault is reported once, where it is.

mod aggregate;
mod bank;
mod days;
mod facts;
mod minutes;
mod positions;

use std::time::Duration;

use super::books::Emitted;
use super::check::Check;
use aggregate::OfAggregate;

/// What of the rows that the tables are made of is not as it must be.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wrong {
    /// Of accounts.
    pub accounts: bool,
    /// Of transactions.
    pub transactions: bool,
    /// Of balances.
    pub balances: bool,
    /// Of the histories of accounts.
    pub histories: bool,
}

/// The tables' part of the audit.
#[derive(Default)]
pub(super) struct OfGold {
    facts: OfAggregate<facts::Facts>,
    positions: OfAggregate<positions::Positions>,
    days: OfAggregate<days::Days>,
    bank: OfAggregate<bank::BankDays>,
    minutes: OfAggregate<minutes::Minutes>,
}

impl OfGold {
    /// Looks at all rows, or again at those that differ.
    pub fn look(&mut self, is_first: bool, emitted: &Emitted) -> anyhow::Result<()> {
        self.facts.look(is_first, emitted)?;
        self.positions.look(is_first, emitted)?;
        self.days.look(is_first, emitted)?;
        self.bank.look(is_first, emitted)?;
        self.minutes.look(is_first, emitted)
    }

    pub fn is_unsettled(&self, settle: Duration) -> bool {
        self.facts.questions.is_unsettled(settle)
            || self.positions.questions.is_unsettled(settle)
            || self.days.questions.is_unsettled(settle)
            || self.bank.questions.is_unsettled(settle)
            || self.minutes.questions.is_unsettled(settle)
    }

    pub fn ask_anew(&mut self) {
        self.facts.questions.ask_anew();
        self.positions.questions.ask_anew();
        self.days.questions.ask_anew();
        self.bank.questions.ask_anew();
        self.minutes.questions.ask_anew();
    }

    pub fn verdict(self, emitted: &Emitted, wrong: Wrong, settle: Duration) -> Vec<Check> {
        let days = wrong.accounts || wrong.transactions || wrong.balances;
        let facts = wrong.transactions || wrong.histories;
        let bank = wrong.accounts || self.days.questions.is_any_settled(settle);
        vec![
            self.facts.verdict(emitted, facts, settle),
            self.positions.verdict(emitted, wrong.accounts || wrong.balances, settle),
            self.days.verdict(emitted, days, settle),
            self.bank.verdict(emitted, bank, settle),
            self.minutes.verdict(emitted, facts, settle),
        ]
    }
}

/// Of tables that begin in the middle.
pub(super) fn not_compared() -> Check {
    let mut check = Check::of("Gold that is made of rows: not compared");
    let reason =
        "it begins with what changed since engine.gold_from_now_on was set, and rows do not say whether they changed since";
    check.notes.push(reason.to_owned());
    check
}
