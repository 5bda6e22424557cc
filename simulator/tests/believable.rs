//! What makes the simulated bank look like one: few busy accounts and many quiet ones, salaries and standing orders, figures as people
//! use them, and rows of every table that come, change and go.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use schemas::silver::TransactionStatus;
use simulator::{AccountRef, Batch, Days, Draft, Mix, Operation, Profile, Purpose, Salary, SimulatedBank, StandingOrders};

/// Payments alone, each on a main account.
fn payments(customers: u64, activity: u32) -> Profile {
    Profile {
        customers,
        accounts_per_customer: 1,
        activity,
        salary: Salary {
            percent: 0,
            ..Profile::default().salary
        },
        mix: Mix {
            overdraw: 0,
            remove: 0,
            customer_change: 0,
            customer_add: 0,
            customer_remove: 0,
            account_open: 0,
            account_change: 0,
            account_block: 0,
            account_close: 0,
            account_remove: 0,
            ..Mix::default()
        },
        ..Profile::default()
    }
}

fn posts(batches: impl IntoIterator<Item = Batch>) -> impl Iterator<Item = (Purpose, Draft)> {
    let posted = |operation| match operation {
        Operation::Post { purpose, draft, .. } => Some((purpose, draft)),
        _ => None,
    };
    batches.into_iter().flat_map(|batch| batch.operations).filter_map(posted)
}

fn harmonic(places: u64, exponent: f64) -> f64 {
    (1..=places).map(|place| (place as f64).powf(-exponent)).sum()
}

#[test]
fn the_busiest_accounts_have_the_share_that_zipfs_law_says() {
    const SEED: u64 = 11;
    for (activity, lanes) in [(0, 1), (50, 1), (100, 1), (100, 4), (150, 1)] {
        let customers = 2_000;
        // Each lane has the same number of customers, the busiest of whom have the lowest numbers.
        let busiest = customers / 100;
        let drawn = SimulatedBank::lanes(SEED, payments(customers, activity), lanes as usize)
            .into_iter()
            .flat_map(|lane| posts(lane.take(40_000 / lanes as usize)));
        let (mut all, mut of_the_busiest) = (0_u64, 0_u64);
        for (_, draft) in drawn {
            all += 1;
            of_the_busiest += u64::from(draft.account.0 < busiest);
        }
        let exponent = f64::from(activity) / 100.0;
        let expected = harmonic(busiest / lanes, exponent) / harmonic(customers / lanes, exponent);
        let share = of_the_busiest as f64 / all as f64;
        // Four standard deviations of a share of so many draws.
        let tolerance = 4.0 * (expected * (1.0 - expected) / all as f64).sqrt();
        assert!(all > 80_000, "{all} payments");
        assert!(
            (share - expected).abs() < tolerance,
            "exponent {exponent}, {lanes} lanes: {share:.4}, not {expected:.4} ± {tolerance:.4} ({of_the_busiest} of {all})"
        );
    }
}

#[test]
fn cash_is_round_card_payments_are_odd_and_half_of_each_is_below_its_median() {
    let profile = payments(500, 0);
    let mut amounts: BTreeMap<Purpose, Vec<i128>> = BTreeMap::new();
    for (purpose, draft) in posts(SimulatedBank::new(3, profile.clone()).take(20_000)) {
        let hundredths = draft.amount.minor_units(2).expect("whole hundredths");
        amounts.entry(purpose).or_default().push(hundredths);
    }
    for (purpose, spread) in [(Purpose::Card, profile.card), (Purpose::Cash, profile.cash)] {
        let drawn = &amounts[&purpose];
        let below = drawn.iter().filter(|amount| **amount < spread.median.into()).count();
        let at = drawn.iter().filter(|amount| **amount == spread.median.into()).count();
        let all = drawn.len();
        // What is drawn too much for an account is a deposit instead, so that a little more than half remains below.
        assert!(
            below * 100 < all * 56 && (below + at) * 100 > all * 48,
            "{purpose:?}: {below} and {at} of {all}"
        );
    }
    assert!(amounts[&Purpose::Cash].iter().all(|amount| amount % 1_000 == 0));
    let round = amounts[&Purpose::Card].iter().filter(|amount| **amount % 100 == 0).count();
    assert!(
        round * 20 < amounts[&Purpose::Card].len(),
        "{round} card payments without cents"
    );
    let largest = amounts[&Purpose::Card].iter().max().expect("payments");
    assert!(*largest > 10 * i128::from(profile.card.median), "a long tail: {largest}");
}

/// A bank whose days have so many operations, for so many days.
struct Months {
    days: Days,
    lanes: u64,
    batches: Vec<Vec<Batch>>,
}

impl Months {
    fn live(seed: u64, lanes: u64, days: u64) -> Self {
        let start: Timestamp = "2025-11-10T09:00:00Z".parse().expect("a time");
        let profile = Profile {
            customers: 90,
            days: Days {
                start: start.as_microsecond(),
                operations: 600,
                pattern: false,
            },
            salary: Salary {
                percent: 80,
                ..Profile::default().salary
            },
            standing_orders: StandingOrders {
                rent_percent: 100,
                savings_percent: 100,
            },
            ..Profile::default()
        };
        let operations = days * profile.days.operations / lanes;
        let days = profile.days;
        let live = |mut lane: SimulatedBank| {
            let (mut batches, mut done) = (Vec::new(), 0);
            while done < operations {
                let batch = lane.next().expect("it never ends");
                done += batch.operations.len() as u64;
                batches.push(batch);
            }
            batches
        };
        let batches = SimulatedBank::lanes(seed, profile, lanes as usize)
            .into_iter()
            .map(live)
            .collect();
        Self { days, lanes, batches }
    }

