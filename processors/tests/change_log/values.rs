//! Values that cannot be kept, or not as they are.

use processors::stores;
use schemas::Money;
use schemas::bronze::{Op, TransactionRow};
use schemas::time::{INSTANT_MAX, INSTANT_MIN, NO_INSTANT};
use schemas::topics::*;

use crate::support::{Bench, account, deposit, transaction};

/// An amount that cannot be kept costs nothing but itself: neither the change after it, which shows it as what was before, nor
/// the row when a snapshot shows it.
#[test]
fn an_amount_that_cannot_be_kept_is_set_aside_by_row() {
    let mut bank = Bench::new();
    bank.account(1, "100.00");
    bank.transaction(Op::Create, deposit(1, 1, "5.00"));
    bank.transaction(Op::Create, deposit(2, 1, "5.00"));
    let unfit = TransactionRow {
        amount: Some(Money::UNFIT),
        ..deposit(1, 1, "5.00")
    };
    bank.transaction(Op::Update, unfit.clone());
    bank.check(&[(1, "110.00", "110.00")]);
    assert_eq!(bank.rejected(), [(1, "amount_in_range".to_owned())]);
    bank.restore();
    let first = bank.read("first_in_data_collection", unfit.clone());
    let last = bank.read("last_in_data_collection", deposit(2, 1, "5.00"));
    bank.sends(CDC_TRANSACTIONS, &[&first, &last]);
    bank.check(&[(1, "110.00", "110.00")]);
    let mut smaller = bank.event(Op::Update, Some(deposit(1, 1, "1.00")));
    smaller.before = Some(unfit);
    bank.sends(CDC_TRANSACTIONS, &[&smaller]);
    bank.check(&[(1, "106.00", "106.00")]);
    assert!(bank.driver.drain_bytes("riverbank-dead-letters").is_empty());
}

/// A date that cannot be kept never costs the money beside it.
#[test]
fn a_date_that_cannot_be_kept_is_noted_and_the_money_is_booked() {
    let mut bank = Bench::new();
    bank.account(1, "100.00");
    for (id, instant) in [(1, INSTANT_MAX), (2, INSTANT_MIN), (3, NO_INSTANT)] {
        let row = TransactionRow {
            created_at: Some(instant),
            ..deposit(id, 1, "5.00")
        };
        bank.transaction(Op::Create, row);
    }
    bank.check(&[(1, "115.00", "115.00")]);
    let noted = bank.rejected();
    assert_eq!(noted, [1, 2, 3].map(|id| (id, "instant_in_range".to_owned())));
    let dates: Vec<i64> = bank
        .driver
        .view(stores::TRANSACTIONS)
        .into_iter()
        .map(|(_, applied)| applied.row.unwrap().created_at)
        .collect();
    assert_eq!(dates[..2], [INSTANT_MAX, INSTANT_MIN]);
    assert!(schemas::time::is_kept(dates[2]), "the commit's time, in place of no instant");
}

/// Money has its currency's scale, and an account with entries its currency.
#[test]
fn an_amount_that_its_currency_cannot_have_is_not_booked() {
    let mut bank = Bench::new();
    for (id, currency, opening) in [
        (1, "JPY", "100.00"),
        (2, "KWD", "1.234"),
        (3, "XCG", "1.00"),
        (4, "CLF", "0.0001"),
    ] {
        let mut row = account(id, opening);
        row.currency = Some(currency.into());
        let event = bank.event(Op::Create, Some(row));
        bank.sends(CDC_ACCOUNTS, &[&event]);
    }
    for (id, account, amount) in [
        (1, 1, "0.50"),
        (2, 1, "50.00"),
        (3, 2, "0.001"),
        (4, 3, "0.01"),
        (5, 4, "0.0002"),
    ] {
        bank.transaction(Op::Create, deposit(id, account, amount));
    }
    let balances = |bank: &Bench| -> Vec<String> {
        let view = bank.driver.view(stores::BALANCES);
        view.iter()
            .map(|(_, b)| format!("{} {}", b.booked.in_currency(b.currency), b.currency))
            .collect()
    };
    assert_eq!(balances(&bank), ["150 JPY", "1.235 KWD", "1.01 XCG", "0.0003 CLF"]);
    assert_eq!(bank.rejected(), [(1, "currency_scale".to_owned())]);
    // Taking it back takes back nothing.
    bank.transaction(Op::Update, transaction(1, 1, "DEPOSIT", "0.50", "REVERSED"));
    assert_eq!(balances(&bank)[0], "150 JPY");
    assert!(bank.driver.view(stores::WAITING).is_empty());
}

/// A source that knows no rule for it: the currency stays, since amounts of two currencies are never added.
#[test]
fn a_narrow_sources_account_keeps_its_currency() {
    let mut bank = Bench::new();
    let narrow = |currency: &str| {
        let mut row = account(1, "100.00");
        row.opening_balance = None;
        row.currency = Some(currency.into());
        row
    };
    let opened = bank.event(Op::Create, Some(narrow("JPY")));
    bank.sends(CDC_ACCOUNTS, &[&opened]);
    bank.transaction(Op::Create, deposit(1, 1, "50.00"));
    let changed = bank.event(Op::Update, Some(narrow("EUR")));
    bank.sends(CDC_ACCOUNTS, &[&changed]);
    bank.check(&[(1, "150.00", "150.00")]);
    assert_eq!(bank.rejected(), [(1, "currency_fixed".to_owned())]);
    assert_eq!(bank.driver.view(stores::BALANCES)[0].1.currency.as_str(), "JPY");
}

/// The placeholder for a value that was left out is meant only where the change log may leave something out.
#[test]
fn a_text_like_the_placeholder_is_a_text() {
    let mut bank = Bench::new();
    let row = |name: &str| schemas::bronze::CustomerRow {
        id: 1,
        first_name: Some(name.into()),
        last_name: Some("Lovelace".into()),
        email: Some("ada@example.org".into()),
        ..Default::default()
    };
    let placeholder = schemas::bronze::UNAVAILABLE_VALUE;
    let first_name = |bank: &Bench| bank.driver.view(stores::CUSTOMERS)[0].1.row.clone().unwrap().first_name;
    let created = bank.event(Op::Create, Some(row("Ada")));
    let left_out = bank.event(Op::Update, Some(row(placeholder)));
    bank.sends(CDC_CUSTOMERS, &[&created, &left_out]);
    assert_eq!(first_name(&bank), "Ada");
    let mut typed = bank.event(Op::Update, Some(row(placeholder)));
    typed.before = Some(row("Ada"));
    bank.sends(CDC_CUSTOMERS, &[&typed]);
    assert_eq!(first_name(&bank), placeholder);
}
