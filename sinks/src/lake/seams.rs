//! Does one range of a partition begin where another ends, with a file for each of its days?
//!
//! Files come as they are listed, day by day, which is nearly the order of their offsets. Ranges that are whole melt into each other,
//! so what is remembered grows with the disorder and not with the number of files.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use super::ranges::Ranges;
use super::report::{CheckedFile, Problem};
use crate::parquet::layout::FileName;

/// A partition's ranges of one generation.
#[derive(Debug)]
pub(super) struct Seams {
    table: String,
    partition: u32,
    /// The day before which nothing is looked at.
    since: Option<Date>,
    whole: Ranges,
    open: BTreeMap<(i64, i64), Open>,
    /// The start of the highest range.
    highest: Option<i64>,
    problems: Vec<Problem>,
}

/// A range that lacks days.
#[derive(Debug)]
struct Open {
    days: Option<Vec<Date>>,
    seen: BTreeSet<Date>,
}

impl Open {
    fn missing(&self, since: Option<Date>) -> impl Iterator<Item = Date> {
        let days = self.days.iter().flatten().copied();
        days.filter(move |day| !self.seen.contains(day) && since.is_none_or(|since| *day >= since))
    }
}

/// What is in no file.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Offsets.
    pub holes: Ranges,
    /// Days of ranges.
    pub days: BTreeSet<(i64, i64, Date)>,
}

impl Missing {
    pub fn is_empty(&self) -> bool {
        self.holes.is_empty() && self.days.is_empty()
    }

    /// Whether a file may be what is missing.
    pub fn wants(&self, name: &FileName) -> bool {
        self.holes.overlap(name.start, name.end).is_some() || self.days.contains(&(name.start, name.end, name.day))
    }
}

impl Seams {
    pub fn new(table: &str, partition: u32, since: Option<Date>) -> Self {
        Self {
            table: table.to_owned(),
            partition,
            since,
            whole: Ranges::default(),
            open: BTreeMap::new(),
            highest: None,
            problems: Vec::new(),
        }
    }

    /// Takes a file in.
    pub fn add(&mut self, CheckedFile { name, days, .. }: &CheckedFile) {
        let range = (name.start, name.end);
        self.highest = self.highest.max(Some(name.start));
        if let Some(open) = self.open.get_mut(&range) {
            // Two of a day, or one that has all days beside others.
            if !open.seen.insert(name.day) || open.days != *days {
                self.overlap(range);
            }
        } else {
            if let Some(common) = self.common(range) {
                self.overlap(common);
            }
            if self.whole.covers(name.start, name.end) {
                return;
            }
            let open = Open {
                days: days.clone(),
                seen: [name.day].into(),
            };
            self.open.insert(range, open);
        }
        let is_whole = |open: &Open| open.missing(self.since).next().is_none();
        if self.open.get(&range).is_some_and(is_whole) {
            self.open.remove(&range);
            self.whole.insert(name.start, name.end);
        }
    }

    /// Offsets of a range that are in another one.
    fn common(&self, (start, end): (i64, i64)) -> Option<(i64, i64)> {
        let in_open = self.open.keys().filter_map(|(from, to)| {
            let common = (start.max(*from), end.min(*to));
            (common.0 <= common.1).then_some(common)
        });
        self.whole.overlap(start, end).or_else(|| in_open.min())
    }

    fn overlap(&mut self, (from, to): (i64, i64)) {
        let problem = Problem::Overlap {
            table: self.table.clone(),
            partition: self.partition,
            from,
            to,
        };
        if self.problems.last() != Some(&problem) {
            self.problems.push(problem);
        }
    }

    /// What is missing above a floor, from which on files must be there; of what comes before the first one without a floor, nothing
    /// is known. The last range may be on its way, unless its generation is over: what it lacks is not written yet.
    pub fn missing(&self, floor: Option<i64>, is_over: bool) -> Missing {
        let mut all = self.whole.clone();
        self.open.keys().for_each(|(start, end)| all.insert(*start, *end));
        if let Some(floor) = floor {
            // Everything before it counts as there.
            all.insert(i64::MIN, floor - 1);
        }
        let on_its_way = self.highest.filter(|_| !is_over);
        let ranges = self.open.iter();
        let ranges = ranges.filter(|((start, end), _)| Some(*start) != on_its_way && floor.is_none_or(|floor| *end >= floor));
        let days = ranges.flat_map(|((start, end), open)| open.missing(self.since).map(|day| (*start, *end, day)));
        Missing {
            holes: all.holes().into(),
            days: days.collect(),
        }
    }

