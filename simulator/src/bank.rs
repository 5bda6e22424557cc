//! The simulated bank: an endless, repeatable stream of what happens in a bank.
//!
//! A bank is simulated by one or more **lanes**, one for each connection that writes. All lanes know the initial
//! customers and accounts; after that, each has a random stream, customers, accounts and transactions of its own, and
//! touches those of another lane in one way only: it sends money to accounts that are never closed. So what a lane does
//! never depends on how far the others are, the same seed always makes the same operations, and nothing that a lane
//! does is refused for insufficient funds, except where it tries to on purpose.

use std::collections::VecDeque;
use std::iter;
use std::sync::Arc;

use rand::distr::weighted::WeightedIndex;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::activity::Activity;
use crate::book::{Account, Book, hundredths};
use crate::calendar::Calendar;
use crate::mix::{Kind, Kinds};
use crate::operation::{AccountRef, Batch, CustomerRef, Draft, TransactionRef};
use crate::population::{self, InitialPopulation};
use crate::profile::Profile;
use crate::roll::{Customer, Roll};
use crate::standing::Standing;

/// Customers and accounts of the initial population in one commit, at most.
const POPULATION_BATCH: usize = 40;

/// One lane of a simulated bank; as an iterator it never ends.
#[derive(Debug)]
pub struct SimulatedBank {
    pub(super) seed: u64,
    lane: u64,
    lanes: u64,
    pub(super) profile: Arc<Profile>,
    pub(super) population: Arc<InitialPopulation>,
    pub(super) currencies: WeightedIndex<u64>,
    kinds: Kinds,
    pub(super) rng: ChaCha8Rng,
    pub(super) book: Book,
    pub(super) activity: Activity,
    pub(super) roll: Roll,
    pub(super) blocked: Vec<Account>,
    /// Accounts that opened with nothing.
    pub(super) empty: VecDeque<AccountRef>,
    pub(super) standing: Standing,
    calendar: Calendar,
    /// Operations so far: the lane's clock.
    done: u64,
    pub(super) recent: VecDeque<Known>,
    pub(super) pending: VecDeque<Known>,
    queued: Option<Kind>,
    drawn: Drawn,
}

/// How many of each the lane has made beside the initial population.
#[derive(Debug, Default)]
struct Drawn {
    customers: u64,
    accounts: u64,
    transactions: u64,
}

/// A transaction that the lane may change later.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub transaction: TransactionRef,
    pub draft: Draft,
}

impl SimulatedBank {
    /// A bank of a single lane.
    pub fn new(seed: u64, profile: Profile) -> Self {
        Self::lanes(seed, profile, 1).pop().expect("one lane was asked for")
    }

    /// A bank of so many lanes, or as many as it has customers if those are fewer.
    pub fn lanes(seed: u64, profile: Profile, lanes: usize) -> Vec<Self> {
        let population = InitialPopulation::draw(seed, &profile);
        let profile = Arc::new(profile);
        let lanes = (lanes.max(1) as u64).min(profile.customers);
        (0..lanes)
            .map(|lane| Self::lane(seed, lane, lanes, Arc::clone(&profile), Arc::clone(&population)))
            .collect()
    }

