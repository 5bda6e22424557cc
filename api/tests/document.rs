//! What the API's document allows is what the code accepts: each pattern of it is tried on the routes.

mod support;

use axum::body::Body;
use axum::http::{HeaderValue, Request};
use proptest::strategy::{Strategy, ValueTree};
use proptest::string::string_regex;
use proptest::test_runner::TestRunner;
use schemas::Currency;
use serde_json::{Value, json};
use support::http::{Answer, Bank, account_of, deposit, person, with_body};

const TRIES: usize = 60;

fn document() -> Value {
    api::routes::openapi()
}

/// The schema of a body's field.
fn field(body: &str, field: &str) -> Value {
    let pointer = format!("/components/schemas/{body}/properties/{field}");
    document().pointer(&pointer).unwrap_or_else(|| panic!("{pointer}")).clone()
}

/// The schema of a parameter.
fn parameter(path: &str, method: &str, name: &str) -> Value {
    let operation = &document()["paths"][path][method];
    let parameters = operation["parameters"].as_array().expect("parameters").clone();
    let found = parameters.into_iter().find(|parameter| parameter["name"] == name);
    found.unwrap_or_else(|| panic!("{name} of {method} {path}"))["schema"].clone()
}

/// Texts that a schema allows, the same in every run.
fn allowed(schema: &Value) -> Vec<String> {
    let pattern = schema["pattern"].as_str().expect("a pattern");
    let inner = pattern
        .strip_prefix('^')
        .and_then(|rest| rest.strip_suffix('$'))
        .expect("anchors");
    let texts = string_regex(inner).expect("a pattern");
    let mut runner = TestRunner::deterministic();
    let texts = (0..TRIES).map(|_| texts.new_tree(&mut runner).expect("a text").current());
    let max = schema["maxLength"].as_u64().unwrap_or(u64::MAX) as usize;
    texts.filter(|text| text.chars().count() <= max).collect()
}

#[track_caller]
fn check_accepted(answer: &Answer, sent: &str) {
    let status = answer.status.as_u16();
    assert!(
        !matches!(status, 400 | 415 | 422 | 500..),
        "{sent:?} is refused: {status} {}",
        answer.text
    );
}

#[tokio::test]
async fn texts_of_customers() {
    let bank = Bank::new();
    for name in ["first_name", "last_name", "email"] {
        let schema = field("CustomerInput", name);
        let max = schema["maxLength"].as_u64().expect("a length") as usize;
        let mut texts = allowed(&schema);
        assert!(texts.len() > TRIES / 2, "{name}");
        texts.push(match name {
            "email" => format!("{}@é.example", "é".repeat(max - 10)),
            _ => "é".repeat(max),
        });
        for (n, text) in texts.iter().enumerate() {
            let mut body = person(&format!("{name}{n}"));
            body[name] = json!(text);
            check_accepted(&bank.post("/customers", body).await, text);
        }
    }
    for refused in ["", " ", "\u{a0}\u{3000}", "a\u{0}b", "a\tb", "a\u{85}b", &"x".repeat(101)] {
        let mut body = person("refused");
        body["first_name"] = json!(refused);
        bank.post("/customers", body)
            .await
            .check_problem(422, "invalid", Some("first_name"));
    }
}

#[tokio::test]
async fn amounts() {
    let bank = Bank::new();
    // How many decimal places an amount may have is a matter of its account's currency: the one with the most of them.
    let codes = field("AccountInput", "currency")["enum"].clone();
    let codes = codes.as_array().expect("codes").iter().filter_map(Value::as_str);
    let places = |code: &&str| code.parse::<Currency>().expect("a currency").minor_digits();
    let currency = codes.max_by_key(places).expect("a currency").to_owned();
    let places = places(&currency.as_str()) as usize;
    let fits = |text: &String| text.split_once('.').is_none_or(|(_, behind)| behind.len() <= places);
    let account = bank.account(&currency, "0").await;
    let owner = bank.customer("ada").await;
    let mut texts = allowed(&field("TransactionInput", "amount"));
    texts.retain(fits);
    assert!(texts.len() > TRIES / 4, "{texts:?}");
    texts.extend(["0.01", "9999999999999999.99", "0.10"].map(str::to_owned));
    for text in &texts {
        check_accepted(&bank.post("/transactions", deposit(account, text)).await, text);
    }
    let mut texts = allowed(&field("AccountInput", "opening_balance"));
    texts.retain(fits);
    texts.extend(["0", "0.00", "9999999999999999.99"].map(str::to_owned));
    for text in &texts {
        check_accepted(&bank.post("/accounts", account_of(owner, &currency, text)).await, text);
    }
    for refused in [
        "0",
        "0.00",
        "",
        "1.",
        ".5",
        "+1",
        "-1",
        " 1",
        "1\n",
        "1e3",
        "1,5",
        "10000000000000000",
        "\u{661}",
    ] {
        bank.post("/transactions", deposit(account, refused))
            .await
            .check_problem(422, "invalid", Some("amount"));
    }
}

