//! What comes otherwise than one change in one transaction: snapshots, sweeps, truncates, keys that change, sources that name no
//! transaction.

use processors::scd2::{CustomerHistory, History};
use processors::silver::{Change, ChangePosition};
use processors::stores;
use schemas::CustomerId;
use schemas::bronze::{AccountRow, CustomerRow, Envelope, Op};
use schemas::silver::Customer;
use schemas::topics::*;
use topology::Micros;
use topology::dsl::Builder;
use topology::testing::TestDriver;

use crate::support::{Bench, account, money};

fn customer(id: i64, first_name: &str) -> CustomerRow {
    CustomerRow {
        id,
        first_name: Some(first_name.into()),
        last_name: Some("Ng".into()),
        email: Some(format!("{id}@b.c")),
        created_at: None,
        updated_at: None,
    }
}

/// A customer's versions in short: number, first name, whether it is deleted; and that they follow one another without a gap.
#[track_caller]
fn check(bank: &Bench, id: i64, expected: &[(i64, &str, bool)]) {
    let all = bank.driver.view(stores::CUSTOMER_VERSIONS).into_iter();
    let versions: Vec<_> = all
        .map(|(_, version)| version)
        .filter(|version| version.customer_id.0 == id)
        .collect();
    let shown: Vec<_> = versions
        .iter()
        .map(|version| (version.version, version.first_name.as_str(), version.is_deleted))
        .collect();
    assert_eq!(shown, expected);
    for pair in versions.windows(2) {
        assert!(pair[0].valid_from < pair[1].valid_from && !pair[0].is_current);
        assert_eq!(pair[0].valid_to, Some(pair[1].valid_from), "no gap");
    }
    assert!(
        versions
            .iter()
            .rev()
            .take(1)
            .all(|newest| newest.is_current && newest.valid_to.is_none())
    );
}

fn send(bank: &mut Bench, op: Op, id: i64, first_name: &str) {
    let event = bank.event(op, (op != Op::Delete).then(|| customer(id, first_name)));
    bank.send(CDC_CUSTOMERS, id, &event);
}

/// These events as one transaction: of one number, committed at one time.
fn in_one_transaction(events: &mut [&mut Envelope<CustomerRow>]) {
    let last = events.last().unwrap().source.clone();
    for event in events {
        (event.source.tx_id, event.source.ts_ms) = (last.tx_id, last.ts_ms);
    }
}

#[test]
fn a_snapshot_begins_a_history_and_changes_it_only_where_the_row_is_another() {
    let mut bank = Bench::new();
    let first = bank.read("first", customer(1, "Ada"));
    let last = bank.read("last", customer(2, "Bo"));
    bank.sends(CDC_CUSTOMERS, &[&first, &last]);
    check(&bank, 1, &[(1, "Ada", false)]);
    send(&mut bank, Op::Update, 1, "Eve");
    check(&bank, 1, &[(1, "Ada", false), (2, "Eve", false)]);
    // The same again, an incremental one, and one of a restored server that knows another name.
    bank.sends(CDC_CUSTOMERS, &[&first, &last]);
    let mut incremental = bank.read("incremental", customer(1, "Eve"));
    incremental.source.lsn = None;
    bank.sends(CDC_CUSTOMERS, &[&incremental]);
    check(&bank, 1, &[(1, "Ada", false), (2, "Eve", false)]);
    bank.restore();
    let first = bank.read("first", customer(1, "Eva"));
    let last = bank.read("last", customer(2, "Bo"));
    bank.sends(CDC_CUSTOMERS, &[&first, &last]);
    check(&bank, 1, &[(1, "Ada", false), (2, "Eve", false), (3, "Eva", false)]);
    check(&bank, 2, &[(1, "Bo", false)]);
    let versions = bank.driver.view(stores::CUSTOMER_VERSIONS);
    let eva = versions
        .into_iter()
        .map(|(_, version)| version)
        .find(|version| version.first_name == "Eva");
    let eva = eva.unwrap();
    assert_eq!((eva.valid_from.to_millis().0, eva.source_tx_id), (bank.clock_ms, None));
}