    /// The transactions of each account for this purpose, with the bank's date.
    fn of(&self, purpose: Purpose) -> BTreeMap<AccountRef, Vec<(Date, Draft)>> {
        let mut found: BTreeMap<AccountRef, Vec<(Date, Draft)>> = BTreeMap::new();
        let day = 86_400_000_000_i128;
        for lane in &self.batches {
            let mut done = 0_u64;
            for batch in lane {
                let passed = i128::from(done) * i128::from(self.lanes) * day / i128::from(self.days.operations);
                let now = Timestamp::from_microsecond(self.days.start + passed as i64).expect("a time");
                for (_, draft) in posts([batch.clone()]).filter(|(of, _)| *of == purpose) {
                    let date = now.to_zoned(TimeZone::UTC).date();
                    found.entry(draft.account).or_default().push((date, draft));
                }
                done += batch.operations.len() as u64;
            }
        }
        found
    }

    /// Accounts that were never blocked, closed or removed.
    fn is_always_open(&self, account: AccountRef) -> bool {
        let ends = |operation: &Operation| match operation {
            Operation::ChangeAccount { account, .. }
            | Operation::CloseAccount { account }
            | Operation::RemoveAccount { account } => Some(*account),
            _ => None,
        };
        let all = self.batches.iter().flatten().flat_map(|batch| &batch.operations);
        !all.filter_map(ends).any(|ended| ended == account)
    }
}

#[test]
fn a_salary_comes_once_a_month_on_the_same_days() {
    for (seed, lanes) in [(1, 1), (2, 3)] {
        // To the 15th of February: three months of salaries.
        let months = Months::live(seed, lanes, 97);
        let salaries = months.of(Purpose::Salary);
        let mut complete = 0;
        for (account, paid) in &salaries {
            let of_month: BTreeSet<(i16, i8)> = paid.iter().map(|(date, _)| (date.year(), date.month())).collect();
            assert_eq!(of_month.len(), paid.len(), "seed {seed}: twice in a month: {paid:?}");
            // The lane may be busy with the others' for some hours.
            assert!(
                paid.iter().all(|(date, _)| (25..=29).contains(&date.day())),
                "seed {seed}: {paid:?}"
            );
            let first = paid[0].1.amount.ten_thousandths();
            let is_alike = |draft: &Draft| (draft.amount.ten_thousandths() - first).abs() * 100 <= first * 3;
            assert!(paid.iter().all(|(_, draft)| is_alike(draft)), "seed {seed}: {paid:?}");
            // 90 customers with two accounts each.
            if account.0 < 180 && months.is_always_open(*account) {
                complete += 1;
                let expected = BTreeSet::from([(2025, 11), (2025, 12), (2026, 1)]);
                assert_eq!(of_month, expected, "seed {seed}: account {account:?}");
            }
        }
        assert!(complete > 40, "seed {seed}: {complete} of 90 customers have a salary");
    }
}

#[test]
fn a_standing_order_moves_the_same_amount_to_the_same_account_each_month() {
    let months = Months::live(5, 2, 97);
    for purpose in [Purpose::Rent, Purpose::Saving] {
        let orders = months.of(purpose);
        let mut met = 0;
        for paid in orders.values() {
            let (_, first) = &paid[0];
            for (date, draft) in paid {
                assert_eq!(draft.amount, first.amount, "{purpose:?}: {paid:?}");
                let moved = [TransactionStatus::Completed, TransactionStatus::Failed].contains(&draft.status);
                assert!(moved && draft.related.is_some(), "{purpose:?}: {paid:?}");
                let days = if purpose == Purpose::Rent { 1..=6 } else { 26..=29 };
                assert!(days.contains(&date.day()), "{purpose:?}: {paid:?}");
            }
            met += usize::from(paid.len() == 3);
        }
        assert!(met > 30, "{purpose:?}: {met} were met three times");
    }
}

/// A table and what happened to a row of it.
fn changes(operation: &Operation) -> (&'static str, &'static str) {
    match operation {
        Operation::AddCustomer { .. } => ("customers", "insert"),
        Operation::ChangeCustomer { .. } => ("customers", "update"),
        Operation::RemoveCustomer { .. } => ("customers", "delete"),
        Operation::OpenAccount { .. } => ("accounts", "insert"),
        Operation::ChangeAccount { .. } | Operation::CloseAccount { .. } => ("accounts", "update"),
        Operation::RemoveAccount { .. } => ("accounts", "delete"),
        Operation::Post { .. } => ("transactions", "insert"),
        Operation::ChangeTransaction { .. } => ("transactions", "update"),
        Operation::RemoveTransaction { .. } => ("transactions", "delete"),
    }
}

#[test]
fn rows_of_every_table_come_change_and_go_within_half_a_minute_of_the_demo() {
    // Fifty operations a second on four lanes, of which the initial population is no part.
    for seed in 0..40 {
        let lanes = SimulatedBank::lanes(seed, Profile::demonstration(), 4);
        let mut seen = BTreeSet::new();
        for lane in lanes {
            let mut left = 1_500 / 4;
            for batch in lane {
                left -= batch.operations.len().min(left);
                seen.extend(batch.operations.iter().map(changes));
                if left == 0 {
                    break;
                }
            }
        }
        assert_eq!(seen.len(), 9, "seed {seed}: {seen:?}");
    }
}
