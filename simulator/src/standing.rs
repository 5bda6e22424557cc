//! What comes each month: salaries and standing orders, in the order in which they are due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::amounts::{self, rounded};
use crate::calendar::Month;
use crate::operation::{AccountRef, CustomerRef};
use crate::profile::Profile;

/// Nothing is due later in a month than on this day, so that every month has it.
const DAY_MAX: u8 = 28;
/// Salaries come on the set day or one of the next three.
const SALARY_DAYS: u8 = 4;
/// Rents are due within the first days of a month.
const RENT_DAYS: u8 = 5;

/// Something that comes each month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Monthly {
    /// The employer pays.
    Salary,
    /// The landlord is paid.
    Rent,
    /// Something is put aside.
    Saving,
}

/// What a customer gets and gives each month, in hundredths.
#[derive(Debug, Clone, Copy)]
pub struct Income {
    /// What they earn, more or less.
    pub salary: i64,
    salary_day: u8,
    /// What they pay for where they live, and to whom.
    pub rent: Option<(i64, AccountRef)>,
    rent_day: u8,
    /// What they put aside on the day after the salary.
    pub saving: Option<i64>,
}

impl Income {
    /// Draws a customer's, or none. `landlord` is an account that takes the rent.
    pub fn draw(rng: &mut ChaCha8Rng, profile: &Profile, landlord: Option<AccountRef>) -> Option<Self> {
        if !rng.random_ratio(profile.salary.percent, 100) {
            return None;
        }
        let salary = amounts::log_normal(rng, profile.salary.amount);
        let pays_rent = rng.random_ratio(profile.standing_orders.rent_percent, 100);
        let saves = rng.random_ratio(profile.standing_orders.savings_percent, 100);
        Some(Self {
            salary,
            salary_day: (profile.salary.day + rng.random_range(0..SALARY_DAYS)).min(DAY_MAX),
            rent: landlord
                .filter(|_| pays_rent)
                .map(|landlord| (rounded(salary * 3 / 10, 500), landlord)),
            rent_day: rng.random_range(1..=RENT_DAYS),
            saving: saves.then(|| rounded(salary / 10, 5_000)),
        })
    }

    fn has(&self, what: Monthly) -> bool {
        match what {
            Monthly::Salary => true,
            Monthly::Rent => self.rent.is_some(),
            Monthly::Saving => self.saving.is_some(),
        }
    }

    fn time(&self, what: Monthly, customer: CustomerRef, month: Month) -> i64 {
        // Banks run these in the small hours, one after the other.
        let second = (customer.0 % 3_600) as u32;
        match what {
            Monthly::Salary => month.time(self.salary_day, 3_600 + second),
            Monthly::Rent => month.time(self.rent_day, 2 * 3_600 + second),
            Monthly::Saving => month.time((self.salary_day + 1).min(DAY_MAX), 3 * 3_600 + second),
        }
    }
}

/// A payment that is due, of a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    at: i64,
    /// Whose.
    pub customer: CustomerRef,
    /// What.
    pub what: Monthly,
    month: Month,
}

/// All payments to come, the next first: one of each kind for each customer, however far a lane is behind.
#[derive(Debug, Default)]
pub struct Standing(BinaryHeap<Reverse<Due>>);

impl Standing {
    /// Has a customer's payments come from now on.
    pub fn begin(&mut self, customer: CustomerRef, income: &Income, now: i64) {
        for what in [Monthly::Salary, Monthly::Rent, Monthly::Saving] {
            if income.has(what) {
                let this = Month::of(now);
                let month = if income.time(what, customer, this) >= now {
                    this
                } else {
                    this.next()
                };
                self.push(customer, income, what, month);
            }
        }
    }

    /// The next payment that is due.
    pub fn pop(&mut self, now: i64) -> Option<Due> {
        let Reverse(next) = self.0.peek()?;
        if next.at > now {
            return None;
        }
        self.0.pop().map(|Reverse(due)| due)
    }

    /// Has the same payment come again in the month after.
    pub fn again(&mut self, due: Due, income: &Income) {
        self.push(due.customer, income, due.what, due.month.next());
    }

    fn push(&mut self, customer: CustomerRef, income: &Income, what: Monthly, month: Month) {
        let at = income.time(what, customer, month);
        self.0.push(Reverse(Due {
            at,
            customer,
            what,
            month,
        }));
    }
}
