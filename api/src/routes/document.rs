//! The OpenAPI document.

use axum::http::StatusCode;
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;

use crate::model::accepted;

/// Its head; the routes add themselves.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Riverbank",
        description = "A bank's live data. Reads are answered from state that follows the database's change log within \
            milliseconds; writes go to the database and are read once they have come through.\n\n\
            Money is a string with its currency's decimal places, times are RFC 3339 in UTC, ids are numbers. \
            Errors are `application/problem+json` (RFC 9457): `type` is stable, `field` names what is at fault.\n\n\
            Lists come in pages, sorted by id. A page looks at a bounded number of rows: with a filter it may be short, or even \
            empty, and still have a `next`; the list ends where `next` is null.\n\n\
            Every row has an `ETag`; a `PUT` or `DELETE` with `If-Match` is refused with 412 if the row has changed since."
    ),
    tags(
        (name = "customers", description = "Who has accounts."),
        (name = "accounts", description = "Accounts and their balances."),
        (name = "transactions", description = "What moves balances."),
        (name = "kpis", description = "The bank in numbers."),
        (name = "operation", description = "How the system runs.")
    )
)]
pub(super) struct Document;

/// Says what the code asks of parameters and bodies beyond what their types tell, and what each answer is.
pub(super) fn finish(document: &OpenApi) -> Value {
    let mut json = serde_json::to_value(document).expect("a document is JSON");
    bound_numbers(&mut json);
    for (path, operations) in members(&mut json["paths"]) {
        for (_, operation) in members(operations) {
            describe_parameters(path.trim_start_matches('/'), operation);
            describe_answers(operation);
        }
    }
    for (name, body) in members(&mut json["components"]["schemas"]) {
        if !matches!(name.as_str(), "TransactionInput" | "TransactionReplacement") {
            continue;
        }
        // A transfer names the account that it goes to, and nothing else does.
        let mut transfer = json!({"properties": {
            "txn_type": {"enum": ["TRANSFER"]}, "related_account_id": {"type": "integer"}
        }});
        if name == "TransactionInput" {
            transfer["required"] = json!(["related_account_id"]);
        }
        let other = json!({"properties": {
            "txn_type": {"enum": ["DEPOSIT", "WITHDRAWAL"]}, "related_account_id": {"type": "null"}
        }});
        body["oneOf"] = json!([transfer, other]);
    }
    json
}

fn members(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}

fn describe_parameters(list: &str, operation: &mut Value) {
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        let pattern = match parameter["name"].as_str() {
            Some("cursor") => format!("^{list}{}", accepted::CURSOR),
            Some("If-Match") => accepted::IF_MATCH.to_owned(),
            _ => continue,
        };
        // There, or left out, but never null.
        parameter["schema"] = json!({"type": "string", "minLength": 1, "pattern": pattern});
    }
}

/// OpenAPI wants a description of each answer.
fn describe_answers(operation: &mut Value) {
    for (status, answer) in members(&mut operation["responses"]) {
        if answer["description"].is_null() {
            let status = status.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
            let words = status.and_then(|status| status.canonical_reason()).unwrap_or("Answer");
            answer["description"] = json!(words);
        }
    }
}

/// Ids and the like have 64 bits.
fn bound_numbers(part: &mut Value) {
    match part {
        Value::Object(fields) => {
            if fields.get("format").is_some_and(|format| format == "int64") {
                fields.entry("minimum").or_insert_with(|| json!(i64::MIN));
                fields.entry("maximum").or_insert_with(|| json!(i64::MAX));
            }
            fields.values_mut().for_each(bound_numbers);
        }
        Value::Array(items) => items.iter_mut().for_each(bound_numbers),
        _ => {}
    }
}
