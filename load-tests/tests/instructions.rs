//! Guards the hot path by counting instructions, which do not depend on how busy the machine is.
//!
//! A step is run twice under callgrind, with different counts: the difference is the step alone, without the program's start. A
//! change that makes a step dearer must raise its figure here, in the open; one that makes it cheaper should lower it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "figures are shown with --nocapture")]

use std::process::Command;

/// Instructions of a program under callgrind.
fn counted(step: &str, count: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env!("CARGO_BIN_EXE_load-tests"))
        .args(["step", step, &count.to_string()])
        .output()
        .expect("valgrind starts; tools/install.sh valgrind installs it");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{step}: {told}");
    let line = told
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .expect("callgrind tells its count");
    line.1.trim().parse().unwrap()
}

/// Fails when one run of a step takes more than 15 % above these instructions (at the test profile's
/// optimisation; another compiler or processor is worth a few percent).
fn check(step: &str, instructions: u64) {
    let (few, many) = (1_000, 5_000);
    let each = (counted(step, many) - counted(step, few)) / (many - few);
    println!("{step}: {each} instructions");
    assert!(
        each <= instructions + instructions * 15 / 100,
        "{step} takes {each} instructions, not {instructions}"
    );
}

#[test]
fn decoding_a_change_event() {
    check("decode-change-event", 3_400);
}

#[test]
fn encoding_a_balance() {
    check("encode-balance", 830);
}

#[test]
fn decoding_a_balance() {
    check("decode-balance", 690);
}

#[test]
fn a_change_event_through_the_engine() {
    check("engine", 19_500);
}
