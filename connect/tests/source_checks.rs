//! What is wrong with a source is found and named, on a real Postgres, by a login that may read no table.

use connect::{
    CAPTURE_ROLE, ColumnPatterns, ProblemKind, RunningSettings, SourceExpectations, SourceProblem, check_source, look_into,
    slot_state,
};
use sqlx::PgPool;
use testbed::Testbed;

struct Source {
    bed: Testbed,
    pool: PgPool,
    database: &'static str,
    expected: SourceExpectations,
}

impl Source {
    async fn new(bed: Testbed, database: &'static str) -> Self {
        let pool = PgPool::connect(&bed.postgres().url_of(database)).await.unwrap();
        let source = Self {
            expected: SourceExpectations {
                publication: "riverbank".to_owned(),
                tables: ["customers", "accounts", "transactions"]
                    .map(|table| format!("public.{table}"))
                    .to_vec(),
                excluded_columns: ColumnPatterns::default(),
                capture_role: CAPTURE_ROLE.to_owned(),
                slot: None,
            },
            bed,
            pool,
            database,
        };
        source.run("CREATE ROLE stranger LOGIN PASSWORD 'stranger'").await;
        source
    }

    /// Riverbank's own schema.
    async fn own() -> Self {
        let bed = Testbed::builder().postgres().start().await.unwrap();
        bed.migrate().await.unwrap();
        Self::new(bed, "bank").await
    }