    fn lane(seed: u64, lane: u64, lanes: u64, profile: Arc<Profile>, population: Arc<InitialPopulation>) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(lane + 1); // stream 0 drew the initial population
        let mut bank = Self {
            seed,
            lane,
            lanes,
            currencies: population::currencies(&profile),
            kinds: Kinds::of(&profile.mix),
            rng,
            book: Book::default(),
            activity: Activity::new(profile.activity),
            roll: Roll::default(),
            blocked: Vec::new(),
            empty: VecDeque::new(),
            standing: Standing::default(),
            calendar: Calendar::new(profile.days, lanes),
            done: 0,
            recent: VecDeque::new(),
            pending: VecDeque::new(),
            queued: None,
            drawn: Drawn::default(),
            profile,
            population: Arc::clone(&population),
        };
        let customers = population.customers.iter().zip(&population.currencies);
        for (n, (person, currency)) in (0..).zip(customers).filter(|(n, _)| n % lanes == lane) {
            bank.roll.add(Customer::new(CustomerRef(n), person.clone(), *currency));
        }
        for (n, account) in (0..)
            .zip(&population.accounts)
            .filter(|(_, account)| account.customer.0 % lanes == lane)
        {
            let main = n % bank.profile.accounts_per_customer == 0;
            bank.book.open(Account {
                account: AccountRef(n),
                customer: account.customer,
                account_type: account.account_type,
                currency: account.currency,
                spendable: hundredths(account.opening_balance),
                pending: 0,
                named: 0,
                private: account.private,
                main,
            });
            bank.roll.opened(account.customer, AccountRef(n));
            if main {
                bank.begin_income(account.customer);
            }
        }
        bank
    }

    /// This lane's part of the initial population, made as it is asked for. That of every lane comes before any lane's first batch.
    pub fn population(&self) -> impl Iterator<Item = Batch> + Send + use<> {
        let (population, per_customer) = (Arc::clone(&self.population), self.profile.accounts_per_customer);
        let per_batch = (POPULATION_BATCH / (1 + per_customer as usize)).max(1);
        let mut numbers = (self.lane..population.customers.len() as u64).step_by(self.lanes as usize);
        iter::from_fn(move || {
            let customers = numbers.by_ref().take(per_batch);
            let operations: Vec<_> = customers.flat_map(|n| population.opening(n, per_customer)).collect();
            (!operations.is_empty()).then_some(Batch {
                operations,
                to_be_refused: false,
            })
        })
    }

    /// The days of the whole bank, where they are busier than its nights.
    pub(super) fn pattern(&self) -> Option<Calendar> {
        let days = self.profile.days;
        days.pattern.then(|| Calendar::new(days, 1))
    }

    /// The bank's time, in microseconds since the epoch.
    pub(super) fn now(&self) -> i64 {
        self.calendar.at(self.done)
    }

    pub(super) fn next_customer(&mut self) -> CustomerRef {
        CustomerRef(self.population.customers.len() as u64 + Self::number(&mut self.drawn.customers, self.lane, self.lanes))
    }

    pub(super) fn next_account(&mut self) -> AccountRef {
        AccountRef(self.population.accounts.len() as u64 + Self::number(&mut self.drawn.accounts, self.lane, self.lanes))
    }

    pub(super) fn next_transaction(&mut self) -> TransactionRef {
        TransactionRef(Self::number(&mut self.drawn.transactions, self.lane, self.lanes))
    }

    /// Lanes take turns in the numbers, so that no two ever make the same.
    fn number(drawn: &mut u64, lane: u64, lanes: u64) -> u64 {
        *drawn += 1;
        (*drawn - 1) * lanes + lane
    }
}

impl Iterator for SimulatedBank {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let size = self.rng.random_range(1..=self.profile.operations_per_commit) as usize;
        let mut operations = Vec::with_capacity(size + 1);
        let mut kinds = Vec::with_capacity(size);
        let now = self.now();
        while operations.len() + kinds.len() < size {
            // What is due never takes more than half of the lane: the rest of the bank goes on.
            if self.rng.random_ratio(1, 2)
                && let Some(due) = self.standing.pop(now)
            {
                operations.extend(self.pay(due));
                continue;
            }
            let kind = match self.queued.take() {
                Some(kind) => kind,
                None => self.kinds.draw(&mut self.rng),
            };
            if kind == Kind::Overdraw {
                // The bank refuses the whole commit, so nothing else may be in it.
                if operations.is_empty() && kinds.is_empty() {
                    self.done += 1;
                    return Some(Batch {
                        operations: vec![self.overdraw()],
                        to_be_refused: true,
                    });
                }
                self.queued = Some(kind);
                break;
            }
            kinds.push(kind);
        }
        // Rows of one kind stand together: a target may write them in one statement.
        kinds.sort_unstable();
        for kind in kinds {
            match self.operations(kind) {
                none if none.is_empty() => operations.push(self.deposit()),
                drawn => operations.extend(drawn),
            }
        }
        self.done += operations.len() as u64;
        Some(Batch {
            operations,
            to_be_refused: false,
        })
    }
}
