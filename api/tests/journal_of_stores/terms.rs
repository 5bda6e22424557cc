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
            world.account(DAY_US - HOUR_US, Op::Delete, account("EUR", "100.00", START_US));
            world.account(0, Op::Create, account("EUR", "500.00", made));
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
        // As it was known then, it was the account before.
        let path = format!("/accounts/1/balance?recorded_at={}", text(before));
        assert_eq!(world.get(&path).await["booked"], json!("150.00"));
    }
}

/// What an account opened with is corrected, and no transaction says so. A month that is over has it from its commit on and stays as it was,
/// whatever comes next.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_corrected_changes_no_month_that_is_over() {
    for next in 0..3 {
        let mut world = World::new();
        world.commit(HOUR_US, Op::Create, row(1, "DEPOSIT", "10.00", "COMPLETED", START_US));
        world.be_silent();
        // In February.
        world.account(15 * DAY_US, Op::Update, account("EUR", "120.00", START_US));
        let (february, _) = world.statement("2026-02", 9).await;
        assert_eq!(february["closing"], json!("130.00"));
        world.commit(30 * DAY_US, Op::Create, row(2, "WITHDRAWAL", "1.00", "PENDING", START_US));
        world.be_silent();
        let closed = world.statement("2026-02", 9).await;
        assert_eq!(
            (&closed.0["closing"], &closed.0["is_closed"]),
            (&json!("130.00"), &json!(true))
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
            (march["closing"].clone(), &json!("130.00")),
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
    world.be_silent();
    let past = world.get(&format!("/accounts/1/balance?recorded_at={before}")).await;
    assert_eq!((&past["booked"], &past["currency"]), (&json!("110.00"), &json!("EUR")));
    let (whole, lines) = world.statement("2026-01", 2).await;
    assert_eq!(
        (&whole["currency"], &whole["opening_currency"], &whole["closing"]),
        (&json!("USD"), &json!("EUR"), &json!("105.00"))
    );
    let currencies: Vec<&Value> = lines.iter().map(|line| &line["currency"]).collect();
    assert_eq!(currencies, [&json!("EUR"), &json!("EUR"), &json!("USD")]);
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

/// A month is closed as it was also where nothing was ever posted.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_postings_has_what_it_had() {
    let mut world = World::new();
    let other = || row(1, "WITHDRAWAL", "1.00", "PENDING", START_US);
    world.commit(30 * DAY_US, Op::Create, other());
    world.be_silent();
    let closed = world.statement("2026-01", 9).await;
    assert_eq!(
        (&closed.0["closing"], &closed.0["is_closed"]),
        (&json!("100.00"), &json!(true))
    );
    let then = text(START_US + DAY_US);
    world.commit(HOUR_US, Op::Delete, other());
    // Its row is changed in all that a source may change, the day that it was opened included.
    world.account(DAY_US, Op::Update, account("USD", "120.00", START_US + 20 * DAY_US));
    for n in 0..2 {
        assert_eq!(world.statement("2026-01", 9).await, closed);
        for query in ["effective_at", "recorded_at"] {
            let past = world.get(&format!("/accounts/1/balance?{query}={then}")).await;
            assert_eq!(
                (&past["booked"], &past["currency"]),
                (&json!("100.00"), &json!("EUR")),
                "{query}"
            );
        }
        let (february, lines) = world.statement("2026-02", 9).await;
        let amounts = lines.iter().flat_map(|line| [&line["amount"], &line["opening_change"]]);
        let sum = total([&february["opening"], &february["opening_change"]].into_iter().chain(amounts));
        assert_eq!(json!(sum.to_string()), february["closing"]);
        assert_eq!(
            (&february["opening_currency"], &february["currency"]),
            (&json!("EUR"), &json!("USD"))
        );
        if n == 0 {
            let made_at = world.now;
            world.commit(HOUR_US, Op::Create, row(2, "DEPOSIT", "7.00", "COMPLETED", made_at));
            world.be_silent();
        }
    }
}

/// A bank that has long been there is taken over by a snapshot: what was known before it, nobody can say.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_snapshot_shows_is_known_from_then_on() {
    let mut world = World::empty();
    let long_ago = START_US - 200 * DAY_US;
    world.account(0, Op::Read, account("EUR", "100.00", long_ago));
    world.commit(0, Op::Read, row(1, "DEPOSIT", "50.00", "COMPLETED", long_ago + DAY_US));
    world.commit(
        0,
        Op::Read,
        row(2, "WITHDRAWAL", "20.00", "COMPLETED", START_US - 30 * DAY_US),
    );
    world.commit(HOUR_US, Op::Create, row(3, "DEPOSIT", "1.00", "COMPLETED", START_US));
    world.be_silent();
    assert_eq!(world.refused("/accounts/1/statements/2025-12").await.0, 404);
    let before = text(START_US - DAY_US);
    let path = format!("/accounts/1/balance?recorded_at={before}");
    assert_eq!(world.refused(&path).await.0, 404);
    // By the transactions' own time it is known.
    for (at, booked) in [
        (long_ago, "100.00"),
        (long_ago + 2 * DAY_US, "150.00"),
        (START_US - DAY_US, "130.00"),
        (world.now, "131.00"),
    ] {
        let past = world.get(&format!("/accounts/1/balance?effective_at={}", text(at))).await;
        assert_eq!(past["booked"], json!(booked));
    }
    let path = format!("/accounts/1/balance?effective_at={}", text(long_ago - 1));
    assert_eq!(world.refused(&path).await.0, 404);
    let (january, lines) = world.statement("2026-01", 9).await;
    assert_eq!(
        (&january["opening"], &january["closing"], lines.len()),
        (&json!("100.00"), &json!("131.00"), 3)
    );
}