    async fn run(&self, sql: &'static str) {
        sqlx::raw_sql(sql)
            .execute(&self.pool)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    async fn problems(&self) -> Vec<SourceProblem> {
        let url = self.bed.postgres().url_of(self.database);
        let url = url.replacen("postgres:riverbank@", "stranger:stranger@", 1);
        assert!(url.contains("stranger@"), "{url}");
        check_source(&url, &self.expected).await.unwrap()
    }

    /// Sees that exactly these kinds are found, apart from advice, and that each reason has its word.
    #[track_caller]
    fn check(found: &[SourceProblem], expected: &[(ProblemKind, &str)]) {
        // The signals' table is checked as the heartbeat's is.
        let is_asked = |problem: &&SourceProblem| !problem.kind.is_advice() && !problem.reason.contains("riverbank_signals");
        let found: Vec<&SourceProblem> = found.iter().filter(is_asked).collect();
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (problem, (kind, word)) in found.iter().zip(expected) {
            assert_eq!(problem.kind, *kind, "{found:#?}");
            assert!(problem.reason.contains(word), "{word} in {}", problem.reason);
        }
    }
}

#[tokio::test]
async fn a_source_as_it_should_be_has_no_problem() {
    let source = Source::own().await;
    Source::check(&source.problems().await, &[]);
}

#[tokio::test]
async fn a_table_that_was_renamed_and_made_anew_is_missed_until_it_is_published() {
    let source = Source::own().await;
    source
        .run("ALTER TABLE customers RENAME TO customers_old; CREATE TABLE customers (LIKE customers_old INCLUDING ALL)")
        .await;
    Source::check(
        &source.problems().await,
        &[
            (
                ProblemKind::NotPublished,
                "ALTER PUBLICATION riverbank ADD TABLE public.customers;",
            ),
            (ProblemKind::NotCaptured, "public.customers_old"),
            (
                ProblemKind::ReplicaIdentity,
                "ALTER TABLE public.customers REPLICA IDENTITY FULL",
            ),
            (ProblemKind::NotReadable, "GRANT SELECT ON public.customers TO riverbank_cdc"),
        ],
    );
    // What the reasons say fixes it.
    source
        .run(
            "ALTER PUBLICATION riverbank ADD TABLE public.customers; ALTER PUBLICATION riverbank DROP TABLE public.customers_old;
             ALTER TABLE public.customers REPLICA IDENTITY FULL; GRANT SELECT ON public.customers TO riverbank_cdc",
        )
        .await;
    Source::check(&source.problems().await, &[]);
}

#[tokio::test]
async fn publications_that_leave_something_out() {
    let source = Source::own().await;
    source
        .run("ALTER PUBLICATION riverbank SET (publish = 'insert, update')")
        .await;
    Source::check(
        &source.problems().await,
        &[(ProblemKind::PublicationPartial, "every delete, truncate")],
    );
    source
        .run(
            "DROP PUBLICATION riverbank;
             CREATE PUBLICATION riverbank FOR TABLE customers WHERE (id > 5), accounts (id, customer_id), transactions",
        )
        .await;
    Source::check(
        &source.problems().await,
        &[
            (ProblemKind::PublicationPartial, "public.customers"),
            (ProblemKind::PublicationPartial, "public.accounts"),
            (ProblemKind::NotPublished, "public.riverbank_heartbeat"),
        ],
    );
    source
        .run("DROP PUBLICATION riverbank; CREATE PUBLICATION riverbank FOR ALL TABLES")
        .await;
    Source::check(&source.problems().await, &[]);
    source.run("DROP PUBLICATION riverbank").await;
    Source::check(
        &source.problems().await,
        &[(ProblemKind::PublicationMissing, "CREATE PUBLICATION riverbank")],
    );
}

#[tokio::test]
async fn keys_tables_and_columns_that_do_not_fit() {
    let mut source = Source::own().await;
    source
        .run(
            r#"ALTER TABLE customers ADD "Kunden-Nr" text, ADD "Kunden_Nr" text;
               ALTER TABLE accounts REPLICA IDENTITY NOTHING;
               ALTER TABLE transactions DROP CONSTRAINT transactions_pkey, ADD PRIMARY KEY (id, account_id)"#,
        )
        .await;
    let found = source.problems().await;
    Source::check(
        &found,
        &[
            (ProblemKind::ReplicaIdentity, "public.accounts"),
            (ProblemKind::Key, "id int8, account_id int8"),
            (ProblemKind::NameCollision, r#""Kunden-Nr" and "Kunden_Nr""#),
        ],
    );
    assert!(found.iter().any(|problem| problem.kind.stops_capture()));
    source.expected.excluded_columns = ColumnPatterns::of_names(&["public.customers.Kunden-Nr".to_owned()]);
    source.run(r#"ALTER TABLE transactions RENAME TO bookings"#).await;
    Source::check(
        &source.problems().await,
        &[
            (ProblemKind::NotPublished, "public.transactions"),
            (ProblemKind::NotCaptured, "public.bookings"),
            (ProblemKind::ReplicaIdentity, "public.accounts"),
            (ProblemKind::TableMissing, "public.transactions"),
        ],
    );
}

#[tokio::test]
async fn the_connectors_login_must_read_what_it_captures() {
    let mut source = Source::own().await;
    // Rights to every column that is captured are enough.
    source
        .run(
            "REVOKE SELECT ON customers, riverbank_heartbeat FROM riverbank_cdc; ALTER TABLE customers ADD secret text;
             GRANT SELECT (id, first_name, last_name, email, created_at, updated_at) ON customers TO riverbank_cdc",
        )
        .await;
    let heartbeat = (
        ProblemKind::NotReadable,
        "GRANT SELECT ON public.riverbank_heartbeat TO riverbank_cdc",
    );
    let customers = (ProblemKind::NotReadable, "GRANT SELECT ON public.customers TO riverbank_cdc");
    Source::check(&source.problems().await, &[customers, heartbeat]);
    source.expected.excluded_columns = ColumnPatterns::of_list("public.customers.sec.*");
    Source::check(&source.problems().await, &[heartbeat]);
    // Another login is the connector's.
    source.expected.capture_role = "somebody".to_owned();
    Source::check(&source.problems().await, &[]);
    source.run("CREATE ROLE \"Some Body\"").await;
    source.expected.capture_role = "Some Body".to_owned();
    let found = source.problems().await;
    let grant = "GRANT SELECT ON public.accounts TO \"Some Body\"";
    assert!(found.iter().any(|problem| problem.reason.contains(grant)), "{found:#?}");
}

#[tokio::test]
async fn rows_in_partitions_and_child_tables_are_told() {
    let source = Source::own().await;
    source.run("CREATE TABLE transactions_child () INHERITS (transactions)").await;
    let child = (
        ProblemKind::Parts,
        "inherit from public.transactions (public.transactions_child)",
    );
    Source::check(&source.problems().await, &[child]);
    source
        .run(
            "DROP TABLE transactions_child; DROP TABLE transactions;
             CREATE TABLE transactions (id BIGINT PRIMARY KEY, account_id BIGINT, txn_type TEXT, amount NUMERIC(20, 4) CHECK (amount <> 'NaN'))
                 PARTITION BY RANGE (id);
             CREATE TABLE transactions_p0 PARTITION OF transactions DEFAULT;
             ALTER TABLE transactions REPLICA IDENTITY FULL; ALTER TABLE transactions_p0 REPLICA IDENTITY FULL;
             ALTER PUBLICATION riverbank ADD TABLE transactions; GRANT SELECT ON transactions TO riverbank_cdc",
        )
        .await;
    let found = source.problems().await;
    let told = |found: &[SourceProblem]| found.iter().any(|problem| problem.kind == ProblemKind::Parts);
    assert!(
        told(&found)
            && found
                .iter()
                .any(|problem| problem.reason.contains("publish_via_partition_root = true")),
        "{found:#?}"
    );
    source
        .run("ALTER PUBLICATION riverbank SET (publish_via_partition_root = true)")
        .await;
    let found = source.problems().await;
    assert!(!told(&found), "{found:#?}");
}

/// A snapshot would show a part of the table, and look like one of all of it.
#[tokio::test]
async fn row_security_that_hides_rows_from_the_connector_is_told() {
    let source = Source::own().await;
    source.run("ALTER TABLE accounts ENABLE ROW LEVEL SECURITY").await;
    let hidden = (ProblemKind::RowSecurity, "ALTER ROLE riverbank_cdc BYPASSRLS");
    Source::check(&source.problems().await, &[hidden]);
    source.run("ALTER ROLE riverbank_cdc BYPASSRLS").await;
    Source::check(&source.problems().await, &[]);
    // An owner sees all, unless that is forced.
    source
        .run(
            "ALTER ROLE riverbank_cdc NOBYPASSRLS; CREATE ROLE owners; GRANT owners TO riverbank_cdc;
             ALTER TABLE accounts OWNER TO owners",
        )
        .await;
    Source::check(&source.problems().await, &[]);
    source.run("ALTER TABLE accounts FORCE ROW LEVEL SECURITY").await;
    Source::check(&source.problems().await, &[hidden]);
}

#[tokio::test]
async fn columns_that_need_quotes_can_be_left_out_and_what_the_connector_leaves_out_counts() {
    let mut source = Source::own().await;
    source
        .run(
            r#"ALTER TABLE accounts ADD "Fee-1" numeric, ADD "Fee_1" numeric CHECK ("Fee_1" <> 'NaN');
               ALTER TABLE customers ADD "a,b" text, ADD "a b" text, ADD "a€b" text"#,
        )
        .await;
    let found = |source: &Source| {
        let (url, expected) = (source.bed.postgres().url(), source.expected.clone());
        async move {
            let found = check_source(&url, &expected).await.unwrap();
            found.into_iter().map(|problem| problem.kind).collect::<Vec<_>>()
        }
    };
    let (collision, nan) = (ProblemKind::NameCollision, ProblemKind::NanPossible);
    assert_eq!(found(&source).await, [collision, collision, nan]);
    // As `riverbank connect` writes names.
    let named = ["public.accounts.Fee-1", "public.customers.a,b", "public.customers.a€b"].map(str::to_owned);
    source.expected.excluded_columns = ColumnPatterns::of_names(&named);
    assert_eq!(found(&source).await, []);
    // As somebody wrote them; Debezium knows no case.
    let as_running = |source: &Source, list: &str| {
        let running = RunningSettings {
            excluded_columns: Some(list.to_owned()),
            login: None,
        };
        source.expected.clone().as_running(&running)
    };
    source.expected = as_running(&source, r"public.accounts.fee-\d, public\.customers\.a[^_]b");
    assert_eq!(found(&source).await, []);
    // One that Postgres cannot read leaves nothing out, and the others count all the same.
    source.expected = as_running(&source, r"public\.accounts\.(Fee-1, public\.customers\.a[^_]b");
    assert_eq!(found(&source).await, [collision, nan]);
    // A connector that leaves nothing out.
    source.expected = source.expected.clone().as_running(&RunningSettings::default());
    assert_eq!(found(&source).await, [collision, collision, nan]);
}

#[tokio::test]
async fn triggers_of_the_ledger_that_are_off_are_told() {
    let source = Source::own().await;
    source
        .run("ALTER TABLE transactions DISABLE TRIGGER ledger_on_update; ALTER TABLE accounts DISABLE TRIGGER USER")
        .await;
    Source::check(
        &source.problems().await,
        &[
            (ProblemKind::LedgerOff, "public.transactions are disabled (ledger_on_update)"),
            (ProblemKind::LedgerOff, "ALTER TABLE public.accounts ENABLE TRIGGER USER"),
        ],
    );
    source
        .run("ALTER TABLE transactions DISABLE TRIGGER ALL; ALTER TABLE accounts ENABLE TRIGGER USER")
        .await;
    Source::check(
        &source.problems().await,
        &[(ProblemKind::LedgerOff, "ALTER TABLE public.transactions ENABLE TRIGGER ALL")],
    );
    source
        .run(
            "ALTER TABLE transactions ENABLE TRIGGER ALL; ALTER TABLE transactions ENABLE ALWAYS TRIGGER transactions_guard;
             DROP TRIGGER ledger_on_delete ON transactions",
        )
        .await;
    Source::check(
        &source.problems().await,
        &[(ProblemKind::LedgerOff, "public.transactions are gone (ledger_on_delete)")],
    );
}

#[tokio::test]
async fn a_narrow_source_is_right_as_it_is_and_its_checks_let_nan_in() {
    let bed = Testbed::builder().postgres().start().await.unwrap();
    bed.create_batch_stack("narrow").await.unwrap();
    let source = Source::new(bed, "narrow").await;
    let found = source.problems().await;
    Source::check(&found, &[]);
    let with_nan = |found: &[SourceProblem]| -> Vec<String> {
        let columns = found.iter().filter(|problem| problem.kind == ProblemKind::NanPossible);
        columns
            .map(|problem| problem.reason.split(' ').next().unwrap_or_default().to_owned())
            .collect()
    };
    // `balance >= 0` and `amount > 0` do not refuse it.
    assert_eq!(with_nan(&found), ["public.accounts.balance", "public.transactions.amount"]);
    source
        .run(
            "ALTER TABLE transactions ADD CHECK (amount <> 'NaN');
             ALTER TABLE accounts ADD CHECK (balance < 1000000000000) NOT VALID;
             CREATE DOMAIN fee AS numeric(9, 2) CHECK (VALUE < 'Infinity'); ALTER TABLE accounts ADD fee fee",
        )
        .await;
    assert_eq!(with_nan(&source.problems().await), Vec::<String>::new());
    source
        .run("DROP TABLE transactions CASCADE; ALTER TABLE accounts DROP CONSTRAINT accounts_pkey")
        .await;
    let found = source.problems().await;
    let kinds: Vec<ProblemKind> = found.iter().map(|problem| problem.kind).collect();
    assert_eq!(
        kinds,
        [
            ProblemKind::NotPublished,
            ProblemKind::Key,
            ProblemKind::ReplicaIdentity,
            ProblemKind::TableMissing
        ]
    );
}

#[tokio::test]
async fn a_slot_that_is_missing_or_lost_is_told() {
    let mut source = Source::own().await;
    source.expected.slot = Some("riverbank".to_owned());
    Source::check(&source.problems().await, &[(ProblemKind::SlotMissing, "riverbank")]);
    source
        .run("SELECT pg_create_logical_replication_slot('riverbank', 'pgoutput')")
        .await;
    Source::check(&source.problems().await, &[]);
    let mut connection = look_into(&source.bed.postgres().url()).await.unwrap();
    let slot = slot_state(&mut connection, "riverbank").await.unwrap().unwrap();
    assert_eq!((slot.is_active, slot.wal_status.as_str()), (false, "reserved"));
    assert!(
        slot.retained_bytes.is_some_and(|bytes| bytes >= 0) && slot.safe_bytes.is_none(),
        "{slot:?}"
    );

    source.run("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'").await;
    source.run("SELECT pg_reload_conf()").await;
    // The next checkpoint gives up what lies further back.
    for _ in 0..5 {
        source
            .run("CREATE TABLE filler (); DROP TABLE filler; SELECT pg_switch_wal()")
            .await;
    }
    source.run("CHECKPOINT").await;
    Source::check(&source.problems().await, &[(ProblemKind::SlotLost, "riverbank")]);
    assert!(slot_state(&mut connection, "riverbank").await.unwrap().unwrap().is_lost());
}
