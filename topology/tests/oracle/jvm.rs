//! Kafka Streams' answers: `tools/oracle.sh answer` installs and runs the Java side.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::case::Case;

const ORACLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/oracle.sh");

/// The cases with what Kafka Streams makes of each, from one JVM.
pub fn answer(cases: &[Case]) -> Vec<Case> {
    let mut child = Command::new(ORACLE)
        .arg("answer")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tools/oracle.sh starts");
    let mut stdin = child.stdin.take().expect("it was asked for");
    let lines: Vec<String> = cases.iter().map(line).collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.concat().as_bytes()));
    let output = child.wait_with_output().expect("tools/oracle.sh ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tools/oracle.sh answer: {}\n{said}", output.status);
    writer.join().expect("the writer ends").expect("all cases are taken");
    let answered = parse(&String::from_utf8(output.stdout).expect("JSON is UTF-8"));
    assert_eq!(answered.len(), cases.len(), "each case is answered\n{said}");
    answered
}

/// A case as a line of a file.
pub fn line(case: &Case) -> String {
    let text = serde_json::to_string(case).expect("a case is JSON");
    format!("{text}\n")
}

/// The cases of a file.
pub fn parse(text: &str) -> Vec<Case> {
    let case = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
    text.lines().map(case).collect()
}