/// A date that cannot be kept costs no answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_says_it_was_opened_at_the_end_of_time_is_there() {
    let mut world = World::empty();
    world.account(0, Op::Create, account("EUR", "100.00", i64::MAX));
    world.commit(HOUR_US, Op::Create, row(1, "DEPOSIT", "50.00", "COMPLETED", START_US));
    world.be_silent();
    let now = text(world.now);
    for query in ["effective_at", "recorded_at"] {
        let past = world.get(&format!("/accounts/1/balance?{query}={now}")).await;
        assert_eq!(past["booked"], json!("150.00"));
    }
    assert_eq!(world.statement("2026-01", 9).await.0["closing"], json!("150.00"));
}

/// While a transaction of the source is open, nothing that is asked of an account has a part of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_an_account_has_transactions_whole() {
    let mut world = World::new();
    world.commit(HOUR_US, Op::Create, row(1, "DEPOSIT", "50.00", "COMPLETED", START_US));
    world.be_silent();
    // More of it may come.
    world.commit(HOUR_US, Op::Create, row(2, "WITHDRAWAL", "30.00", "COMPLETED", START_US));
    let now = text(world.now);
    let balance = world.get("/accounts/1/balance").await;
    assert_eq!((&balance["booked"], &balance["is_whole"]), (&json!("150.00"), &json!(true)));
    let past = world.get(&format!("/accounts/1/balance?effective_at={now}")).await;
    assert_eq!(past["booked"], json!("150.00"));
    assert_eq!(world.statement("2026-01", 9).await.0["closing"], json!("150.00"));
    assert_eq!(world.get("/accounts/1/postings").await["items"].as_array().unwrap().len(), 1);
    let explained = world.get("/accounts/1/balance/explain").await;
    assert_eq!(
        (&explained["booked"], &explained["is_whole"]),
        (&json!("120.00"), &json!(false))
    );
    world.be_silent();
    let explained = world.get("/accounts/1/balance/explain").await;
    assert_eq!(
        (&explained["booked"], &explained["is_whole"]),
        (&json!("120.00"), &json!(true))
    );
    assert_eq!(world.get("/accounts/1/balance").await["booked"], json!("120.00"));
}

/// An account that is deleted takes nothing of its past along.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_gone_has_its_past() {
    let mut world = World::new();
    let deposit = row(1, "DEPOSIT", "50.00", "COMPLETED", START_US);
    world.commit(HOUR_US, Op::Create, deposit.clone());
    world.be_silent();
    let then = text(world.now);
    world.commit(20 * DAY_US, Op::Delete, deposit);
    world.account(HOUR_US, Op::Delete, account("EUR", "100.00", START_US));
    world.be_silent();
    let gone = text(world.now);
    for _ in 0..2 {
        for (month, opening, closing) in [("2026-01", "100.00", "150.00"), ("2026-02", "150.00", "100.00")] {
            let (whole, lines) = world.statement(month, 9).await;
            assert_eq!(
                (&whole["opening"], &whole["closing"], lines.len()),
                (&json!(opening), &json!(closing), 1),
                "{month}"
            );
        }
        assert_eq!(world.refused("/accounts/1/statements/2026-03").await.0, 404);
        let past = world.get(&format!("/accounts/1/balance?recorded_at={then}")).await;
        assert_eq!(past["booked"], json!("150.00"));
        // By the transactions' own time: as far as is known now, nothing was paid in.
        let past = world.get(&format!("/accounts/1/balance?effective_at={then}")).await;
        assert_eq!(past["booked"], json!("100.00"));
        let refused = [
            format!("balance?recorded_at={gone}"),
            format!("balance?effective_at={gone}"),
            "balance".to_owned(),
            "balance/explain".to_owned(),
            "holds".to_owned(),
        ];
        for path in refused {
            assert_eq!(world.refused(&format!("/accounts/1/{path}")).await.0, 404, "{path}");
        }
        assert_eq!(world.get("/accounts/1/postings").await["items"].as_array().unwrap().len(), 2);
        // The time that passes changes nothing.
        world.now += 60 * DAY_US;
        world.be_silent();
    }
}

