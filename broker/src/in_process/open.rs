//! The transactions that are open in one partition.
//!
//! Records take their offsets when they are sent, so those of several transactions lie between each other. Where each
//! transaction's own lie is kept as ranges of offsets, one for each batch that was appended: a record itself need not say
//! whose it is.

use std::ops::Range;

/// A transactional id's number at the coordinator.
pub(super) type ProducerId = u64;

#[derive(Debug)]
struct Open {
    producer: ProducerId,
    /// Its records' offsets, rising; never empty.
    runs: Vec<Range<i64>>,
}

/// In the order of their first records.
#[derive(Debug, Default)]
pub(super) struct OpenTransactions(Vec<Open>);

impl OpenTransactions {
    /// The offset of the first record whose fate is not decided; readers stop there.
    pub fn first(&self) -> Option<i64> {
        self.0.first().map(|open| open.runs[0].start)
    }

    /// Notes that a producer's transaction has these offsets.
    pub fn add(&mut self, producer: ProducerId, run: Range<i64>) {
        match self.0.iter_mut().find(|open| open.producer == producer) {
            Some(open) => match open.runs.last_mut() {
                Some(last) if last.end == run.start => last.end = run.end,
                _ => open.runs.push(run),
            },
            None => self.0.push(Open {
                producer,
                runs: vec![run],
            }),
        }
    }

    /// Takes out a producer's transaction and returns where its records are, if it wrote here.
    pub fn end(&mut self, producer: ProducerId) -> Option<Vec<Range<i64>>> {
        let index = self.0.iter().position(|open| open.producer == producer)?;
        Some(self.0.remove(index).runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_one_is_the_first_until_it_ends() {
        let mut open = OpenTransactions::default();
        open.add(1, 3..5);
        open.add(2, 5..6);
        open.add(1, 6..8);
        open.add(2, 8..9);
        open.add(2, 9..11);
        assert_eq!(open.first(), Some(3));
        assert_eq!(open.end(1), Some(vec![3..5, 6..8]));
        assert_eq!(open.first(), Some(5));
        assert_eq!(open.end(1), None);
        assert_eq!(open.end(2), Some(vec![5..6, 8..11]));
        assert_eq!(open.first(), None);
    }
}
