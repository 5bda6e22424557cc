//! What an account opened with and its currency change without a posting.

use schemas::Money;
use schemas::bronze::{AccountRow, Op};
use serde_json::{Value, json};

use super::{DAY_US, HOUR_US, START_US, World, account, money, row, text};

/// Adds up amounts of an answer; one that is not there is nothing.
fn total<'a>(amounts: impl IntoIterator<Item = &'a Value>) -> Money {
    let amounts = amounts.into_iter().filter_map(Value::as_str);
    amounts.fold(Money::ZERO, |sum, amount| sum.checked_add(money(amount)).unwrap())
}

/// An account is deleted, and one is made under its id that opens with another amount. That is no posting, and yet all sums are right.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_made_anew_has_what_it_opens_with() {
    for is_row_first in [false, true] {
        let mut world = World::new();
        let deposit = row(1, "DEPOSIT", "50.00", "COMPLETED", START_US);
        world.commit(HOUR_US, Op::Create, deposit.clone());
        let before = world.now;
        let made = START_US + DAY_US;
        if is_row_first {
            // Rows and transactions come over different topics.
            world.account(DAY_US - HOUR_US, Op::Create, account("EUR", "500.00", made));
            world.now = made - HOUR_US;
            world.commit(0, Op::Delete, deposit);
            world.now = made;
        } else {
            world.commit(HOUR_US, Op::Delete, deposit);
            world.account(HOUR_US, Op::Delete, account("EUR", "100.00", START_US));
            world.now = made;
            world.account(0, Op::Create, account("EUR", "500.00", made));
        }
        let check = async |world: &World, booked: &str| {
            let now = text(world.now);
            for query in [
                "",
                &format!("?recorded_at={now}"),
                &format!("?effective_at={now}&recorded_at={now}"),
            ] {
                let answer = world.get(&format!("/accounts/1/balance{query}")).await;
                assert_eq!(answer["booked"], json!(booked), "row first: {is_row_first}, {query}");
            }
            let explained = world.get("/accounts/1/balance/explain").await;
            let parts = total(["brought_forward", "credits", "opening_change"].map(|field| &explained[field]));
            let sum = parts.checked_sub(total([&explained["debits"]])).unwrap();
            assert_eq!(
                (json!(sum.to_string()), &explained["booked"]),
                (json!(booked), &json!(booked))
            );
            let mut opening = json!("100.00");
            for month in ["2026-01", "2026-02"] {
                let (whole, lines) = world.statement(month, 1).await;
                assert_eq!(whole["opening"], opening, "row first: {is_row_first}, {month}");
                let changes = lines.iter().flat_map(|line| [&line["amount"], &line["opening_change"]]);
                let sum = total([&whole["opening"], &whole["opening_change"]].into_iter().chain(changes));
                assert_eq!(json!(sum.to_string()), whole["closing"], "row first: {is_row_first}, {month}");
                opening = whole["closing"].clone();
            }
            assert_eq!(opening, json!(booked));
        };
        world.be_silent();
        check(&world, "500.00").await;
        world.now += DAY_US;
        world.account(
            0,
            Op::Update,
            AccountRow {
                customer_id: Some(2),
                ..account("EUR", "500.00", made)
            },
        );
        world.be_silent();
        check(&world, "500.00").await;
        world.commit(
            15 * DAY_US,
            Op::Create,
            row(2, "DEPOSIT", "10.00", "COMPLETED", made + DAY_US),
        );
        world.be_silent();
        check(&world, "510.00").await;
        let january = world.statement("2026-01", 9).await.0;
        assert_eq!((&january["closing"], &january["is_closed"]), (&json!("500.00"), &json!(true)));
        // The account that is there now was not there then.
        let path = format!("/accounts/1/balance?recorded_at={}", text(before));
        assert_eq!(world.refused(&path).await.0, 404);
    }
}

/// What an account opened with is corrected, and no transaction says so. A month that is over stays as it was, whatever comes next.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_corrected_changes_no_month_that_is_over() {
    for next in 0..3 {
        let mut world = World::new();
        world.commit(HOUR_US, Op::Create, row(1, "DEPOSIT", "10.00", "COMPLETED", START_US));
        // In February, and seen there as long as that is not over.
        world.account(15 * DAY_US, Op::Update, account("EUR", "120.00", START_US));
        let (february, _) = world.statement("2026-02", 9).await;
        assert_eq!(february["closing"], json!("130.00"));
        world.commit(30 * DAY_US, Op::Create, row(2, "WITHDRAWAL", "1.00", "PENDING", START_US));
        world.be_silent();
        let closed = world.statement("2026-02", 9).await;
        assert_eq!(
            (&closed.0["closing"], &closed.0["is_closed"]),
            (&json!("110.00"), &json!(true))
        );
        match next {
            0 => world.commit(HOUR_US, Op::Create, row(3, "DEPOSIT", "5.00", "COMPLETED", START_US)),
            1 => world.commit(HOUR_US, Op::Update, row(2, "WITHDRAWAL", "2.00", "PENDING", START_US)),
            _ => world.account(
                HOUR_US,
                Op::Update,
                AccountRow {
                    customer_id: Some(2),
                    ..account("EUR", "120.00", START_US)
                },
            ),
        }
        world.be_silent();
        assert_eq!(world.statement("2026-02", 9).await, closed, "{next}");
        let (march, lines) = world.statement("2026-03", 9).await;
        let changes = lines.iter().flat_map(|line| [&line["amount"], &line["opening_change"]]);
        let sum = total([&march["opening"], &march["opening_change"]].into_iter().chain(changes));
        assert_eq!(
            (json!(sum.to_string()), &march["opening"]),
            (march["closing"].clone(), &json!("110.00")),
            "{next}"
        );
        assert_eq!(world.get("/accounts/1/balance").await["booked"], march["closing"], "{next}");
    }
}

/// Its currency may change while an account has no transactions. What it had before was in the other one.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_account_had_is_in_the_currency_that_it_had() {
    let mut world = World::new();
    let deposit = |id, amount| row(id, "DEPOSIT", amount, "COMPLETED", START_US);
    world.commit(HOUR_US, Op::Create, deposit(1, "10.00"));
    let before = text(world.now);
    world.commit(HOUR_US, Op::Delete, deposit(1, "10.00"));
    world.account(HOUR_US, Op::Update, account("USD", "100.00", START_US));
    world.commit(HOUR_US, Op::Create, deposit(2, "5.00"));
    let past = world.get(&format!("/accounts/1/balance?recorded_at={before}")).await;
    assert_eq!((&past["booked"], &past["currency"]), (&json!("110.00"), &json!("EUR")));
    let (whole, lines) = world.statement("2026-01", 2).await;
    assert_eq!(
        (&whole["currency"], &whole["opening_currency"], &whole["closing"]),
        (&json!("USD"), &json!("EUR"), &json!("105.00"))
    );
    let currencies: Vec<&Value> = lines.iter().map(|line| &line["currency"]).collect();
    assert_eq!(currencies, [&json!("EUR"), &json!("EUR"), &Value::Null]);
    let explained = world.get("/accounts/1/balance/explain").await;
    let fields = [
        "currency",
        "brought_forward",
        "credits",
        "debits",
        "entries",
        "opening_change",
    ]
    .map(|field| &explained[field]);
    assert_eq!(
        fields,
        [
            &json!("USD"),
            &json!("100.00"),
            &json!("5.00"),
            &json!("0.00"),
            &json!(1),
            &Value::Null
        ]
    );
}