#[test]
fn what_a_snapshot_does_not_show_ends_and_comes_back() {
    let mut bank = Bench::new();
    for (id, name) in [(1, "Ada"), (2, "Bo"), (3, "Cy")] {
        send(&mut bank, Op::Create, id, name);
    }
    bank.restore();
    let first = bank.read("first", customer(1, "Ada"));
    let last = bank.read("last", customer(3, "Cy"));
    bank.sends(CDC_CUSTOMERS, &[&first, &last]);
    check(&bank, 1, &[(1, "Ada", false)]);
    check(&bank, 2, &[(1, "Bo", false), (2, "Bo", true)]);
    send(&mut bank, Op::Create, 2, "Bo");
    check(&bank, 2, &[(1, "Bo", false), (2, "Bo", true), (3, "Bo", false)]);
}

#[test]
fn a_truncate_ends_all_histories_but_those_that_its_transaction_goes_on_with() {
    let mut bank = Bench::new();
    for (id, name) in [(1, "Ada"), (2, "Bo"), (3, "Cy")] {
        send(&mut bank, Op::Create, id, name);
    }
    let mut truncate = bank.event::<CustomerRow>(Op::Truncate, None);
    let mut same = bank.event(Op::Create, Some(customer(1, "Ada")));
    let mut another = bank.event(Op::Create, Some(customer(2, "Bea")));
    in_one_transaction(&mut [&mut truncate, &mut same, &mut another]);
    bank.send_to(CDC_CUSTOMERS, 0, None, &truncate);
    bank.sends(CDC_CUSTOMERS, &[&same, &another]);
    check(&bank, 1, &[(1, "Ada", false)]);
    check(&bank, 2, &[(1, "Bo", false), (2, "Bea", false)]);
    check(&bank, 3, &[(1, "Cy", false), (2, "Cy", true)]);
    // In a transaction of its own it is a deletion.
    let truncate = bank.event::<CustomerRow>(Op::Truncate, None);
    bank.send_to(CDC_CUSTOMERS, 0, None, &truncate);
    send(&mut bank, Op::Create, 1, "Ada");
    check(&bank, 1, &[(1, "Ada", false), (2, "Ada", true), (3, "Ada", false)]);
}

