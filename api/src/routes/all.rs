//! All routes, and the document that lists them.

use axum::Router;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use super::{
    accounts, balances, customers, document, health, histories, journal, kpis, metrics, positions, topology, transactions,
};
use crate::state::AppState;

/// Every route, and the document that lists it: a route is in both or in neither.
fn documented() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(document::Document::openapi())
        .routes(routes!(customers::list, customers::create))
        .routes(routes!(customers::read, customers::replace, customers::remove))
        .routes(routes!(accounts::list, accounts::create))
        .routes(routes!(accounts::read, accounts::replace, accounts::close))
        .routes(routes!(balances::read))
        .routes(routes!(balances::together))
        .routes(routes!(journal::postings))
        .routes(routes!(journal::statement))
        .routes(routes!(journal::holds))
        .routes(routes!(journal::explain))
        .routes(routes!(journal::reconciliation))
        .routes(routes!(journal::differences))
        .routes(routes!(histories::customer))
        .routes(routes!(histories::account))
        .routes(routes!(positions::of_customer))
        .routes(routes!(positions::of_account))
        .routes(routes!(kpis::daily))
        .routes(routes!(kpis::minutes))
        .routes(routes!(transactions::list, transactions::create))
        .routes(routes!(transactions::read, transactions::replace, transactions::remove))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::lag))
        .routes(routes!(metrics::read))
        .routes(routes!(topology::read))
}

/// The document of the whole API, as `/openapi.json` serves it.
pub fn openapi() -> serde_json::Value {
    split().1
}

/// The routes and their document.
fn split() -> (Router<AppState>, serde_json::Value) {
    let (router, document) = documented().split_for_parts();
    (router, document::finish(&document))
}

pub(crate) fn all() -> Router<AppState> {
    let (router, document) = split();
    router.merge(SwaggerUi::new("/docs").external_url_unchecked("/openapi.json", document))
}
