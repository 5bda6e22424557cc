//! The conformance suite on a real Postgres, with the real schema.

use std::time::Duration;

use system_of_record::conformance::{self, samples::person};
use system_of_record::{Postgres, PostgresSettings, SystemOfRecord, SystemOfRecordError, SystemOfRecordExt};
use testbed::Testbed;

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let bed = Testbed::builder().postgres().start().await.expect("Postgres starts");
    let url = bed.postgres().url();
    connect::migrate(&url).await.expect("the schema");
    let settings = PostgresSettings {
        acquire_timeout: Duration::from_secs(5),
        // Many at once on one account, on a machine that does other things as well.
        lock_timeout: Duration::from_secs(60),
        statement_timeout: Duration::from_secs(90),
        ..PostgresSettings::default()
    };
    let records = Postgres::connect_lazy(&url, &settings).expect("a URL");
    conformance::check(&records).await;
    check_outage(&bed, &records).await;
}

/// While the database is away, that is what is said; then it goes on without a restart.
async fn check_outage(bed: &Testbed, records: &Postgres) {
    bed.postgres().kill().expect("kill");
    let refused = records.insert_customer(person()).await;
    assert!(matches!(refused, Err(SystemOfRecordError::Unavailable(_))), "{refused:?}");
    assert!(matches!(records.check().await, Err(SystemOfRecordError::Unavailable(_))));
    bed.postgres().start().await.expect("it starts again");
    records.insert_customer(person()).await.expect("it goes on");
}

#[tokio::test]
async fn a_bad_url_is_told_without_its_password() {
    let error = Postgres::connect_lazy("postgres://riverbank:hunter2@[", &PostgresSettings::default()).expect_err("not a URL");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}
