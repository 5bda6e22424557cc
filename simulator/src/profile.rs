//! What the simulated bank is like.

use schemas::Currency;

/// What the simulated bank is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Customers at the start.
    pub customers: u64,
    /// Accounts of each at the start: the main account first.
    pub accounts_per_customer: u64,
    /// The most operations of one commit.
    pub operations_per_commit: u64,
    /// Currencies, the most frequent first; never empty.
    pub currencies: Vec<Currency>,
    /// Share of savings accounts among those that are no main account, in percent.
    pub savings_percent: u32,
    /// What accounts open with, in hundredths.
    pub opening_balance: Range,
    /// The least and the most that a payment moves, in hundredths; salaries and what stands on an account that closes excepted.
    pub amount: Range,
    /// How activity is spread over main accounts: the exponent of Zipf's law, in hundredths. 0 is evenly.
    pub activity: u32,
    /// Payments by card.
    pub card: Spread,
    /// Share of withdrawals that are from cash machines, in percent; the rest are by card.
    pub cash_percent: u32,
    /// Withdrawals from cash machines.
    pub cash: Spread,
    /// What is paid in.
    pub deposit: Spread,
    /// Transfers to others.
    pub transfer: Spread,
    /// Share of transfers that are between a customer's own accounts, in percent.
    pub own_transfers_percent: u32,
    /// Share of transactions that begin as PENDING, in percent.
    pub pending_percent: u32,
    /// Share of the pending ones that fail, in percent.
    pub failed_percent: u32,
    /// The bank's days.
    pub days: Days,
    /// What customers earn.
    pub salary: Salary,
    /// What is paid for them each month.
    pub standing_orders: StandingOrders,
    /// How frequent each kind is.
    pub mix: Mix,
}

/// From `min` to `max`, both included, in hundredths of the currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub min: i64,
    /// The most.
    pub max: i64,
}

/// A log-normal distribution of amounts: many small ones, few large ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// Half of the amounts are below it, in hundredths of the currency.
    pub median: i64,
    /// The standard deviation of the amounts' logarithm, in hundredths. 0 is always the median.
    pub sigma: u32,
}

/// The bank's days: they pass with its operations, not with a clock, so that the same seed always does the same on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    /// When the simulation begins, in microseconds since the epoch (UTC).
    pub start: i64,
    /// How many operations a day has, all lanes together.
    pub operations: u64,
    /// Whether days are busier than nights.
    pub pattern: bool,
}

/// Salaries, paid to main accounts once a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Salary {
    /// Share of customers who have one, in percent.
    pub percent: u32,
    /// The first day of the month, 1 to 25, on which one is paid: each employer pays on the same day, this one or one of the next three.
    pub day: u8,
    /// How much.
    pub amount: Spread,
}

/// Standing orders: the same amount on the same day of each month. Where funds do not suffice they fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandingOrders {
    /// Share of the customers with a salary who pay rent by one, in percent.
    pub rent_percent: u32,
    /// Share of the customers with a salary who save by one, in percent.
    pub savings_percent: u32,
}

/// Weights: a kind's share is its weight divided by their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "each is the weight of the kind that it is called by; see config.yaml"
)]
pub struct Mix {
    pub deposit: u64,
    pub withdrawal: u64,
    pub transfer: u64,
    pub settle: u64,
    pub reverse: u64,
    pub correct: u64,
    pub remove: u64,
    pub overdraw: u64,
    pub customer_change: u64,
    pub customer_add: u64,
    pub customer_remove: u64,
    pub account_open: u64,
    pub account_change: u64,
    pub account_block: u64,
    pub account_close: u64,
    pub account_remove: u64,
}

impl Profile {
    /// A bank of which a minute shows all that there is: a month passes in half of one at fifty operations a second, and customers and
    /// accounts change, come and go far more often than a bank's do.
    pub fn demonstration() -> Self {
        Self {
            days: Days {
                // The 20th: salaries, rents and savings come within the first ten seconds.
                start: 1_768_867_200_000_000,
                operations: 50,
                pattern: false,
            },
            mix: Mix {
                customer_change: 25,
                customer_add: 20,
                customer_remove: 12,
                account_open: 30,
                account_change: 12,
                account_block: 12,
                account_close: 6,
                account_remove: 20,
                ..Mix::default()
            },
            ..Self::default()
        }
    }
}

impl Default for Profile {
    fn default() -> Self {
        let spread = |median, sigma| Spread { median, sigma };
        Self {
            customers: 100,
            accounts_per_customer: 2,
            operations_per_commit: 4,
            currencies: ["EUR", "USD", "GBP"].map(|code| code.parse().expect("a currency")).into(),
            savings_percent: 80,
            opening_balance: Range { min: 0, max: 500_000 },
            amount: Range { min: 100, max: 500_000 },
            activity: 100,
            card: spread(2_400, 100),
            cash_percent: 25,
            cash: spread(8_000, 60),
            deposit: spread(9_000, 120),
            transfer: spread(7_500, 110),
            own_transfers_percent: 15,
            pending_percent: 20,
            failed_percent: 10,
            days: Days::default(),
            salary: Salary {
                percent: 85,
                day: 25,
                amount: spread(260_000, 40),
            },
            standing_orders: StandingOrders {
                rent_percent: 60,
                savings_percent: 40,
            },
            mix: Mix::default(),
        }
    }
}

impl Default for Days {
    /// At a hundred operations a second a day is as long as a day; they begin with 2026.
    fn default() -> Self {
        Self {
            start: 1_767_225_600_000_000,
            operations: 8_640_000,
            pattern: false,
        }
    }
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            deposit: 230,
            withdrawal: 420,
            transfer: 160,
            settle: 110,
            reverse: 12,
            correct: 12,
            remove: 8,
            overdraw: 5,
            customer_change: 12,
            customer_add: 6,
            customer_remove: 3,
            account_open: 9,
            account_change: 3,
            account_block: 4,
            account_close: 2,
            account_remove: 4,
        }
    }
}
