//! What the system tells of a process.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

/// `USER_HZ`, which Linux has kept at this for decades.
const TICKS_PER_SECOND: u64 = 100;

/// The CPU time that a process has used, all of its threads together, in user and system.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is a name in parentheses, which may hold anything.
    let fields = stat.rsplit_once(')').context("a process has a name")?.1;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || -> anyhow::Result<u64> { Ok(fields.next().context("a time")?.parse()?) };
    let ticks = ticks()? + ticks()?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// The most memory that a process has held at once, in MiB.
pub fn memory_mib_max(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("a peak")?;
    let kib: f64 = peak.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

/// The value below which `percent` of the sorted values lie.
pub fn percentile(sorted: &[i64], percent: f64) -> i64 {
    let at = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
    sorted
        .get(at.saturating_sub(1).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(0)
}
