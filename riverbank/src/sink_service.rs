//! What `riverbank sink` serves: `/metrics`, `/health/live` and `/health/ready`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use parking_lot::Mutex;
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long open requests are waited for at the end.
const DRAIN: Duration = Duration::from_secs(2);

/// What can be in trouble. The sinks themselves decide on the readiness: without them nothing is written.
const LAKE: &str = "lake";
const PARTS: [&str; 3] = [LAKE, "iceberg", "snowpipe"];

/// What is wrong, by part; nothing while all is well.
type Troubles = BTreeMap<&'static str, String>;

struct Shared {
    registry: Registry,
    troubles: Mutex<Troubles>,
    ready: IntGauge,
    able: IntGaugeVec,
}

/// A service at work.
pub struct SinkService {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    drain: CancellationToken,
    http: JoinHandle<std::io::Result<()>>,
}

impl SinkService {
    /// Listens.
    pub async fn start(listen: SocketAddr, registry: &Registry) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("http.listen {listen}"))?;
        let address = listener.local_addr()?;
        let ready = IntGauge::new(
            "riverbank_ready",
            "Whether the sinks of this process write, asked at each scrape.",
        )?;
        let able = Opts::new(
            "riverbank_able",
            "Whether this process can do this as it should, asked at each scrape.",
        );
        let able = IntGaugeVec::new(able, &["what"])?;
        registry.register(Box::new(ready.clone()))?;
        registry.register(Box::new(able.clone()))?;
        let shared = Arc::new(Shared {
            registry: registry.clone(),
            troubles: Mutex::default(),
            ready,
            able,
        });
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/health/live", get(async || Json(serde_json::json!({ "alive": true }))))
            .route("/health/ready", get(health))
            .with_state(shared.clone());
        let drain = CancellationToken::new();
        let http = tokio::spawn(api::serve(listener, router, DRAIN, drain.clone().cancelled_owned()));
        tracing::info!(%address, "metrics and health are served");
        Ok(Self {
            address,
            shared,
            drain,
            http,
        })
    }

    /// What is wrong now with the sinks, the Iceberg tables and what reports files to Snowpipe. Returns it as one text if it is not
    /// what was said before: empty while all is well.
    pub fn report(&self, lake: Option<String>, iceberg: Option<String>, snowpipe: Option<String>) -> Option<String> {
        let all = PARTS.into_iter().zip([lake, iceberg, snowpipe]);
        let troubles: Troubles = all.filter_map(|(part, trouble)| Some((part, trouble?))).collect();
        let mut known = self.shared.troubles.lock();
        if *known == troubles {
            return None;
        }
        *known = troubles;
        let texts: Vec<String> = known.iter().map(|(part, trouble)| format!("{part}: {trouble}")).collect();
        Some(texts.join("; "))
    }

    /// Answers what is open, and ends.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.drain.cancel();
        Ok(self.http.await??)
    }
}

/// In the form of the whole program's: `ready` decides on the status, and the reasons say what is wrong.
async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let troubles = shared.troubles.lock().clone();
    let is_ready = !troubles.contains_key(LAKE);
    let mut report = serde_json::json!({ "ready": is_ready });
    for part in PARTS {
        report[part] = (!troubles.contains_key(part)).into();
    }
    report["reasons"] = troubles.into_values().collect();
    let status = match is_ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(report)).into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let troubles = shared.troubles.lock().clone();
    shared.ready.set(i64::from(!troubles.contains_key(LAKE)));
    for part in PARTS {
        let is_able = !troubles.contains_key(part);
        shared.able.with_label_values(&[part]).set(i64::from(is_able));
    }
    match TextEncoder::new().encode_to_string(&shared.registry.gather()) {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
