//! A testbed's promises about its own servers: ready when started, controllable, and gone at the end.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testbed::Testbed;

#[tokio::test]
async fn servers_start_survive_kills_and_end_with_the_testbed() {
    let started = std::time::Instant::now();
    let bed = Testbed::builder().postgres().minio().kafka().start().await.expect("servers");
    println!("ready after {:?}", started.elapsed());

    let url = bed.postgres().url();
    sqlx_execute(&url, "CREATE TABLE kept (id INT); INSERT INTO kept VALUES (1)")
        .await
        .expect("a table");
    bed.minio().create_bucket("lake").await.expect("a bucket");
    bed.minio().create_bucket("lake").await.expect("the same bucket again");

    for (name, server) in bed.servers() {
        let before = server.pid().expect("it runs");
        server.kill().expect("a kill");
        assert_eq!(server.pid(), None, "{name} after a kill");
        let started = std::time::Instant::now();
        server
            .start()
            .await
            .unwrap_or_else(|error| panic!("{name} after a kill: {error}"));
        println!("{name} ready again after {:?}", started.elapsed());
        assert_ne!(server.pid(), Some(before), "{name} is a new process");
    }
    sqlx_execute(&url, "INSERT INTO kept VALUES (2)")
        .await
        .expect("the table is still there");

    let pids: Vec<u32> = bed.servers().iter().filter_map(|(_, server)| server.pid()).collect();
    let folder = bed.folder().to_owned();
    assert_eq!(pids.len(), 3);
    drop(bed);
    assert!(!folder.exists(), "{} is removed", folder.display());
    for pid in pids {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "process {pid} is gone");
    }
}

#[tokio::test]
async fn a_paused_server_answers_nothing_until_it_is_resumed() {
    let bed = Testbed::builder().postgres().start().await.expect("postgres");
    let url = bed.postgres().url();
    bed.postgres().pause();
    let asked = tokio::time::timeout(std::time::Duration::from_secs(2), sqlx_execute(&url, "SELECT 1")).await;
    assert!(asked.is_err(), "a paused server answered: {asked:?}");
    bed.postgres().resume();
    bed.postgres().ready().await.expect("ready again");
    sqlx_execute(&url, "SELECT 1").await.expect("an answer");
}

/// Kills a test process of its own, which has had no chance to clean up, and sees its servers end.
#[tokio::test]
async fn servers_end_when_their_test_is_killed() {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "holds_servers_until_it_is_killed", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a second test process");
    let output = BufReader::new(child.stdout.take().expect("its output"));
    let servers: Vec<u32> = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("servers: ")?.1.split(' ').flat_map(str::parse).collect()))
        .expect("the pids of its servers");
    assert_eq!(servers.len(), 2);
    assert!(servers.iter().all(|pid| runs(*pid)), "they run: {servers:?}");

    child.kill().expect("a kill");
    child.wait().expect("its end");
    let deadline = Instant::now() + Duration::from_secs(90);
    while servers.iter().any(|pid| runs(*pid)) {
        assert!(Instant::now() < deadline, "servers outlive their test: {servers:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
#[ignore = "a part of servers_end_when_their_test_is_killed, which runs it as a process of its own"]
async fn holds_servers_until_it_is_killed() {
    // Started within a runtime and a thread that end at once: neither may take the servers along.
    let start = || testbed::block_on(Testbed::builder().postgres().minio().start());
    let bed = std::thread::spawn(start).join().expect("a thread").expect("servers");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let pids: Vec<String> = bed
        .servers()
        .iter()
        .filter_map(|(_, s)| s.pid())
        .map(|pid| pid.to_string())
        .collect();
    println!("servers: {}", pids.join(" "));
    tokio::time::sleep(Duration::from_secs(120)).await;
}

/// A zombie, which only waits to be seen by its parent, does not run.
fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

async fn sqlx_execute(url: &str, sql: &'static str) -> Result<(), sqlx::Error> {
    use sqlx::Connection;
    let mut connection = sqlx::PgConnection::connect(url).await?;
    sqlx::raw_sql(sql).execute(&mut connection).await?;
    connection.close().await
}
