//! What an analyst finds in the demo's lake: the warehouse's views in DuckDB, the same files through Snowpipe's pipes, and the
//! dashboards of the key figures on Postgres and on Snowflake.

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
    let bed = Testbed::builder().snowflake().postgres().minio().start();
    let bed = bed.await.expect("a testbed");
    bed.minio().create_bucket("lake").await.expect("a bucket");
    bed.postgres().create_database("key_figures").await.expect("a database");
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
    let (minio, postgres) = (bed.minio(), bed.postgres());
    let python = |module: &str| {
        run(Command::new(bed.snowflake().python())
            .args(["-m", "unittest", module])
            .current_dir(&root)
            .envs(Snowflake::environment())
            .env("LAKE", folder.path().join("lake"))
            .env("MINIO_ENDPOINT", minio.endpoint())
            .env("MINIO_ACCESS_KEY", minio.access_key())
            .env("MINIO_SECRET_KEY", minio.secret_key())
            .env("KEY_FIGURES_DATABASE", postgres.url_of("key_figures")))
    };
    python("tests.lake");
    python("tests.key_figures");
}
