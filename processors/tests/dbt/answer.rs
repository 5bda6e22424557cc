//! dbt's answers: `tools/dbt.sh` installs and runs it.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Tables by their names, with their rows in the order of their keys.
pub type Tables = BTreeMap<String, Vec<Value>>;

const DBT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/dbt.sh");

/// The tables that dbt has made after all batches.
pub fn answer(batches: &[Value]) -> Tables {
    let mut child = Command::new(DBT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tools/dbt.sh starts");
    let mut stdin = child.stdin.take().expect("it was asked for");
    let lines: String = batches.iter().map(|batch| format!("{batch}\n")).collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("tools/dbt.sh ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tools/dbt.sh: {}\n{said}", output.status);
    writer.join().expect("the writer ends").expect("all batches are taken");
    let mut tables: Tables = serde_json::from_slice(&output.stdout).expect("dbt's tables are JSON");
    for amount in tables.values_mut().flatten().filter_map(|row| row.get_mut("amount")) {
        // 12.5000 there is 12.50 here.
        let money: schemas::Money = amount.as_str().expect("an amount is text").parse().expect("an amount is one");
        *amount = money.to_string().into();
    }
    tables
}