    /// What must not be, in the order of the offsets.
    pub fn problems(self, missing: Missing) -> Vec<Problem> {
        let (table, partition) = (self.table, self.partition);
        let gaps = missing.holes.iter().map(|(from, to)| Problem::Gap {
            table: table.clone(),
            partition,
            from,
            to,
        });
        let days = missing.days.iter().map(|(start, end, day)| Problem::Day {
            table: table.clone(),
            partition,
            start: *start,
            end: *end,
            day: *day,
        });
        self.problems.into_iter().chain(gaps).chain(days).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parquet::layout::day_of;

    fn file(start: i64, end: i64, day: i64, days: Option<&[i64]>) -> CheckedFile {
        let day_of = |day: i64| day_of(day * 86_400_000);
        CheckedFile {
            name: FileName {
                table: "t".into(),
                day: day_of(day),
                partition: 0,
                generation: 1,
                start,
                end,
                schema: 1,
            },
            bytes: 1,
            rows: 1,
            topic_id: None,
            days: days.map(|days| days.iter().copied().map(day_of).collect()),
            digest: None,
        }
    }

    fn problems(files: &[CheckedFile], floor: Option<i64>, since: Option<i64>, is_over: bool) -> Vec<String> {
        let mut seams = Seams::new("t", 0, since.map(|day| day_of(day * 86_400_000)));
        files.iter().for_each(|file| seams.add(file));
        let missing = seams.missing(floor, is_over);
        seams.problems(missing).iter().map(ToString::to_string).collect()
    }

    fn check(ranges: &[(i64, i64)], expected: &[&str]) {
        let mut files: Vec<_> = ranges.iter().map(|(start, end)| file(*start, *end, 0, None)).collect();
        for _ in 0..2 {
            let problems = problems(&files, None, None, false);
            assert_eq!(problems.len(), expected.len(), "{problems:?}");
            for (problem, words) in problems.iter().zip(expected) {
                assert!(problem.contains(words), "{problem}");
            }
            // In whatever order they are listed.
            files.reverse();
        }
    }

    #[test]
    fn seams_are_found() {
        check(&[], &[]);
        check(&[(5, 9), (10, 10), (11, 30)], &[]);
        check(&[(0, 9), (12, 15)], &["offsets 10 to 11 are in no file"]);
        check(&[(0, 9), (5, 20), (21, 22)], &["offsets 5 to 9 are in two files"]);
        check(&[(0, 30), (5, 9), (31, 40)], &["offsets 5 to 9 are in two files"]);
        check(
            &[(0, 9), (0, 9), (11, 12)],
            &["offsets 0 to 9 are in two", "offsets 10 to 10 are in no"],
        );
    }

    #[test]
    fn each_day_of_a_range_is_there_once() {
        let two = Some(&[0, 1][..]);
        let next = file(10, 19, 2, Some(&[2]));
        let all = [file(0, 9, 0, two), file(0, 9, 1, two), next.clone()];
        assert_eq!(problems(&all, None, None, false), [""; 0]);
        let lacking = [file(0, 9, 1, two), next];
        let missing = problems(&lacking, None, None, false);
        assert!(
            missing.len() == 1 && missing[0].contains("the file of 1970-01-01 is missing"),
            "{missing:?}"
        );
        assert_eq!(
            problems(&lacking, None, Some(1), false),
            [""; 0],
            "that day was not asked for"
        );
        assert_eq!(problems(&lacking[..1], None, None, false), [""; 0], "it may be on its way");
        assert_eq!(problems(&lacking[..1], None, None, true).len(), 1);
        let doubled = problems(
            &[file(0, 9, 0, two), file(0, 9, 0, two), file(0, 9, 1, two)],
            None,
            None,
            false,
        );
        assert!(
            doubled.len() == 1 && doubled[0].contains("0 to 9 are in two files"),
            "{doubled:?}"
        );
    }

    #[test]
    fn above_a_floor_nothing_may_be_missing() {
        let of_floor = |floor| problems(&[file(10, 19, 0, None), file(30, 39, 0, None)], Some(floor), None, false);
        assert_eq!(of_floor(30), [""; 0], "what was there and is below it is not missed");
        assert!(of_floor(10)[0].contains("20 to 29 are in no file") && of_floor(10).len() == 1);
        assert!(of_floor(8)[0].contains("8 to 9 are in no file") && of_floor(8).len() == 2);
    }

    #[test]
    fn what_is_remembered_does_not_grow_with_the_files() {
        let mut seams = Seams::new("t", 0, None);
        for range in 0..100_000 {
            seams.add(&file(range * 10, range * 10 + 9, range / 100, Some(&[range / 100])));
        }
        assert_eq!((seams.whole.len(), seams.open.len()), (1, 0));
    }
}
