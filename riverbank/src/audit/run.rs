//! The audit at work: one look at everything, then again at what differs.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use processors::scd2::{AccountHistory, CustomerHistory};
use processors::silver::{Accounts, Customers, Transactions};
use schemas::gold::AccountBalance;
use schemas::topics::ACCOUNT_BALANCES;
use topology::clock::{Clock as _, SystemClock};

use super::asked::{Kept, Patience};
use super::balances::{Sums, add, by_emitted_rows, difference, ledger, open};
use super::books::Books;
use super::check::{Check, LOOK_INTERVAL};
use super::gold::{OfGold, Wrong, not_compared};
use super::histories::OfHistory;
use super::journal::OfJournal;
use super::questions::Questions;
use super::reconciled;
use super::rows::OfTable;
use super::service::{Progress, Service};
use super::source::{Position, Source, SourceRow, Wanted};
use crate::open::log::Log;

/// How often the log says that the audit waits.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// The audit of rows, journal and balances.
pub struct Audit {
    books: Books,
    source: Source,
    kept: Kept,
    customers: OfTable<Customers>,
    accounts: OfTable<Accounts>,
    transactions: OfTable<Transactions>,
    balances: Questions<i64, Option<Sums>>,
    journal: OfJournal,
    customer_histories: OfHistory,
    account_histories: OfHistory,
    gold: OfGold,
}

impl Audit {
    /// Of a bank whose rows are in `source`, by the topics in `log`. Nothing is read yet.
    pub fn new(log: &Log, source: Source, kept: Kept) -> anyhow::Result<Self> {
        Ok(Self {
            books: Books::open(log)?,
            source,
            kept,
            customers: OfTable::default(),
            accounts: OfTable::default(),
            transactions: OfTable::default(),
            balances: Questions::default(),
            journal: OfJournal::default(),
            customer_histories: OfHistory::default(),
            account_histories: OfHistory::default(),
            gold: OfGold::default(),
        })
    }

    /// Balances as they were emitted last; those of deleted accounts are not among them.
    pub fn balances(&self) -> impl Iterator<Item = &AccountBalance> {
        self.books.emitted.balances.values().filter(|balance| !balance.is_deleted)
    }

    /// One of them.
    pub fn balance(&self, id: i64) -> Option<&AccountBalance> {
        self.books.emitted.balances.get(&id).filter(|balance| !balance.is_deleted)
    }

    /// Reads what has been emitted since.
    pub fn follow(&mut self) -> anyhow::Result<()> {
        let now = SystemClock.now_ms().to_micros().0;
        let expired = |expiry: Duration| now.saturating_sub_unsigned(expiry.as_micros() as u64);
        self.books.emitted.holds_since = self.kept.hold_expiry.map(expired);
        tokio::task::block_in_place(|| self.books.follow())
    }

    /// How many postings were read.
    pub fn postings(&self) -> u64 {
        self.books.emitted.journal.postings
    }

    /// Reads the topics to their ends, looks at the source, and asks again what differs, as soon as `service` has heard all that was
    /// seen there. Needs a runtime of several threads.
    pub async fn run(&mut self, patience: Patience, service: Option<&Service>) -> anyhow::Result<Vec<Check>> {
        tokio::task::block_in_place(|| self.books.read())?;
        self.follow()?;
        let (accounts, position, ledger) = self.first_look().await?;
        self.journal.look(true, &self.books.emitted)?;
        self.look_at_histories(true);
        self.look_at_gold(true)?;
        let mut late = None;
        if let (Some(position), Some(service), true) = (position, service, self.is_unsettled(patience.settle)) {
            late = self.arrive(position, service, patience.arrive).await?;
        }
        let started = Instant::now();
        self.ask_anew();
        while self.is_unsettled(patience.settle) && started.elapsed() < patience.total() {
            self.follow()?;
            let asked = Instant::now();
            self.look_again().await?;
            // A look at many rows is work for the bank's database.
            let pause = asked.elapsed().max(LOOK_INTERVAL);
            self.journal.look(false, &self.books.emitted)?;
            self.look_at_histories(false);
            self.look_at_gold(false)?;
            tokio::time::sleep(pause).await;
        }
        // The bank looks at what differs with each posting and row of the account.
        let asked = Instant::now();
        while reconciled::is_any(&self.books.emitted) && asked.elapsed() < patience.settle {
            tokio::time::sleep(LOOK_INTERVAL).await;
            self.follow()?;
        }
        let mut checks = self.verdict(accounts, patience.settle);
        checks.extend(ledger);
        checks.extend(reconciled::verdict(&self.books.emitted));
        checks.extend(late);
        Ok(checks)
    }

