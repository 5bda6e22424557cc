//! The OpenAPI document.

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
        (name = "operation", description = "How the system runs.")
    )
)]
pub(super) struct Document;

/// The document of the whole API, as `/openapi.json` serves it.
pub fn openapi() -> Value {
    super::split().1
}

/// Says of every parameter and number what the code asks of it, which the routes do not repeat one by one.
pub(super) fn finish(document: &OpenApi) -> Value {
    let mut json = serde_json::to_value(document).expect("a document is JSON");
    bound_numbers(&mut json);
    if let Some(paths) = json["paths"].as_object_mut() {
        for (path, operations) in paths {
            let list = path.trim_start_matches('/').to_owned();
            let operations = operations.as_object_mut().into_iter().flatten();
            let parameters = operations
                .filter_map(|(_, operation)| operation["parameters"].as_array_mut())
                .flatten();
            for parameter in parameters {
                let pattern = match parameter["name"].as_str() {
                    Some("cursor") => format!("^{list}{}", accepted::CURSOR),
                    Some("If-Match") => accepted::IF_MATCH.to_owned(),
                    _ => continue,
                };
                // There, or left out: never the word "null".
                parameter["schema"] = json!({"type": "string", "pattern": pattern});
            }
        }
    }
    json
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
