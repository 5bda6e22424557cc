//! A testbed's promises about its own servers: ready when started, controllable, and gone at the end.

use std::path::Path;

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

async fn sqlx_execute(url: &str, sql: &'static str) -> Result<(), sqlx::Error> {
    use sqlx::Connection;
    let mut connection = sqlx::PgConnection::connect(url).await?;
    sqlx::raw_sql(sql).execute(&mut connection).await?;
    connection.close().await
}
