//! dbt's answers: `tools/dbt.sh` installs and runs it.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Tables by their names, with their rows in the order of their keys.
pub type Tables = BTreeMap<String, Vec<Value>>;

const AMOUNTS: [&str; 8] = [
    "amount",
    "booked",
    "available",
    "opening",
    "credits",
    "debits",
    "closing",
    "net_flow",
];
const DBT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/dbt.sh");

/// The tables that dbt has made after all batches, of a source that says when its rows were changed or of a narrower one.
pub fn answer(batches: &[Value], narrow: bool) -> Tables {
    let mut child = Command::new(DBT)
        .env("BANK_NARROW", if narrow { "1" } else { "" })
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
    for row in tables.values_mut().flatten() {
        for column in AMOUNTS {
            if let Some(amount) = row.get_mut(column).filter(|amount| !amount.is_null()) {
                // 12.5000 there is 12.50 here.
                let money: schemas::Money = amount.as_str().expect("an amount is text").parse().expect("an amount is one");
                *amount = money.to_string().into();
            }
        }
    }
    tables
}
