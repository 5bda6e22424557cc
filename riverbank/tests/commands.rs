//! Commands that need no server: what they print, and with which exit code they end.

use std::process::{Command, Output};

use clock::{Clock, SystemClock};
use serde_json::json;

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
fn a_setting_of_the_generator_that_is_wrong_ends_with_exit_code_2_and_one_line() {
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
    std::fs::write(inside.join("notes.txt"), "hello").expect("an unrecognized file");
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

/// A proof of nothing is none, and whoever looks makes no folder and no catalog.
#[test]
fn a_mistyped_lake_or_catalog_is_named_and_not_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, catalog) = (folder.path().join("lak"), folder.path().join("iceberk.db"));
    let (lake_text, catalog_text) = (lake.display().to_string(), catalog.display().to_string());
    let of_catalog = ["--iceberg-catalog", "sqlite", "--iceberg-file", catalog_text.as_str()];
    let of_lake = ["--sink-url", lake_text.as_str()];
    let commands: [(&[&str], &str); 5] = [
        (&["lake", "ls"], "--sink-url"),
        (&["lake", "verify"], "--sink-url"),
        (&["lake", "retain", "--days", "30"], "--sink-url"),
        (&["iceberg", "ls"], "--iceberg-file"),
        (&["iceberg", "compact"], "--iceberg-file"),
    ];
    for (command, setting) in commands {
        let more: &[&str] = if command[0] == "iceberg" { &of_catalog } else { &[] };
        let output = riverbank(&[command, &of_lake[..], more].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {said}");
        assert!(said.contains("there is no") && said.contains(setting), "{command:?}: {said}");
        assert!(!lake.exists() && !catalog.exists(), "{command:?}");
    }
}