#[tokio::test]
async fn currencies() {
    let bank = Bank::new();
    let owner = bank.customer("ada").await;
    let schema = field("AccountInput", "currency");
    assert_eq!(schema, field("AccountReplacement", "currency"));
    let codes = schema["enum"].as_array().expect("codes").clone();
    assert!(codes.len() > 100 && codes.contains(&json!("EUR")) && !codes.contains(&json!("ZZZ")));
    for code in codes {
        let code = code.as_str().expect("a code");
        let answer = bank.post("/accounts", account_of(owner, code, "0")).await;
        assert_eq!(answer.status, 201, "{code}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_transfer_alone_names_another_account() {
    let bank = Bank::new();
    let (from, to) = (bank.account("EUR", "9").await, bank.account("EUR", "0").await);
    let cases = document()["components"]["schemas"]["TransactionInput"]["oneOf"].clone();
    for case in cases.as_array().expect("cases") {
        for kind in case["properties"]["txn_type"]["enum"].as_array().expect("kinds") {
            let names_another = case["required"] == json!(["related_account_id"]);
            let mut body = json!({"account_id": from, "txn_type": kind, "amount": "1"});
            for related in [json!(to), Value::Null] {
                body["related_account_id"] = related.clone();
                let answer = bank.post("/transactions", body.clone()).await;
                if names_another == related.is_null() {
                    answer.check_problem(422, "invalid", Some("related_account_id"));
                } else {
                    assert_eq!(answer.status, 201, "{body}: {}", answer.text);
                }
            }
        }
    }
    // A null that is not wanted is a wrong value, not bad JSON.
    let null = json!({"account_id": from, "txn_type": null, "amount": "1"});
    bank.post("/transactions", null)
        .await
        .check_problem(422, "invalid", Some("txn_type"));
    bank.send(with_body("POST", "/transactions", "{\"txn_type\": nul"))
        .await
        .check_problem(400, "malformed", None);
}

#[test]
fn every_answer_is_described() {
    for (path, operations) in document()["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            for (status, answer) in operation["responses"].as_object().expect("answers") {
                let text = answer["description"].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "{method} {path} {status}");
            }
        }
    }
}

#[tokio::test]
async fn cursors_and_conditions() {
    let bank = Bank::new();
    bank.account("EUR", "0").await;
    for list in ["customers", "accounts", "transactions"] {
        for cursor in allowed(&parameter(&format!("/{list}"), "get", "cursor")) {
            let answer = bank.get(&format!("/{list}?cursor={cursor}")).await;
            assert_eq!(answer.status, 200, "{cursor}: {}", answer.text);
        }
        for method in ["put", "delete"] {
            let path = format!("/{list}/{{id}}");
            let mut conditions = allowed(&parameter(&path, method, "If-Match"));
            conditions.extend(["*", "\"a,b\"", "W/\"x\" , \"y\"", "\"\""].map(str::to_owned));
            for condition in conditions {
                let body = match list {
                    "customers" => person("ada"),
                    "accounts" => json!({"customer_id": 1, "account_type": "CHECKING", "currency": "EUR", "status": "ACTIVE"}),
                    _ => deposit(1, "1"),
                };
                let mut request = with_body(&method.to_uppercase(), &format!("/{list}/99"), &body.to_string());
                let value = HeaderValue::from_str(&condition).expect("a header");
                request.headers_mut().insert("if-match", value);
                check_accepted(&bank.send(request).await, &condition);
            }
        }
    }
    for refused in ["", "x", "\"x", "\"x\" \"y\"", "*, \"x\"", "\"a b\"", "w/\"x\""] {
        let request = Request::delete("/customers/1").header("if-match", refused);
        bank.send(request.body(Body::empty()).expect("a request"))
            .await
            .check_problem(400, "malformed", Some("if-match"));
    }
}

#[tokio::test]
async fn numbers() {
    let bank = Bank::new();
    let schema = parameter("/accounts/{id}", "get", "id");
    assert_eq!((&schema["minimum"], &schema["maximum"]), (&json!(i64::MIN), &json!(i64::MAX)));
    for id in [i64::MIN, -1, 0, i64::MAX] {
        for path in [
            "/accounts/{id}",
            "/accounts/{id}/balance",
            "/customers/{id}",
            "/transactions/{id}",
        ] {
            let path = path.replace("{id}", &id.to_string());
            bank.get(&path).await.check_problem(404, "not-found", None);
        }
        let path = format!("/transactions?account_id={id}");
        assert_eq!(bank.get(&path).await.status, 200, "{path}");
    }
    for (list, name) in [
        ("/accounts", "customer_id"),
        ("/transactions", "account_id"),
        ("/accounts", "limit"),
    ] {
        let schema = parameter(list, "get", name);
        assert!(schema["minimum"].is_i64() && !schema.to_string().contains("null"), "{schema}");
    }
}