    /// Waits until the service has heard the source from behind a position in its log, and has processed what came before.
    async fn arrive(&mut self, position: Position, service: &Service, bound: Duration) -> anyhow::Result<Option<Check>> {
        let started = Instant::now();
        let mut logged = started;
        loop {
            let progress = service.progress(position).await;
            self.follow()?;
            let reason = match progress {
                Ok(Progress::Arrived) => return Ok(None),
                Ok(Progress::Waiting(reason)) => reason,
                // It may come back; if it does not, what differs is still said.
                Err(error) => format!("{error:#}"),
            };
            if started.elapsed() >= bound {
                let mut late = Check::of(format!(
                    "the source's log up to {}, where it was when its rows were read",
                    position.lsn
                ));
                late.problems.push(format!(
                    "has not arrived after {}: {reason}",
                    humantime::format_duration(bound)
                ));
                return Ok(Some(late));
            }
            if logged.elapsed() >= LOG_INTERVAL {
                logged = Instant::now();
                tracing::info!("waiting for the source's log up to {}: {reason}", position.lsn);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// From now on, what differs is to settle.
    fn ask_anew(&mut self) {
        self.customers.questions.ask_anew();
        self.accounts.questions.ask_anew();
        self.transactions.questions.ask_anew();
        self.balances.ask_anew();
        self.journal.ask_anew();
        self.customer_histories.ask_anew();
        self.account_histories.ask_anew();
        self.gold.ask_anew();
    }

    fn is_unsettled(&self, settle: Duration) -> bool {
        self.customers.questions.is_unsettled(settle)
            || self.accounts.questions.is_unsettled(settle)
            || self.transactions.questions.is_unsettled(settle)
            || self.balances.is_unsettled(settle)
            || self.journal.is_unsettled(settle)
            || self.customer_histories.is_unsettled(settle)
            || self.account_histories.is_unsettled(settle)
            || self.gold.is_unsettled(settle)
    }

    /// All rows, once. Returns how many accounts should have a balance, where the source was, and what it says of its own balances.
    async fn first_look(&mut self) -> anyhow::Result<(usize, Option<Position>, Option<Check>)> {
        let emitted = &self.books.emitted;
        let (customers, accounts, transactions) = (&mut self.customers, &mut self.accounts, &mut self.transactions);
        let (mut seen, mut sums) = (<[HashSet<i64>; 3]>::default(), HashMap::new());
        let position = self
            .source
            .look(None, |row| {
                match row {
                    SourceRow::Customer(row) => customers.saw(&mut seen[0], row, emitted),
                    SourceRow::Account(row) => {
                        open(&mut sums, &row, emitted);
                        accounts.saw(&mut seen[1], row, emitted);
                    }
                    SourceRow::Transaction(row) => {
                        add(&mut sums, &row, emitted)?;
                        transactions.saw(&mut seen[2], row, emitted);
                    }
                }
                Ok(())
            })
            .await?;
        customers.saw_all(&seen[0], emitted);
        accounts.saw_all(&seen[1], emitted);
        transactions.saw_all(&seen[2], emitted);
        let count = sums.len();
        let (kept, off) = ledger(&sums);
        let ledger = (kept > 0).then(|| {
            let right = kept - off.len();
            let mut check = Check::of(format!(
                "the source: {right} of {kept} balances that it keeps are what its own transactions made"
            ));
            check.found(off);
            check
        });
        let unexpected: Vec<i64> = emitted
            .balances
            .keys()
            .filter(|id| !sums.contains_key(*id))
            .copied()
            .collect();
        for (id, expected) in sums {
            self.look_at_balance(id, Some(expected))?;
        }
        for id in unexpected {
            self.look_at_balance(id, None)?;
        }
        Ok((count, position, ledger))
    }

    /// The rows that differ, and all that a balance that differs is made of.
    async fn look_again(&mut self) -> anyhow::Result<()> {
        let balances = self.balances.keys();
        let wanted = Wanted {
            customers: self.customers.questions.keys(),
            accounts: [self.accounts.questions.keys(), balances.clone()].concat(),
            transactions: self.transactions.questions.keys(),
            transactions_of: balances.clone(),
        };
        if wanted == Wanted::default() {
            return Ok(());
        }
        let emitted = &self.books.emitted;
        let (mut customers, mut accounts, mut transactions) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut sums = HashMap::new();
        self.source
            .look(Some(&wanted), |row| {
                match row {
                    SourceRow::Customer(row) => drop(customers.insert(row.id, row)),
                    SourceRow::Account(row) => {
                        open(&mut sums, &row, emitted);
                        accounts.insert(row.id, row);
                    }
                    SourceRow::Transaction(row) => {
                        add(&mut sums, &row, emitted)?;
                        transactions.insert(row.id, row);
                    }
                }
                Ok(())
            })
            .await?;
        self.customers.looked_again(customers, emitted);
        self.accounts.looked_again(accounts, emitted);
        self.transactions.looked_again(transactions, emitted);
        let mut moving = Vec::new();
        for id in balances {
            let expected = sums.remove(&id);
            if self.balances.has_changed(id, &expected) {
                moving.push(id);
            }
            self.look_at_balance(id, expected)?;
        }
        self.look_at_moving(&moving)
    }

    /// Balances whose transactions come all the time, so that Postgres is ahead at every look: what was emitted of the transactions, each of
    /// which is compared by itself, must make them.
    fn look_at_moving(&mut self, ids: &[i64]) -> anyhow::Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        for (id, sums) in by_emitted_rows(ids, &self.books.emitted)? {
            if difference(id, Some(&sums), self.balance(id))?.is_none() {
                self.balances.agrees(id);
            }
        }
        Ok(())
    }

    fn look_at_balance(&mut self, id: i64, expected: Option<Sums>) -> anyhow::Result<()> {
        match difference(id, expected.as_ref(), self.balance(id))? {
            None => self.balances.agrees(id),
            Some(difference) => self.balances.differs(id, expected, difference),
        }
        Ok(())
    }

    /// Versions beside the rows that they are of, where those are right.
    fn look_at_histories(&mut self, is_first: bool) {
        let (emitted, customers, accounts) = (&self.books.emitted, &self.customers, &self.accounts);
        let from_start = self.kept.histories_from_start;
        self.customer_histories
            .look::<CustomerHistory>(is_first, from_start, emitted, |id| customers.differs(id));
        self.account_histories
            .look::<AccountHistory>(is_first, from_start, emitted, |id| accounts.differs(id));
    }

    /// What adds up rows, beside the rows.
    fn look_at_gold(&mut self, is_first: bool) -> anyhow::Result<()> {
        match self.kept.gold_from_now_on {
            true => Ok(()),
            false => self.gold.look(is_first, &self.books.emitted),
        }
    }

    fn verdict(&mut self, accounts: usize, settle: Duration) -> Vec<Check> {
        let wrong = Wrong {
            accounts: self.accounts.questions.is_any_settled(settle),
            transactions: self.transactions.questions.is_any_settled(settle),
            balances: self.balances.is_any_settled(settle),
            histories: self.account_histories.is_any_settled(settle),
        };
        let mut balances = Check::default();
        let right = accounts.saturating_sub(balances.answered(std::mem::take(&mut self.balances), settle));
        balances.what = format!(
            "{}: {right} of {accounts} balances are what the source's accounts opened with and its transactions made",
            ACCOUNT_BALANCES.name()
        );
        let emitted = &self.books.emitted;
        let gold = match self.kept.gold_from_now_on {
            true => vec![not_compared()],
            false => std::mem::take(&mut self.gold).verdict(emitted, wrong, settle),
        };
        let mut checks = vec![
            std::mem::take(&mut self.customers).verdict(settle),
            std::mem::take(&mut self.accounts).verdict(settle),
            std::mem::take(&mut self.transactions).verdict(settle),
            balances,
            std::mem::take(&mut self.journal).verdict(emitted, settle),
            std::mem::take(&mut self.customer_histories).verdict::<CustomerHistory>(
                self.kept.histories_from_start,
                emitted,
                settle,
            ),
            std::mem::take(&mut self.account_histories).verdict::<AccountHistory>(
                self.kept.histories_from_start,
                emitted,
                settle,
            ),
        ];
        checks.extend(gold);
        checks
    }
}
