//! Commands that need no server: what they print, and with which exit code they end.

use std::process::{Command, Output};

fn riverbank(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_riverbank"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RIVERBANK_")) {
        command.env_remove(name);
    }
    command.args(arguments).output().expect("the program starts")
}

/// What a command that succeeds prints.
fn printed(arguments: &[&str]) -> String {
    let output = riverbank(arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_topology_is_described_from_the_change_log_to_the_balances() {
    let text = printed(&["topology", "describe"]);
    for topic in ["bank.public.customers", "bank.public.accounts", "bank.public.transactions"] {
        assert!(
            text.contains(&format!("(topics: [{topic}])")),
            "{topic} is no source in\n{text}"
        );
    }
    for topic in [
        "silver.customers",
        "silver.accounts",
        "silver.transactions",
        "silver.rejected",
        "silver.postings",
    ] {
        assert!(text.contains(&format!("(topic: {topic})")), "{topic} is no sink in\n{text}");
    }
    assert!(
        text.contains("Store: account-balances (changelog: gold.account_balances)"),
        "{text}"
    );
    let graph = printed(&["topology", "describe", "--dot"]);
    assert!(graph.starts_with("digraph topology {") && graph.ends_with("}\n"), "{graph}");
}

#[test]
fn a_knob_of_the_generator_that_is_wrong_ends_with_exit_code_2_and_one_line() {
    let output = riverbank(&["generate", "--rate", "fast", "--connections", "0"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(
        said.contains("rate (--rate) must be") && said.contains("connections (--connections) must be"),
        "{said}"
    );

    let output = riverbank(&["generate", "--into", "postgres"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("postgres.url is missing"), "{said}");
}

#[test]
fn a_database_that_is_away_is_named_without_its_password() {
    let output = riverbank(&["generate", "--into", "postgres://bank:hunter2@127.0.0.1:1/bank"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("127.0.0.1:1") && !said.contains("hunter2"), "{said}");
}

#[test]
fn an_empty_lake_is_right_and_a_stranger_in_it_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = folder.path().to_str().expect("a path");
    let text = printed(&["lake", "verify", "--sink-url", lake]);
    assert!(text.ends_with("every offset is in exactly one file\n"), "{text}");
    let tables: Vec<&str> = text
        .lines()
        .filter(|line| line.contains(" files "))
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(tables.len() >= 4, "{text}");
    assert_eq!(printed(&["lake", "ls", "--sink-url", lake]).lines().count(), 1);

    let inside = folder.path().join(tables[0]).join("day=2026-01-01/p=00");
    std::fs::create_dir_all(&inside).expect("folders");
    std::fs::write(inside.join("notes.txt"), "hello").expect("a stranger");
    std::fs::write(
        inside.join("00000000000000000000-00000000000000000004-s1.parquet"),
        "not Parquet",
    )
    .expect("a broken file");
    let output = riverbank(&["lake", "verify", "--sink-url", lake]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("notes.txt") && said.ends_with(" problems\n"), "{said}");
}

#[test]
fn iceberg_tables_that_are_not_there_yet_are_nothing_to_tend() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, file) = (folder.path().join("lake"), folder.path().join("iceberg.db"));
    let (lake, file) = (lake.to_str().expect("a path"), file.to_str().expect("a path"));
    let settings = ["--sink-url", lake, "--iceberg-catalog", "sqlite", "--iceberg-file", file];
    let with = |arguments: &[&'static str]| printed(&[arguments, &settings].concat());
    let listed = with(&["iceberg", "ls"]);
    assert!(listed.lines().count() >= 5 && listed.contains("bronze.accounts"), "{listed}");
    let compacted = with(&["iceberg", "compact", "--table", "bronze.accounts", "--target-bytes", "64MiB"]);
    assert_eq!(
        compacted,
        "bronze.accounts: 0 files became 0, with 0 rows; 0 bytes became 0; 0 old files deleted\n"
    );
    let retained = with(&["iceberg", "retain", "--days", "30"]);
    assert_eq!(
        retained.lines().filter(|line| line.contains(": 0 files with 0 rows")).count(),
        listed.lines().count() - 1
    );

    for (arguments, reason) in [
        (vec!["iceberg", "ls", "--sink-url", lake], "iceberg.catalog is off"),
        (
            [&["iceberg", "compact", "--table", "bronze.nothing"], &settings[..]].concat(),
            "there is no table bronze.nothing",
        ),
    ] {
        let output = riverbank(&arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn the_page_of_the_lake_s_tables_is_what_they_declare() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/lake-tables.md");
    let page = std::fs::read_to_string(page).expect("docs/lake-tables.md");
    let declared = printed(&["lake", "describe"]);
    assert!(
        page == declared,
        "write it anew: riverbank lake describe > docs/lake-tables.md\n{declared}"
    );
}

/// A process that is ended with its test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_second_process_on_a_state_folder_ends_with_exit_code_1_and_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, lake) = (folder.path().join("state"), folder.path().join("lake"));
    let (state, lake) = (state.to_str().expect("a path"), lake.to_str().expect("a path"));
    let arguments = [
        "run",
        "--http-listen",
        "127.0.0.1:0",
        "--state-dir",
        state,
        "--sink-url",
        lake,
        "--engine-threads",
        "1",
    ];
    let mut first = Command::new(env!("CARGO_BIN_EXE_riverbank"));
    first.args(arguments).env("RIVERBANK_LOG_LEVEL", "error");
    let mut first = Running(first.spawn().expect("the program starts"));
    let has_begun = || folder.path().join("state/stores/lock").exists();
    let started = std::time::Instant::now();
    while !has_begun() {
        assert!(started.elapsed().as_secs() < 60, "the first does not take its folder");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let second = riverbank(&arguments);
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    let holder = format!("another process (pid {}) works with this folder", first.0.id());
    assert!(said.contains("riverbank: state.dir: ") && said.contains(&holder), "{said}");
    assert!(first.0.try_wait().expect("it can be asked").is_none(), "the first goes on");
}
