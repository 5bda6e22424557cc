//! The audit: the journal, the stores, the system of record and the files must agree.

use std::collections::HashMap;
use std::time::Duration;

use api::system_of_record::InProcess;
use broker::{Polled, Reader, Start, TopicPartition};
use processors::stores;
use schemas::silver::Posting;
use schemas::topics::SILVER_POSTINGS;
use schemas::{AccountId, Currency, Money, MoneyError, TransactionId};
use sinks::lake::{Depth, verify};
use topology::Queries;
use wire::{Codec, Wire};

use crate::assembly::Log;
use crate::config::Settings;

/// How long the last operations may take to arrive everywhere.
const SETTLE_MAX: Duration = Duration::from_secs(30);

/// What was checked, and whether it holds.
pub struct Check {
    /// What.
    pub what: String,
    /// Whether.
    pub holds: bool,
}

/// Follows the journal.
pub struct Auditor {
    reader: Box<dyn Reader>,
    codec: Codec,
    postings: u64,
    by_account: HashMap<AccountId, Money>,
    /// Sums that are not zero: a transaction in the middle of its legs, or a fault.
    open: HashMap<(TransactionId, Currency), Money>,
}

impl Auditor {
    /// From the journal's start.
    pub fn new(log: &Log) -> anyhow::Result<Self> {
        let mut reader = log.broker.reader("auditor")?;
        let partitions = log.broker.partitions(SILVER_POSTINGS.name(), SETTLE_MAX)?.unwrap_or(0);
        for partition in 0..partitions {
            reader.assign(&TopicPartition::new(SILVER_POSTINGS.name(), partition), Start::Earliest)?;
        }
        let codec = Codec::reader(log.registry.clone());
        Ok(Self {
            reader,
            codec,
            postings: 0,
            by_account: HashMap::new(),
            open: HashMap::new(),
        })
    }

    /// How many postings there are.
    pub fn postings(&self) -> u64 {
        self.postings
    }

    /// Reads what has come since.
    pub fn follow(&mut self) -> anyhow::Result<()> {
        loop {
            let mut polled = Polled::default();
            self.reader.poll(10_000, Duration::ZERO, &mut polled)?;
            if polled.messages.is_empty() {
                return Ok(());
            }
            for message in polled.messages {
                let Some(value) = message.value else { continue };
                self.add(&Posting::decode(&value, &self.codec)?)?;
            }
        }
    }

    fn add(&mut self, posting: &Posting) -> Result<(), MoneyError> {
        self.postings += 1;
        let of_account = self.by_account.entry(posting.account_id).or_default();
        *of_account = of_account.checked_add(posting.amount)?;
        let key = (posting.transaction_id, posting.currency);
        let sum = self.open.remove(&key).unwrap_or_default().checked_add(posting.amount)?;
        if sum != Money::ZERO {
            self.open.insert(key, sum);
        }
        Ok(())
    }

    /// Waits until the last operations have arrived, then says what holds.
    pub async fn check_balances(&mut self, queries: &Queries, records: &InProcess) -> Vec<Check> {
        let started = tokio::time::Instant::now();
        loop {
            let checks = match self.try_check(queries, records) {
                Ok(checks) => checks,
                Err(error) => vec![Check {
                    what: format!("the audit itself: {error:#}"),
                    holds: false,
                }],
            };
            if checks.iter().all(|c| c.holds) || started.elapsed() > SETTLE_MAX {
                return checks;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn try_check(&mut self, queries: &Queries, records: &InProcess) -> anyhow::Result<Vec<Check>> {
        self.follow()?;
        let balances = queries.page(stores::BALANCES, None, usize::MAX, |_, _| true)?.value;
        let recorded: HashMap<AccountId, Money> = records.accounts().iter().map(|a| (a.id, a.balance)).collect();
        let (mut as_recorded, mut as_journalled) = (0, 0);
        for (id, balance) in &balances {
            as_recorded += usize::from(recorded.get(id) == Some(&balance.booked));
            let journal = self.by_account.get(id).copied().unwrap_or_default();
            as_journalled += usize::from(balance.opening.checked_add(journal)? == balance.booked);
        }
        let all = balances.len();
        Ok(vec![
            Check {
                what: format!("{all} accounts have a balance, {} were opened", recorded.len()),
                holds: all == recorded.len() && all > 0,
            },
            Check {
                what: format!("{as_recorded} of {all} balances equal the system of record's, to the cent"),
                holds: as_recorded == all,
            },
            Check {
                what: format!(
                    "{as_journalled} of {all} balances are opening + Σ of {} postings",
                    self.postings
                ),
                holds: as_journalled == all,
            },
            Check {
                what: format!("{} transactions whose legs do not sum to zero", self.open.len()),
                holds: self.open.is_empty(),
            },
        ])
    }
}

/// Every table's files, with every row's offset.
pub async fn check_lake(settings: &Settings) -> anyhow::Result<Vec<Check>> {
    let store = crate::lake::open(settings)?;
    let mut checks = Vec::new();
    for table in sinks::tables::all() {
        let report = verify(&store, table.name(), Depth::Offsets).await?;
        let (files, rows) = report
            .partitions
            .iter()
            .fold((0, 0), |(f, r), p| (f + p.files.len(), r + p.rows()));
        let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
        let what = format!(
            "{}: {rows} rows in {files} Parquet files, each offset once {}",
            report.table,
            problems.join("; ")
        );
        checks.push(Check {
            what,
            holds: problems.is_empty() && rows > 0,
        });
    }
    Ok(checks)
}
