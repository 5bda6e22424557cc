//! Which files are merged into one.

use std::collections::BTreeMap;

use super::settings::CompactSettings;
use super::spot::Spot;

/// A file of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub url: String,
    pub spot: Spot,
    pub bytes: i64,
}

/// Runs of small files of one partition, generation and day, in the order of their offsets: each becomes one file. A large file ends a
/// run: what is on either side of it stays apart, so that a file's offsets are a range.
pub(super) fn runs(files: Vec<Source>, settings: &CompactSettings) -> Vec<Vec<Source>> {
    let mut of_days: BTreeMap<_, Vec<Source>> = BTreeMap::new();
    for file in files.into_iter().filter(|file| file.spot.day < settings.before) {
        let Spot {
            partition,
            generation,
            day,
            ..
        } = file.spot;
        of_days.entry((day, partition, generation)).or_default().push(file);
    }
    let target = i64::try_from(settings.target_bytes).unwrap_or(i64::MAX);
    let mut runs = Vec::new();
    for mut files in of_days.into_values() {
        files.sort_by_key(|file| (file.spot.start, file.spot.end));
        let (mut run, mut bytes) = (Vec::new(), 0_i64);
        for file in files {
            if bytes.saturating_add(file.bytes) > target {
                runs.push(std::mem::take(&mut run));
                bytes = 0;
            }
            if file.bytes < target {
                bytes += file.bytes;
                run.push(file);
            }
        }
        runs.push(run);
    }
    runs.retain(|run| run.len() >= settings.files_min.max(2));
    runs
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn file(day: i8, partition: u32, start: i64, bytes: i64) -> Source {
        Source {
            url: format!("{day}/{partition}/{start}"),
            spot: Spot {
                partition,
                generation: 1,
                day: jiff::civil::date(2026, 1, day),
                start,
                end: start + 9,
                is_merged: false,
            },
            bytes,
        }
    }

    fn planned(files: Vec<Source>) -> Vec<Vec<String>> {
        let settings = CompactSettings {
            before: jiff::civil::date(2026, 1, 3),
            target_bytes: 100,
            files_min: 3,
            orphan_age: Duration::MAX,
        };
        let runs = runs(files, &settings).into_iter();
        runs.map(|run| run.into_iter().map(|file| file.url).collect()).collect()
    }

    #[test]
    fn files_of_a_day_and_partition_become_one() {
        let files = [
            (1, 0, 10),
            (1, 0, 0),
            (1, 0, 20),
            (1, 1, 0),
            (1, 1, 10),
            (2, 0, 30),
            (3, 0, 40),
            (3, 0, 50),
            (3, 0, 60),
        ];
        let files = files.map(|(day, partition, start)| file(day, partition, start, 10));
        // Partition 1 has two only, day 2 has one, and day 3 is not over.
        assert_eq!(planned(files.into()), [["1/0/0", "1/0/10", "1/0/20"]]);
    }

    #[test]
    fn a_run_ends_at_the_size_and_at_a_large_file() {
        let sizes = [30, 30, 40, 1, 1, 1, 100, 1, 1, 500, 1, 1, 1];
        let files = sizes.iter().zip(0..).map(|(bytes, at)| file(1, 0, at * 10, *bytes));
        assert_eq!(
            planned(files.collect()),
            [
                ["1/0/0", "1/0/10", "1/0/20"],
                ["1/0/30", "1/0/40", "1/0/50"],
                ["1/0/100", "1/0/110", "1/0/120"]
            ]
        );
    }
}
