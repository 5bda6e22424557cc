//! What the looks at a process say together: the first quarter's medians beside the last quarter's.

use anyhow::ensure;

use crate::measure::median;
use crate::report::Report;

/// One look at the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look {
    /// Resident memory.
    pub memory_mib: f64,
    /// Open file handles.
    pub handles: f64,
    /// Threads.
    pub threads: f64,
    /// The folder of its state, on disk.
    pub state_mib: f64,
    /// Latency of the updates since the last look.
    pub p99_ms: f64,
    /// The servers' folders, on disk: the harness's own, watched so that it does not fill up.
    pub servers_mib: f64,
}

type Figure = (&'static str, fn(&Look) -> f64);

const FIGURES: [Figure; 6] = [
    ("memory_mib", |look| look.memory_mib),
    ("handles", |look| look.handles),
    ("threads", |look| look.threads),
    ("state_mib", |look| look.state_mib),
    ("p99_ms", |look| look.p99_ms),
    ("servers_mib", |look| look.servers_mib),
];

/// All looks, in order.
#[derive(Debug, Default)]
pub struct Trend {
    looks: Vec<Look>,
}

impl Trend {
    /// One more.
    pub fn add(&mut self, look: Look) {
        self.looks.push(look);
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.looks.len()
    }

    /// Medians of the first and the last quarter.
    fn quarters(&self, figure: fn(&Look) -> f64) -> (f64, f64) {
        let values: Vec<f64> = self.looks.iter().map(figure).collect();
        let quarter = values.len().div_ceil(4);
        (median(&values[..quarter]), median(&values[values.len() - quarter..]))
    }

    /// Both quarters, and the worst look.
    pub fn report_to(&self, report: &mut Report) {
        for (name, figure) in FIGURES {
            let (first, last) = self.quarters(figure);
            report.add("first_quarter", name, first);
            report.add("last_quarter", name, last);
            report.add("most", name, self.looks.iter().map(figure).fold(0.0, f64::max));
        }
        report.fact("looks", self.len());
        report.fact("memory_growth_percent", (self.memory_growth_percent() * 10.0).round() / 10.0);
        report.fact("handles_growth", self.handles_growth());
    }

    fn memory_growth_percent(&self) -> f64 {
        let (first, last) = self.quarters(|look| look.memory_mib);
        (last / first - 1.0) * 100.0
    }

    fn handles_growth(&self) -> f64 {
        let (first, last) = self.quarters(|look| look.handles);
        last - first
    }

    /// An error that says what has grown, and by how much.
    pub fn verdict(&self, memory_max_percent: f64, handles_max: f64) -> anyhow::Result<()> {
        let (memory, handles) = (self.memory_growth_percent(), self.handles_growth());
        ensure!(
            memory <= memory_max_percent && handles <= handles_max,
            "not flat: memory grew by {memory:.1} % (bound: {memory_max_percent} %), file handles by {handles} (bound: {handles_max})"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(memory_mib: impl Fn(f64) -> f64, handles: impl Fn(f64) -> f64) -> Trend {
        let look = |n: i32| Look {
            memory_mib: memory_mib(n.into()),
            handles: handles(n.into()),
            ..Look::default()
        };
        let looks = (0..100).map(look).collect();
        Trend { looks }
    }

    #[test]
    fn flat_with_outliers_is_flat() {
        let jagged = trend(|n| 200.0 + (n * 7.0) % 15.0, |n| if n == 99.0 { 500.0 } else { 60.0 });
        assert!(jagged.verdict(10.0, 16.0).is_ok());
    }

    #[test]
    fn a_leak_of_memory_or_handles_is_told() {
        let told = |trend: Trend| trend.verdict(10.0, 16.0).map_err(|error| error.to_string());
        assert!(told(trend(|n| 200.0 + n, |_| 60.0)).is_err_and(|error| error.contains("memory grew by 3")));
        assert!(told(trend(|_| 200.0, |n| 60.0 + n)).is_err_and(|error| error.contains("handles by 75")));
    }
}
