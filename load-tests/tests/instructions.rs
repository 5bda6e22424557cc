//! Guards the hot path by counting instructions and allocations, which do not depend on how busy the machine is.
//!
//! A step is run twice under callgrind and under dhat, with different counts: the difference is the step alone, without the program's start. A
//! change that makes a step dearer must raise its figure here, in the open; one that makes it cheaper should lower it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "figures are shown with --nocapture")]

use std::process::Command;

/// What a tool of Valgrind reports of a step that is done so many times, from `before` on, as a number.
fn told(tool: &[&str], before: &str, step: &str, count: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(tool)
        .arg(env!("CARGO_BIN_EXE_load-tests"))
        .args(["step", step, &count.to_string()])
        .output()
        .expect("valgrind starts; tools/install.sh valgrind installs it");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{step}: {text}");
    let (_, number) = text.split_once(before).unwrap_or_else(|| panic!("no {before:?} in: {text}"));
    let digits = number.trim_start().chars().filter(|c| *c != ',');
    let digits: String = digits.take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

/// What doing it once more adds.
fn each(tool: &[&str], before: &str, step: &str) -> f64 {
    let (few, many) = (1_000, 5_000);
    let more = told(tool, before, step, many) - told(tool, before, step, few);
    more as f64 / (many - few) as f64
}

/// Fails when one run of a step takes more than 15 % above these instructions (at the test profile's optimisation; another
/// compiler or processor is worth a few percent), or more than these allocations.
fn check(step: &str, instructions: f64, allocations: f64) {
    let callgrind = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
    let takes = each(&callgrind, "Collected : ", step);
    let allocates = each(&["--tool=dhat", "--dhat-out-file=/dev/null"], "bytes in ", step);
    println!("{step}: {takes:.0} instructions, {allocates:.2} allocations");
    assert!(
        takes <= instructions * 1.15,
        "{step} takes {takes} instructions, not {instructions}"
    );
    assert!(
        allocates <= allocations + 0.05,
        "{step} allocates {allocates} times, not {allocations}"
    );
}

#[test]
fn decoding_a_change_event() {
    check("decode-change-event", 3_400.0, 0.0);
}

#[test]
fn encoding_a_balance() {
    check("encode-balance", 830.0, 0.0);
}

#[test]
fn decoding_a_balance() {
    check("decode-balance", 740.0, 0.0);
}

#[test]
fn a_change_event_through_the_engine() {
    // Most of its allocations are the in-process log's.
    check("engine", 22_000.0, 12.9);
}

#[test]
fn a_row_that_moves_from_group_to_group() {
    check("table-aggregate", 30_000.0, 26.2);
}

#[test]
fn a_foreign_key_join() {
    check("foreign-key-join", 35_000.0, 26.2);
}

#[test]
fn a_versioned_get() {
    check("versioned-get", 19_600.0, 26.1);
}
