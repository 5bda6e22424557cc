//! What an analyst finds in the demo's lake: the warehouse's views in DuckDB, and the same files through Snowpipe's pipes.

use std::path::Path;
use std::process::Command;

use testbed::{Snowflake, Testbed};

/// Runs a program to its end, and returns what it printed; fails with that.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    said
}

#[tokio::test]
async fn the_files_of_the_demo_are_what_the_views_say() {
    let bed = Testbed::builder().snowflake().start().await.expect("a testbed");
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().display().to_string();
    let demo = [
        "demo",
        "--for",
        "8s",
        "--rate",
        "300",
        "--listen",
        "127.0.0.1:0",
        "--data",
        &data,
    ];
    // It audits itself: with this, what the files hold is right, and the views can be checked by them.
    let said = run(Command::new(env!("CARGO_BIN_EXE_riverbank")).args(demo));
    let query = format!("SET VARIABLE lake = '{data}/lake'\" -cmd '.read warehouse/duckdb.sql'");
    assert!(said.contains(&query), "{said}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testbed/snowflake");
    run(Command::new(bed.snowflake().python())
        .args(["-m", "unittest", "tests.lake"])
        .current_dir(root)
        .envs(Snowflake::environment())
        .env("LAKE", folder.path().join("lake")));
}