/// Whatever comes late for a month that is closed is of a later one: also what is said of the account itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_late_of_an_account_changes_no_closed_month() {
    for late in 0..3 {
        let mut world = World::new();
        world.commit(HOUR_US, Op::Create, row(1, "WITHDRAWAL", "1.00", "PENDING", START_US));
        if late == 1 {
            world.account(HOUR_US, Op::Delete, account("EUR", "100.00", START_US));
        }
        let in_january = world.now + HOUR_US;
        world.commit(20 * DAY_US, Op::Update, row(1, "WITHDRAWAL", "2.00", "PENDING", START_US));
        world.be_silent();
        let closed = world.statement("2026-01", 9).await;
        assert_eq!(closed.0["is_closed"], json!(true));
        world.now = in_january;
        match late {
            0 => world.account(0, Op::Delete, account("EUR", "100.00", START_US)),
            1 => world.account(0, Op::Create, account("EUR", "500.00", START_US)),
            _ => world.account(0, Op::Update, account("EUR", "120.00", START_US)),
        }
        assert_eq!(world.statement("2026-01", 9).await, closed, "{late}");
        if late == 0 {
            // It was there in January, and in February until that was heard.
            assert_eq!(world.statement("2026-02", 9).await.0["closing"], json!("100.00"));
            assert_eq!(world.refused("/accounts/1/statements/2026-03").await.0, 404);
        }
    }
}

/// By the transactions' own time, each life of an account has what it opened with.
#[tokio::test(flavor = "multi_thread")]
async fn a_former_life_has_what_it_opened_with() {
    let mut world = World::new();
    let first = text(world.now + HOUR_US);
    world.account(10 * HOUR_US, Op::Delete, account("EUR", "100.00", START_US));
    let between = text(world.now + HOUR_US);
    let made = world.now + 10 * HOUR_US;
    world.account(10 * HOUR_US, Op::Create, account("EUR", "500.00", made));
    world.commit(HOUR_US, Op::Create, row(1, "DEPOSIT", "5.00", "COMPLETED", made));
    world.be_silent();
    let now = text(world.now);
    for recorded in ["".to_owned(), format!("&recorded_at={now}")] {
        for (at, booked) in [(&first, "100.00"), (&now, "505.00")] {
            let past = world.get(&format!("/accounts/1/balance?effective_at={at}{recorded}")).await;
            assert_eq!(past["booked"], json!(booked), "{at}{recorded}");
        }
        let path = format!("/accounts/1/balance?effective_at={between}{recorded}");
        assert_eq!(world.refused(&path).await.0, 404);
    }
    let past = world
        .get(&format!("/accounts/1/balance?effective_at={first}&recorded_at={first}"))
        .await;
    assert_eq!(past["booked"], json!("100.00"));
}

/// A transaction is moved away, its account's currency changes, and the transaction comes back, of a time before that.
#[tokio::test(flavor = "multi_thread")]
async fn no_balance_is_in_two_currencies() {
    let mut world = World::new();
    let deposit = row(1, "DEPOSIT", "5.00", "COMPLETED", START_US + HOUR_US);
    world.commit(2 * HOUR_US, Op::Create, deposit.clone());
    let (before, known_before) = (text(world.now), text(world.now));
    world.commit(HOUR_US, Op::Delete, deposit);
    world.account(HOUR_US, Op::Update, account("KWD", "100.00", START_US));
    world.commit(
        HOUR_US,
        Op::Create,
        row(2, "DEPOSIT", "5.001", "COMPLETED", START_US + HOUR_US),
    );
    world.be_silent();
    let now = text(world.now);
    for recorded in ["".to_owned(), format!("&recorded_at={now}")] {
        let refused = world
            .refused(&format!("/accounts/1/balance?effective_at={before}{recorded}"))
            .await;
        assert_eq!(refused, (422, json!("effective_at")));
        let past = world.get(&format!("/accounts/1/balance?effective_at={now}{recorded}")).await;
        assert_eq!((&past["currency"], &past["booked"]), (&json!("KWD"), &json!("105.001")));
    }
    let past = world
        .get(&format!(
            "/accounts/1/balance?effective_at={before}&recorded_at={known_before}"
        ))
        .await;
    assert_eq!((&past["currency"], &past["booked"]), (&json!("EUR"), &json!("105.00")));
}

/// What was committed up to an instant may still be on its way.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_known_is_final_once_more_is_known() {
    let mut world = World::new();
    world.commit(HOUR_US, Op::Create, row(1, "DEPOSIT", "5.00", "COMPLETED", START_US));
    world.be_silent();
    let at = world.now;
    let final_at = async |world: &World, at: i64| {
        let past = world.get(&format!("/accounts/1/balance?recorded_at={}", text(at))).await;
        (past["is_final"].clone(), past["booked"].clone())
    };
    assert_eq!(final_at(&world, at + HOUR_US).await, (json!(false), json!("105.00")));
    let now = text(at);
    let past = world.get(&format!("/accounts/1/balance?effective_at={now}")).await;
    assert_eq!(past["is_final"], json!(false), "what comes late may be of then");
    // Of another account: all before it has come.
    let mut other = row(2, "DEPOSIT", "1.00", "COMPLETED", START_US);
    other.account_id = Some(2);
    world.commit(2 * HOUR_US, Op::Create, other);
    world.be_silent();
    assert_eq!(final_at(&world, at + HOUR_US).await, (json!(true), json!("105.00")));
    assert_eq!(final_at(&world, world.now + HOUR_US).await.0, json!(false));
}
