//! Work with tables, a record at a time on the in-process log: what an operator costs, by instructions in [`crate::steps`] and by time in
//! `benches/hot_path.rs`.

use std::time::Duration;

use anyhow::ensure;
use topology::dsl::Builder;
use topology::testing::TestDriver;
use wire::Topic;

const ROWS: Topic<i64, i64> = Topic::new("rows");
const ASKED: Topic<i64, i64> = Topic::new("asked");
const ANSWERS: Topic<i64, i64> = Topic::new("answers");

/// Keys of a table.
const KEYS: i64 = 1_000;
/// A busy worker has about as many records in a transaction.
const TOGETHER: usize = 1_000;

/// What is done with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableWork {
    /// A row moves from one group to another: it is taken out of one sum, and added to the other.
    Aggregate,
    /// A row is joined with the row of another table that it names.
    ForeignKeyJoin,
    /// A record is joined with what a key had at the record's own time, one of eight versions.
    VersionedGet,
}

/// A topology at its work.
pub struct Tables {
    driver: TestDriver,
    work: TableWork,
    sent: i64,
    answers: usize,
}

impl Tables {
    /// With the tables filled.
    pub fn new(work: TableWork) -> anyhow::Result<Self> {
        let b = Builder::new("tables");
        match work {
            TableWork::Aggregate => {
                // The group of a key's next row is another one.
                let groups = b
                    .table(ROWS, "rows")
                    .group_by(|_, row| ((row / KEYS + row) % 16, *row), "groups");
                let sums = groups.aggregate("sums", || 0, |_, row, sum| Some(sum + row), |_, row, sum| Some(sum - row));
                sums.to_stream().to_compacted(ANSWERS);
            }
            TableWork::ForeignKeyJoin => {
                let (rows, others) = (b.table(ROWS, "rows"), b.table(ASKED, "others"));
                let joined = rows.fk_join(&others, |_, row| Some(row % KEYS), |row, other| row + other, "joined");
                joined.to_stream().to_compacted(ANSWERS);
            }
            TableWork::VersionedGet => {
                let rows = b.versioned_table(ROWS, "rows", Duration::from_secs(3_600));
                b.stream(ASKED).join(&rows, |_, asked, row| asked + row).to(ANSWERS);
            }
        }
        let mut driver = TestDriver::new(b.build()?)?;
        for key in 0..KEYS {
            match work {
                TableWork::Aggregate => {}
                TableWork::ForeignKeyJoin => driver.queue(ASKED, 0, &key, Some(&key)),
                TableWork::VersionedGet => (0..8).for_each(|version| driver.queue(ROWS, version * 1_000, &key, Some(&version))),
            }
        }
        driver.settle();
        Ok(Self {
            driver,
            work,
            sent: 0,
            answers: 0,
        })
    }

    /// Sends so many records, and processes them. Fails where answers are missing.
    pub fn run(&mut self, count: usize) -> anyhow::Result<()> {
        for number in 1..=count {
            self.sent += 1;
            let (key, value) = (self.sent % KEYS, self.sent);
            match self.work {
                TableWork::Aggregate | TableWork::ForeignKeyJoin => self.driver.queue(ROWS, value, &key, Some(&value)),
                TableWork::VersionedGet => self.driver.queue(ASKED, value * 7 % 8_000, &key, Some(&value)),
            }
            if number % TOGETHER == 0 || number == count {
                self.driver.settle();
                self.answers += self.driver.drain_bytes(ANSWERS.name()).len();
            }
        }
        let expected = match self.work {
            // A new key is in no group before.
            TableWork::Aggregate => 2 * self.sent - self.sent.min(KEYS),
            TableWork::ForeignKeyJoin | TableWork::VersionedGet => self.sent,
        };
        ensure!(
            self.answers as i64 == expected,
            "{} answers to {} records of {:?}, not {expected}",
            self.answers,
            self.sent,
            self.work
        );
        Ok(())
    }
}
