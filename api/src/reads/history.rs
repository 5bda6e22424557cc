//! Which of a row's versions are asked for.
//!
//! Versions are numbered without gaps, and each begins after the one before it. So a page is the next few numbers, and the version in
//! force at an instant, the last one that had begun, is found in a few look-ups, however long the history is.

use schemas::gold::Versioned;
use topology::Micros;

use super::part::Part;

/// Some of a row's versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// The first ones after this number, so many at most.
    After {
        /// The number; 0: from the first version on.
        version: i64,
        /// How many at most.
        limit: usize,
    },
    /// The one that was in force at an instant, if any.
    InForce(Micros),
}

impl Versions {
    /// Picks them; `get` looks a version up by its number.
    ///
    /// # Errors
    ///
    /// Those of the look-ups.
    pub fn pick<V: Versioned, E>(self, get: impl Fn(i64) -> Result<Option<V>, E>) -> Result<Part<V>, E> {
        match self {
            Self::After { version, limit } => page(version, limit, get),
            Self::InForce(at) => Ok(Part {
                rows: in_force(at, get)?.into_iter().collect(),
                until: None,
            }),
        }
    }
}

fn page<V, E>(after: i64, limit: usize, get: impl Fn(i64) -> Result<Option<V>, E>) -> Result<Part<V>, E> {
    let mut rows = Vec::new();
    for number in after.max(0)..i64::MAX {
        match get(number + 1)? {
            None => break,
            Some(_) if rows.len() == limit => {
                return Ok(Part {
                    rows,
                    until: Some(number),
                });
            }
            Some(version) => rows.push(version),
        }
    }
    Ok(Part { rows, until: None })
}

fn in_force<V: Versioned, E>(at: Micros, get: impl Fn(i64) -> Result<Option<V>, E>) -> Result<Option<V>, E> {
    let begun = |number| Ok(get(number)?.filter(|version| version.validity().valid_from <= at));
    // The last one that had begun is at `low` or between that and `high`, which had not, or is not there.
    let (mut found, mut low, mut high) = (None, 0, 1);
    while let Some(version) = begun(high)? {
        found = Some(version);
        (low, high) = (high, 2 * high);
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match begun(middle)? {
            Some(version) => (found, low) = (Some(version), middle),
            None => high = middle,
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use schemas::CustomerId;
    use schemas::gold::CustomerVersion;

    use super::*;

    /// Version n begins at 10 n.
    fn version(number: i64) -> CustomerVersion {
        CustomerVersion {
            customer_id: CustomerId(1),
            version: number,
            first_name: String::new(),
            last_name: String::new(),
            email: String::new(),
            valid_from: Micros(10 * number),
            valid_to: None,
            is_current: false,
            is_deleted: false,
            source_lsn: 0,
            source_tx_id: None,
        }
    }

    /// The numbers that are picked of a history of this length, where the next page begins, and how many look-ups that took.
    fn pick(which: Versions, count: i64) -> (Vec<i64>, Option<i64>, usize) {
        let look_ups = Cell::new(0);
        let get = |number| {
            look_ups.set(look_ups.get() + 1);
            Ok::<_, Infallible>((1..=count).contains(&number).then(|| version(number)))
        };
        let part = which.pick(get).expect("it cannot fail");
        let numbers = part.rows.iter().map(|version| version.version).collect();
        (numbers, part.until, look_ups.get())
    }

    #[test]
    fn the_version_in_force_is_the_last_one_that_had_begun() {
        for count in 0..40 {
            for at in 0..10 * (count + 2) {
                let expected = (at / 10).min(count);
                let expected: Vec<i64> = (expected > 0).then_some(expected).into_iter().collect();
                let (numbers, until, _) = pick(Versions::InForce(Micros(at)), count);
                assert_eq!((numbers, until), (expected, None), "at {at} of {count}");
            }
        }
        let (numbers, _, look_ups) = pick(Versions::InForce(Micros(7_654_321)), 1_000_000);
        assert_eq!(numbers, [765_432]);
        assert!(look_ups < 45, "{look_ups} look-ups");
    }

    #[test]
    fn pages_follow_one_another_to_the_end() {
        let after = |version, limit| Versions::After { version, limit };
        for (which, expected) in [
            (after(0, 2), (vec![1, 2], Some(2))),
            (after(2, 2), (vec![3, 4], Some(4))),
            (after(4, 2), (vec![5], None)),
            (after(3, 2), (vec![4, 5], None)),
            (after(5, 2), (vec![], None)),
            (after(-1, 9), (vec![1, 2, 3, 4, 5], None)),
            (after(i64::MIN, 9), (vec![1, 2, 3, 4, 5], None)),
            (after(i64::MAX, 9), (vec![], None)),
        ] {
            let (numbers, until, _) = pick(which, 5);
            assert_eq!((numbers, until), expected, "{which:?}");
        }
    }
}
