//! The OpenAPI document.

use utoipa::OpenApi;

/// Its head; the routes add themselves.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Riverbank",
        description = "A bank's live data. Reads are answered from state that follows the database's change log within \
            milliseconds; writes go to the database and are read once they have come through.\n\n\
            Money is a string with its currency's decimal places, times are RFC 3339 in UTC, ids are numbers. \
            Errors are `application/problem+json` (RFC 9457): `type` is stable, `field` names what is at fault.\n\n\
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
pub fn openapi() -> utoipa::openapi::OpenApi {
    super::documented().into_openapi()
}