/// Of this lake, names say all that listing and retention need.
#[test]
fn what_is_old_is_deleted_unless_somebody_needs_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = folder.path().join("lake");
    let url = lake.to_str().expect("a path");
    let file = |day: &str, range: &str| lake.join(format!("bronze.accounts/day={day}/p=00/{range}-s1.parquet"));
    let files = [
        file("2020-01-01", "0-9"),
        file("2020-01-02", "10-19"),
        file("2020-01-03", "20-29"),
    ];
    let write_old = |file: &std::path::Path| {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("folders");
        std::fs::write(file, "12345").expect("a file");
        // Of their days' end, so that no footer is read.
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_578_200_000);
        let opened = std::fs::File::options().write(true).open(file).expect("the file");
        opened.set_modified(at).expect("its time");
    };
    files.iter().for_each(|file| write_old(file));
    let listed = printed(&["lake", "ls", "--sink-url", url, "--table", "bronze.accounts"]);
    let line = listed.lines().nth(1).expect("a line");
    let words: Vec<&str> = line.split_whitespace().take(8).collect();
    assert_eq!(words, ["bronze.accounts", "0", "1", "3", "15", "0", "to", "29"], "{line}");
    let since = [
        "lake",
        "ls",
        "--sink-url",
        url,
        "--table",
        "bronze.accounts",
        "--since",
        "2020-01-03",
    ];
    assert!(printed(&since).contains("20 to 29"));

    let retain = |more: &[&str]| {
        let mut arguments = vec!["lake", "retain", "--days", "30", "--sink-url", url];
        arguments.extend(more);
        printed(&arguments)
    };
    let of_table = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("bronze.accounts"));
        line.expect("the table").to_owned()
    };
    let there = || files.iter().map(|file| file.exists()).collect::<Vec<_>>();
    let said = of_table(&retain(&["--dry-run"]));
    assert!(
        said.contains("2 files of 2020-01-01 to 2020-01-02, 10 bytes, would be deleted: all before offset 20"),
        "{said}"
    );
    let refused = |setting: &str, flag: &str| {
        let output = riverbank(&["lake", "retain", "--days", "30", "--sink-url", url]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(setting) && said.contains(flag), "{said}");
    };
    let metadata = lake.join("bronze.accounts/metadata");
    std::fs::create_dir_all(&metadata).expect("a folder");
    std::fs::write(metadata.join("v1.metadata.json"), "{}").expect("metadata");
    refused("iceberg.catalog is off", "--without-iceberg");
    let catalog = folder.path().join("iceberg.db");
    let catalog = [
        "--iceberg-catalog",
        "sqlite",
        "--iceberg-file",
        catalog.to_str().expect("a path"),
    ];
    let said = of_table(&retain(&catalog));
    assert!(
        said.contains("nothing; older files stay, which its Iceberg table needs"),
        "{said}"
    );
    assert_eq!(there(), [true; 3]);

    let snowpipe = [
        "--snowpipe-enabled",
        "true",
        "--snowflake-account",
        "myorg-bank",
        "--without-iceberg",
    ];
    let said = of_table(&retain(&snowpipe));
    assert!(said.contains("nothing; older files stay, which Snowpipe needs"), "{said}");
    let ledger = lake.join("_riverbank/snowpipe");
    std::fs::create_dir_all(&ledger).expect("a folder");
    let note = |received: serde_json::Value, pipe: serde_json::Value, failures: serde_json::Value| {
        let stream = json!({
            "table": "bronze.accounts", "generation": 1, "partition": 0, "received": [received], "base": null
        });
        let note = json!({
            "version": 1, "streams": [stream], "listed_to": {}, "failures": failures,
            "pipes": { "RIVERBANK.RAW.BRONZE_ACCOUNTS_PIPE": pipe },
        });
        std::fs::write(ledger.join("MYORG-BANK.RIVERBANK.json"), note.to_string()).expect("a ledger");
    };
    let whole = json!({ "awaited": {}, "read_until": null });
    note(json!([0, 9]), whole.clone(), json!([]));
    let said = of_table(&retain(&snowpipe));
    assert!(
        said.contains("1 files of 2020-01-01 to 2020-01-01, 5 bytes, deleted: all before offset 10; older files stay"),
        "{said}"
    );
    assert_eq!(there(), [false, true, true]);

    // What is received may be in the queue still, or has failed and is to be loaded again.
    let beyond = json!({ "awaited": {}, "read_until": null, "untracked_at": SystemClock.now().to_string() });
    let failure = json!([{
        "table": "bronze.accounts", "path": "day=2020-01-02/p=00/10-19-s1.parquet", "status": "LOAD_FAILED",
        "rows_inserted": 0, "rows_parsed": 1, "reason": "a text is no number", "received_at": null,
    }]);
    for (pipe, failures) in [(beyond, json!([])), (whole, failure)] {
        note(json!([0, 29]), pipe, failures);
        let said = of_table(&retain(&snowpipe));
        assert!(said.contains("nothing; older files stay, which Snowpipe needs"), "{said}");
    }
    std::fs::remove_dir_all(&metadata).expect("no metadata");
    refused("snowpipe.enabled is false", "--without-snowpipe");
    assert_eq!(there(), [false, true, true]);

    // The last one of a partition stays.
    let said = of_table(&retain(&["--without-snowpipe"]));
    assert!(said.contains("1 files") && said.contains("before offset 20"), "{said}");
    assert_eq!(there(), [false, false, true]);
    assert!(of_table(&retain(&["--without-snowpipe"])).contains("nothing"));

    // What a run has left that died is below a floor: no Iceberg table takes it in any more.
    write_old(&files[1]);
    let said = of_table(&retain(&[&catalog[..], &["--without-snowpipe"]].concat()));
    assert!(said.contains("1 files") && said.ends_with("before offset 20"), "{said}");
    assert_eq!(there(), [false, false, true]);
}

