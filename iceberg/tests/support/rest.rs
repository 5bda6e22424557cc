//! A REST catalog, as the specification has it: requirements are checked, updates are applied, ids of new tables are its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::catalog::Fault;

type Answer = (StatusCode, Json<Value>);

pub struct Rest {
    store: Arc<dyn ObjectStore>,
    place: iceberg_tables::Place,
    state: Mutex<Content>,
}

#[derive(Default)]
struct Content {
    namespaces: Vec<String>,
    tables: BTreeMap<String, (Value, String)>,
    versions: u64,
    /// What the next commit meets.
    fault: Option<Fault>,
    tokens: u64,
}

pub const CREDENTIAL: &str = "id:secret";

impl Rest {
    pub async fn start(store: Arc<dyn ObjectStore>, place: iceberg_tables::Place) -> (Arc<Self>, SocketAddr) {
        let rest = Arc::new(Self {
            store,
            place,
            state: Mutex::default(),
        });
        let app = Router::new()
            .route("/catalog/v1/config", get(config))
            .route("/catalog/v1/oauth/tokens", post(token))
            .route("/catalog/v1/some/prefix/namespaces", post(make_namespace))
            .route("/catalog/v1/some/prefix/namespaces/{namespace}/tables", post(make_table))
            .route(
                "/catalog/v1/some/prefix/namespaces/{namespace}/tables/{table}",
                get(load_table).post(commit_table),
            )
            .with_state(rest.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        (rest, address)
    }

    pub fn meet(&self, fault: Fault) {
        self.state.lock().fault = Some(fault);
    }

    /// From now on, the token that it gave is taken for another's.
    pub fn forget_tokens(&self) {
        self.state.lock().tokens += 1;
    }

    fn authorized(&self, headers: &HeaderMap) -> Result<(), Answer> {
        let expected = format!("Bearer token-{}", self.state.lock().tokens);
        match headers.get("authorization").is_some_and(|value| value == expected.as_str()) {
            true => Ok(()),
            false => Err(error(StatusCode::UNAUTHORIZED, "no token")),
        }
    }

    /// Metadata become a file, as readers want them to be.
    async fn store(&self, metadata: &Value) -> String {
        let version = {
            let mut state = self.state.lock();
            state.versions += 1;
            state.versions
        };
        let location = format!(
            "{}/metadata/{version:05}.metadata.json",
            metadata["location"].as_str().unwrap()
        );
        let path = self.place.path_of(&location).unwrap();
        self.store.put(&path, metadata.to_string().into()).await.unwrap();
        location
    }
}

fn error(status: StatusCode, message: &str) -> Answer {
    let body = json!({"error": {"message": message, "type": "Exception", "code": status.as_u16()}});
    (status, Json(body))
}

async fn config() -> Json<Value> {
    Json(json!({"defaults": {}, "overrides": {"prefix": "some/prefix"}}))
}

async fn token(State(rest): State<Arc<Rest>>, body: String) -> Answer {
    match body.contains("client_id=id") && body.contains("client_secret=secret") {
        true => {
            let token = format!("token-{}", rest.state.lock().tokens);
            (
                StatusCode::OK,
                Json(json!({"access_token": token, "token_type": "bearer", "expires_in": 3600})),
            )
        }
        false => error(StatusCode::UNAUTHORIZED, "wrong credential"),
    }
}

async fn make_namespace(State(rest): State<Arc<Rest>>, headers: HeaderMap, Json(body): Json<Value>) -> Answer {
    if let Err(refused) = rest.authorized(&headers) {
        return refused;
    }
    let levels: Vec<_> = body["namespace"]
        .as_array()
        .unwrap()
        .iter()
        .map(|level| level.as_str().unwrap())
        .collect();
    let name = levels.join("\u{1f}");
    let mut state = rest.state.lock();
    if state.namespaces.contains(&name) {
        return error(StatusCode::CONFLICT, "the namespace is there");
    }
    state.namespaces.push(name);
    (StatusCode::OK, Json(body))
}

async fn make_table(
    State(rest): State<Arc<Rest>>,
    Path(namespace): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Answer {
    if let Err(refused) = rest.authorized(&headers) {
        return refused;
    }
    let name = format!("{namespace}/{}", body["name"].as_str().unwrap());
    {
        let state = rest.state.lock();
        if !state.namespaces.contains(&namespace) {
            return error(StatusCode::NOT_FOUND, "there is no such namespace");
        }
        if state.tables.contains_key(&name) {
            return error(StatusCode::CONFLICT, "the table is there");
        }
    }
    let mut schema = body["schema"].clone();
    // Its ids are its own: here, from 101 on and backwards.
    let fields = schema["fields"].as_array_mut().unwrap();
    let count = fields.len() as i64;
    for (index, field) in fields.iter_mut().enumerate() {
        field["id"] = (100 + count - index as i64).into();
    }
    let metadata = json!({
        "format-version": 2, "table-uuid": uuid::Uuid::new_v4().to_string(), "location": body["location"],
        "last-sequence-number": 0, "last-updated-ms": 1, "last-column-id": 100 + count, "schemas": [schema],
        "current-schema-id": 0, "partition-specs": [{"spec-id": 0, "fields": []}], "default-spec-id": 0,
        "last-partition-id": 999, "properties": body["properties"], "snapshots": [], "snapshot-log": [],
        "metadata-log": [], "sort-orders": [{"order-id": 0, "fields": []}], "default-sort-order-id": 0, "refs": {},
    });
    let location = rest.store(&metadata).await;
    rest.state.lock().tables.insert(name, (metadata.clone(), location.clone()));
    (
        StatusCode::OK,
        Json(json!({"metadata": metadata, "metadata-location": location})),
    )
}

async fn load_table(
    State(rest): State<Arc<Rest>>,
    Path((namespace, table)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    if let Err(refused) = rest.authorized(&headers) {
        return refused;
    }
    match rest.state.lock().tables.get(&format!("{namespace}/{table}")) {
        Some((metadata, location)) => (
            StatusCode::OK,
            Json(json!({"metadata": metadata, "metadata-location": location})),
        ),
        None => error(StatusCode::NOT_FOUND, "there is no such table"),
    }
}

async fn commit_table(
    State(rest): State<Arc<Rest>>,
    Path((namespace, table)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Answer {
    if let Err(refused) = rest.authorized(&headers) {
        return refused;
    }
    let name = format!("{namespace}/{table}");
    let fault = rest.state.lock().fault.take();
    match fault {
        Some(Fault::Before) => return error(StatusCode::SERVICE_UNAVAILABLE, "away"),
        Some(Fault::Conflict) => return error(StatusCode::CONFLICT, "somebody was faster"),
        _ => {}
    }
    let applied = {
        let mut state = rest.state.lock();
        let Some((metadata, _)) = state.tables.get_mut(&name) else {
            return error(StatusCode::NOT_FOUND, "there is no such table");
        };
        for requirement in body["requirements"].as_array().unwrap() {
            if !holds(requirement, metadata) {
                return error(StatusCode::CONFLICT, &format!("{requirement} does not hold"));
            }
        }
        for update in body["updates"].as_array().unwrap() {
            apply(update, metadata);
        }
        metadata.clone()
    };
    let location = rest.store(&applied).await;
    rest.state.lock().tables.insert(name, (applied.clone(), location.clone()));
    match fault {
        Some(Fault::After | Fault::Late) => error(StatusCode::BAD_GATEWAY, "the answer was lost"),
        _ => (
            StatusCode::OK,
            Json(json!({"metadata": applied, "metadata-location": location})),
        ),
    }
}

fn holds(requirement: &Value, metadata: &Value) -> bool {
    match requirement["type"].as_str().unwrap() {
        "assert-table-uuid" => metadata["table-uuid"] == requirement["uuid"],
        "assert-ref-snapshot-id" => {
            metadata["refs"][requirement["ref"].as_str().unwrap()]["snapshot-id"] == requirement["snapshot-id"]
        }
        "assert-current-schema-id" => metadata["current-schema-id"] == requirement["current-schema-id"],
        "assert-last-assigned-field-id" => metadata["last-column-id"] == requirement["last-assigned-field-id"],
        other => panic!("an unknown requirement: {other}"),
    }
}

fn apply(update: &Value, metadata: &mut Value) {
    let push = |list: &mut Value, one: &Value| list.as_array_mut().unwrap().push(one.clone());
    match update["action"].as_str().unwrap() {
        "add-schema" => {
            push(&mut metadata["schemas"], &update["schema"]);
            metadata["last-column-id"] = update["last-column-id"].clone();
        }
        "set-current-schema" => {
            assert_eq!(update["schema-id"], -1);
            let last = metadata["schemas"].as_array().unwrap().last().unwrap()["schema-id"].clone();
            metadata["current-schema-id"] = last;
        }
        "add-snapshot" => {
            push(&mut metadata["snapshots"], &update["snapshot"]);
            metadata["last-sequence-number"] = update["snapshot"]["sequence-number"].clone();
        }
        "set-snapshot-ref" => {
            let reference = json!({"snapshot-id": update["snapshot-id"], "type": update["type"]});
            metadata["refs"][update["ref-name"].as_str().unwrap()] = reference;
            metadata["current-snapshot-id"] = update["snapshot-id"].clone();
        }
        "remove-snapshots" => {
            let gone = update["snapshot-ids"].as_array().unwrap();
            let snapshots = metadata["snapshots"].as_array_mut().unwrap();
            snapshots.retain(|one| !gone.contains(&one["snapshot-id"]));
        }
        "set-properties" => {
            for (name, value) in update["updates"].as_object().unwrap() {
                metadata["properties"][name] = value.clone();
            }
        }
        other => panic!("an unknown update: {other}"),
    }
}