/// A history of which nothing was kept, as after an upgrade.
#[test]
fn a_row_that_was_there_before_begins_with_what_it_was() {
    let builder = Builder::new("histories");
    builder
        .stream(SILVER_CUSTOMERS)
        .map_values(|_, row| {
            let (first_name, source_ts) = ("Ada".to_owned(), row.source_ts - 7);
            Change {
                before: Some(Customer {
                    first_name,
                    source_ts,
                    source_lsn: 5,
                    ..row.clone()
                }),
                after: Some(row.clone()),
                version: 2,
                at: ChangePosition {
                    lsn: row.source_lsn,
                    committed_at_us: Micros(row.source_ts),
                },
                tx_id: Some(3),
                order: None,
                is_streamed: true,
            }
        })
        .process(
            "history",
            (stores::CUSTOMER_VERSIONS, stores::CUSTOMER_NEWEST),
            History::<CustomerHistory>::default,
        );
    let mut driver = TestDriver::new(builder.build().unwrap()).unwrap();
    let row = Customer {
        id: CustomerId(1),
        first_name: "Bo".to_owned(),
        last_name: "Ng".to_owned(),
        email: "a@b.c".to_owned(),
        created_at: 0,
        updated_at: 0,
        source_lsn: 10,
        source_ts: 1_000,
    };
    driver.send(SILVER_CUSTOMERS, 1, &row.id, Some(&row));
    let versions: Vec<_> = driver.view(stores::CUSTOMER_VERSIONS).into_iter().map(|(_, v)| v).collect();
    let shown: Vec<_> = versions
        .iter()
        .map(|v| {
            (
                v.version,
                v.first_name.as_str(),
                v.valid_from.0,
                v.valid_to,
                v.source_lsn,
                v.source_tx_id,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (1, "Ada", 0, Some(Micros(1_000)), 5, None),
            (2, "Bo", 1_000, None, 10, Some(3))
        ]
    );
}

/// As Debezium tells of it: the old key's row is deleted, the new key's one made, in one transaction.
#[test]
fn rows_that_swap_their_keys_have_a_version_each() {
    let mut bank = Bench::new();
    send(&mut bank, Op::Create, 1, "Ada");
    send(&mut bank, Op::Create, 2, "Bo");
    let mut events = Vec::new();
    for (id, name) in [
        (1, None),
        (9, Some("Ada")),
        (2, None),
        (1, Some("Bo")),
        (9, None),
        (2, Some("Ada")),
    ] {
        let op = if name.is_some() { Op::Create } else { Op::Delete };
        events.push((id, bank.event(op, name.map(|name| customer(id, name)))));
    }
    in_one_transaction(&mut events.iter_mut().map(|(_, event)| event).collect::<Vec<_>>());
    for (id, event) in &events {
        bank.send(CDC_CUSTOMERS, *id, event);
        if event.op == Op::Delete {
            bank.driver
                .send(CDC_CUSTOMERS, event.source.ts_ms, &schemas::bronze::CdcKey { id: *id }, None);
        }
    }
    check(&bank, 1, &[(1, "Ada", false), (2, "Bo", false)]);
    check(&bank, 2, &[(1, "Bo", false), (2, "Ada", false)]);
    check(&bank, 9, &[]);
    // For good, and not only within a transaction.
    send(&mut bank, Op::Delete, 2, "");
    send(&mut bank, Op::Create, 3, "Ada");
    check(&bank, 2, &[(1, "Bo", false), (2, "Ada", false), (3, "Ada", true)]);
    check(&bank, 3, &[(1, "Ada", false)]);
}

#[test]
fn without_a_transaction_each_change_is_one() {
    let mut bank = Bench::new();
    for (op, name) in [(Op::Create, "Ada"), (Op::Update, "Bo"), (Op::Update, "Ada"), (Op::Delete, "")] {
        let mut event = bank.event(op, (op != Op::Delete).then(|| customer(1, name)));
        event.source.tx_id = None;
        event.source.ts_ms = 1_700_000_000_000;
        bank.send(CDC_CUSTOMERS, 1, &event);
    }
    check(
        &bank,
        1,
        &[(1, "Ada", false), (2, "Bo", false), (3, "Ada", false), (4, "Ada", true)],
    );
    let from: Vec<Micros> = bank
        .driver
        .view(stores::CUSTOMER_VERSIONS)
        .into_iter()
        .map(|(_, v)| v.valid_from)
        .collect();
    assert_eq!(from, [0, 1, 2, 3].map(|more| Micros(1_700_000_000_000_000 + more)));
}

/// A restored server counts its transactions from lower numbers again.
#[test]
fn a_transaction_s_number_that_comes_again_is_another_transaction() {
    let mut bank = Bench::new();
    send(&mut bank, Op::Create, 1, "Ada");
    bank.restore();
    send(&mut bank, Op::Update, 1, "Bo");
    let versions = bank.driver.view(stores::CUSTOMER_VERSIONS);
    assert!(versions.iter().all(|(_, version)| version.source_tx_id == Some(10)));
    check(&bank, 1, &[(1, "Ada", false), (2, "Bo", false)]);
}

#[test]
fn a_row_that_breaks_a_rule_makes_no_version() {
    let mut bank = Bench::new();
    send(&mut bank, Op::Create, 1, "Ada");
    send(&mut bank, Op::Update, 1, " ");
    check(&bank, 1, &[(1, "Ada", false)]);
    send(&mut bank, Op::Update, 1, " Bo ");
    check(&bank, 1, &[(1, "Ada", false), (2, "Bo", false)]);
}

#[test]
fn an_account_has_versions_by_owner_type_and_status_but_not_by_balance() {
    let mut bank = Bench::new();
    let mut row = account(1, "100.00");
    let send = |bank: &mut Bench, op, row: &AccountRow| {
        let event = bank.event(op, Some(row.clone()));
        bank.send(CDC_ACCOUNTS, 1, &event);
    };
    send(&mut bank, Op::Create, &row);
    row.balance = Some(money("90.00"));
    send(&mut bank, Op::Update, &row);
    row.customer_id = Some(2);
    send(&mut bank, Op::Update, &row);
    row.account_type = Some("SAVINGS".into());
    send(&mut bank, Op::Update, &row);
    row.status = Some("INACTIVE".into());
    send(&mut bank, Op::Update, &row);
    row.currency = Some("jpy".into());
    send(&mut bank, Op::Update, &row);
    let gone = bank.event(Op::Delete, None);
    bank.send(CDC_ACCOUNTS, 1, &gone);
    let written = bank.driver.drain(ACCOUNT_HISTORY).len();
    let versions: Vec<_> = bank
        .driver
        .view(stores::ACCOUNT_VERSIONS)
        .into_iter()
        .map(|(_, v)| v)
        .collect();
    let shown: Vec<_> = versions
        .iter()
        .map(|v| {
            let columns = (
                v.customer_id.0,
                v.account_type.as_str(),
                v.currency.as_str(),
                v.status.as_str(),
            );
            (v.version, columns, v.is_current, v.is_deleted)
        })
        .collect();
    let expected = [
        (1, (1, "CHECKING", "EUR", "ACTIVE"), false, false),
        (2, (2, "CHECKING", "EUR", "ACTIVE"), false, false),
        (3, (2, "SAVINGS", "EUR", "ACTIVE"), false, false),
        (4, (2, "SAVINGS", "EUR", "INACTIVE"), false, false),
        (5, (2, "SAVINGS", "JPY", "INACTIVE"), false, false),
        (6, (2, "SAVINGS", "JPY", "INACTIVE"), true, true),
    ];
    assert_eq!(shown, expected);
    assert_eq!(
        written, 11,
        "each version once when it opens and once when it closes; nothing for a balance"
    );
    assert!(
        versions.windows(2).all(|pair| pair[0].valid_to == Some(pair[1].valid_from)),
        "no gap"
    );
}

/// A snapshot over a slot that lives on: what it has seen is streamed behind it.
#[test]
fn what_a_snapshot_has_seen_already_is_no_version() {
    let mut bank = Bench::new();
    send(&mut bank, Op::Create, 1, "Ada");
    let paused = [Op::Update, Op::Update].map(|op| bank.event(op, Some(customer(1, "Bo"))));
    let created = bank.event(Op::Create, Some(customer(2, "Eve")));
    bank.clock_ms += 1_000;
    bank.lsn += 100;
    let rows = [bank.read("first", customer(1, "Cy")), bank.read("last", customer(2, "Eve"))];
    bank.sends(CDC_CUSTOMERS, &[&rows[0], &rows[1]]);
    let mut cy = paused[1].clone();
    cy.after = Some(customer(1, "Cy"));
    bank.sends(CDC_CUSTOMERS, &[&paused[0], &cy, &created]);
    check(&bank, 1, &[(1, "Ada", false), (2, "Cy", false)]);
    check(&bank, 2, &[(1, "Eve", false)]);
    // And then it goes on.
    send(&mut bank, Op::Update, 1, "Dag");
    check(&bank, 1, &[(1, "Ada", false), (2, "Cy", false), (3, "Dag", false)]);
}