/// Without its store it writes nothing, and says so where probes and Prometheus look.
#[tokio::test]
async fn the_sinks_alone_serve_metrics_and_health() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = port.expect("a free port").to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_riverbank"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RIVERBANK_")) {
        command.env_remove(name);
    }
    let arguments = [
        "sink",
        "--http-listen",
        &address,
        "--sink-url",
        "s3://lake/bank",
        "--s3-endpoint",
        "http://127.0.0.1:1",
        "--s3-allow-http",
        "true",
        "--kafka-brokers",
        "127.0.0.1:1",
        "--registry-url",
        "http://127.0.0.1:1",
    ];
    command
        .env("RIVERBANK_S3_ACCESS_KEY", "key")
        .env("RIVERBANK_S3_SECRET_KEY", "secret");
    let _sink = Running(command.args(arguments).spawn().expect("the program starts"));
    let get = async |path: &str| {
        let response = reqwest::get(format!("http://{address}{path}")).await.ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    };
    let mut seen = None;
    for _ in 0..600 {
        seen = get("/health/ready").await;
        if seen.as_ref().is_some_and(|(status, _)| *status == 503) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let (status, body) = seen.expect("it answers");
    let report: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        (status, &report["lake"], &report["iceberg"]),
        (503, &false.into(), &true.into()),
        "{body}"
    );
    assert!(
        report["reasons"][0].as_str().is_some_and(|reason| !reason.is_empty()),
        "{body}"
    );
    assert_eq!(get("/health/live").await.map(|(status, _)| status), Some(200));
    let (_, metrics) = get("/metrics").await.expect("metrics");
    for line in [
        "riverbank_ready 0",
        "riverbank_able{what=\"lake\"} 0",
        "riverbank_able{what=\"snowpipe\"} 1",
        "riverbank_sink_rows_total{table=\"bronze.accounts\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

#[test]
fn an_iceberg_catalog_that_has_none_of_the_tables_is_another_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, file) = (folder.path().join("lake"), folder.path().join("iceberg.db"));
    std::fs::create_dir_all(&lake).expect("a folder");
    std::fs::write(&file, "").expect("a file");
    let (lake, file) = (lake.to_str().expect("a path"), file.to_str().expect("a path"));
    let settings = ["--sink-url", lake, "--iceberg-catalog", "sqlite", "--iceberg-file", file];
    let listed = printed(&[&["iceberg", "ls"], &settings[..]].concat());
    assert!(listed.lines().count() >= 5 && listed.contains("bronze.accounts"), "{listed}");
    let tables = listed.lines().count() - 1;
    for (arguments, count) in [
        (
            &["iceberg", "compact", "--table", "bronze.accounts", "--target-bytes", "64MiB"][..],
            1,
        ),
        (&["iceberg", "retain", "--days", "30"], tables),
        (&["iceberg", "retain", "--days", "30", "--dry-run"], tables),
    ] {
        let output = riverbank(&[arguments, &settings[..]].concat());
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let missing = said.lines().filter(|line| line.contains(": the catalog has no table "));
        assert_eq!(missing.count(), count, "{said}");
    }

    for (arguments, reason) in [
        (vec!["iceberg", "ls", "--sink-url", lake], "iceberg.catalog is off"),
        (
            [&["iceberg", "compact", "--table", "bronze.nothing"], &settings[..]].concat(),
            "there is no table bronze.nothing",
        ),
    ] {
        let output = riverbank(&arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
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

#[test]
fn the_page_of_the_data_rules_is_what_the_list_says_and_the_runbook_knows_each() {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let page = std::fs::read_to_string(docs.join("data-rules.md")).expect("docs/data-rules.md");
    let declared = printed(&["rules", "describe"]);
    assert!(
        page == declared,
        "write it anew: riverbank rules describe > docs/data-rules.md\n{declared}"
    );
    let runbook = std::fs::read_to_string(docs.join("runbooks/set-aside.md")).expect("the runbook");
    for rule in schemas::rules::Rule::ALL {
        assert!(
            runbook.contains(&format!("`{rule}`")),
            "docs/runbooks/set-aside.md does not say what to do about {rule}"
        );
    }
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
