//! What the system reports of a process.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
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

/// The CPU time that the thread which asks has used.
pub fn thread_cpu() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = stat.split_whitespace().next().context("a time")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

/// The most memory that a process has held at once, in MiB.
pub fn memory_mib_max(pid: u32) -> anyhow::Result<f64> {
    Ok(status(pid, "VmHWM:")? / 1024.0)
}

/// The memory that a process holds, in MiB.
pub fn memory_mib(pid: u32) -> anyhow::Result<f64> {
    Ok(status(pid, "VmRSS:")? / 1024.0)
}

/// How many threads a process has.
pub fn threads(pid: u32) -> anyhow::Result<f64> {
    status(pid, "Threads:")
}

/// How many file handles a process has open.
pub fn handles(pid: u32) -> anyhow::Result<f64> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count() as f64)
}

/// A number of `/proc/<pid>/status`; sizes are in KiB there.
fn status(pid: u32, field: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = status.lines().find_map(|line| line.strip_prefix(field));
    let value = value.with_context(|| format!("a process has no {field}"))?;
    Ok(value.trim().trim_end_matches("kB").trim().parse()?)
}

/// What the files beneath a folder take on disk, in MiB. Files that vanish meanwhile count for nothing.
pub fn disk_mib(folder: &Path) -> f64 {
    const BLOCK: f64 = 512.0;
    let Ok(entries) = fs::read_dir(folder) else { return 0.0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => disk_mib(&entry.path()),
        Ok(data) => data.blocks() as f64 * BLOCK / f64::from(1 << 20),
        Err(_) => 0.0,
    };
    entries.flatten().map(size).sum()
}

/// The middle value; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// The value below which `percent` of the sorted values lie.
pub fn percentile(sorted: &[i64], percent: f64) -> i64 {
    let at = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
    sorted
        .get(at.saturating_sub(1).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(0)
}
