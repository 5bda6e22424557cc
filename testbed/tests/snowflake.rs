//! The emulator of Snowflake: as a server of the testbed, and its own tests, which are Python.

use std::path::Path;
use std::process::{Command, Output};

use testbed::{Snowflake, Testbed};

/// Runs Python modules of the emulator's folder; fails with what they printed.
fn python(python: &Path, args: &[&str], env: &[(&str, String)]) {
    let output: Output = Command::new(python)
        .args(args)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/snowflake"))
        .envs(Snowflake::environment())
        .envs(env.iter().map(|(name, value)| (name, value)))
        .output()
        .expect("Python starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "python {args:?}: {}\n{said}", output.status);
}

/// Files on a real object store become rows, through every fault that can be asked for.
#[tokio::test]
async fn files_on_minio_become_rows() {
    let bed = Testbed::builder().minio().snowflake().start().await.expect("a testbed");
    bed.minio().create_bucket("lake").await.expect("a bucket");
    let (minio, snowflake) = (bed.minio(), bed.snowflake());
    let env = [
        ("SNOWFLAKE_URL", snowflake.url().to_owned()),
        ("SNOWFLAKE_ACCOUNT", snowflake.account().to_owned()),
        ("SNOWFLAKE_USER", snowflake.user().to_owned()),
        ("SNOWFLAKE_PRIVATE_KEY", snowflake.private_key().display().to_string()),
        ("MINIO_ENDPOINT", minio.endpoint().to_owned()),
        ("MINIO_ACCESS_KEY", minio.access_key().to_owned()),
        ("MINIO_SECRET_KEY", minio.secret_key().to_owned()),
    ];
    snowflake
        .fail("insertFiles", "503", 1)
        .await
        .expect("a fault can be asked for");
    python(snowflake.python(), &["-m", "unittest", "tests.live.Live"], &env);
    // The emulator holds no state that a test could rely on after a kill, but it comes back.
    snowflake.restart().await.expect("it starts again");
    python(snowflake.python(), &["-m", "unittest", "tests.live.Fresh"], &env);
}

/// The emulator's own tests.
#[tokio::test]
async fn the_emulator_is_as_the_documentation_says() {
    let bed = Testbed::builder().snowflake().start().await.expect("a testbed");
    let discover = ["-m", "unittest", "discover", "-s", "tests", "-t", "."];
    python(bed.snowflake().python(), &discover, &[]);
}
