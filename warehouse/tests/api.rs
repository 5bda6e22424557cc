//! The clients against a server that checks each token itself, and answers as it is told to.

#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{KeyPair as _, RsaKeyPair};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use parking_lot::Mutex;
use pkcs8::SecretDocument;
use prometheus::IntCounterVec;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;
use warehouse::notifier::metrics::faults;
use warehouse::snowflake::snowpipe::{FILES_MAX, Pipes};
use warehouse::snowflake::{
    Account, ApiError, Connection, FAULTS, KeyPair, PipeName, Retries, Session, Snowpipe, Sql, StagedFile, Tokens,
};

const PEM: &str = include_str!("keys/plain.p8");

/// What the server answers next: a status, headers and a body.
type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

/// A request that came.
#[derive(Debug, Clone)]
struct Asked {
    method: Method,
    path: String,
    query: String,
    body: Value,
}

#[derive(Clone)]
struct Server {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    faults: IntCounterVec,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    iat: u64,
    exp: u64,
}

impl Server {
    async fn start(answers: impl IntoIterator<Item = Answer>) -> (Self, Arc<Connection>) {
        let server = Self {
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            asked: Arc::default(),
            faults: faults(&prometheus::Registry::new()).unwrap(),
        };
        let counted = server.faults.clone();
        let router = axum::Router::new().fallback(answer).with_state(server.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let tokens = Tokens::new(
            &Account::parse("xy12345.eu-central-1").unwrap(),
            "loader",
            KeyPair::from_pem(PEM, None).unwrap(),
        );
        let retries = Retries {
            attempts_max: 4,
            first_wait: Duration::from_millis(1),
            wait_max: Duration::from_millis(50),
            timeout: Duration::from_secs(5),
        };
        (
            server,
            Arc::new(Connection::new(base, tokens, retries).unwrap().counting(counted)),
        )
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }
}

/// Checks the token as Snowflake does; an error is what is wrong with it.
fn check(headers: &HeaderMap) -> Result<(), String> {
    let token = headers.get("authorization").and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer ")).ok_or("no token")?;
    let (_, der) = SecretDocument::from_pem(PEM.trim()).unwrap();
    let public = RsaKeyPair::from_pkcs8(der.as_bytes()).unwrap();
    let key = DecodingKey::from_rsa_der(public.public_key().as_ref());
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &Validation::new(Algorithm::RS256));
    let claims = claims.map_err(|error| error.to_string())?.claims;
    let fingerprint = include_str!("keys/fingerprint").trim();
    let expected = format!("XY12345.LOADER.SHA256:{fingerprint}");
    match claims.iss == expected && claims.sub == "XY12345.LOADER" && claims.exp - claims.iat <= 3_600 {
        true if headers
            .get("x-snowflake-authorization-token-type")
            .is_some_and(|kind| kind == "KEYPAIR_JWT") =>
        {
            Ok(())
        }
        true => Err("no token type".to_owned()),
        false => Err(format!("{} {} {}", claims.iss, claims.sub, claims.exp - claims.iat)),
    }
}

async fn answer(State(server): State<Server>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    if let Err(reason) = check(&headers) {
        return (StatusCode::IM_A_TEAPOT, reason).into_response();
    }
    server.asked.lock().push(Asked {
        method,
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    });
    let next = server.answers.lock().pop_front();
    let (status, headers, body) = next.unwrap_or_else(|| (418, vec![], b"one request too many".to_vec()));
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

fn ok(body: Value) -> Answer {
    (200, vec![], body.to_string().into_bytes())
}

fn failed(status: u16, body: &str) -> Answer {
    (status, vec![], body.as_bytes().to_vec())
}

fn pipe() -> PipeName {
    PipeName::parse("BANK.RAW.T_PIPE").unwrap()
}

fn file(path: &str) -> StagedFile {
    StagedFile {
        path: path.to_owned(),
        size: Some(7),
    }
}

#[tokio::test]
async fn a_request_is_repeated_as_it_was_until_it_succeeds() {
    let (server, connection) = Server::start([
        failed(503, "busy"),
        (429, vec![("retry-after", "0".to_owned())], b"slow down".to_vec()),
        failed(500, ""),
        ok(json!({ "requestId": "x", "status": "success" })),
    ])
    .await;
    Snowpipe::new(connection)
        .insert_files(&pipe(), &[file("day=1/a.parquet")])
        .await
        .unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 4);
    for request in &asked {
        assert_eq!(
            (&request.method, request.path.as_str()),
            (&Method::POST, "/v1/data/pipes/BANK.RAW.T_PIPE/insertFiles")
        );
        assert_eq!(request.query, asked[0].query);
        assert_eq!(request.body, json!({ "files": [{ "path": "day=1/a.parquet", "size": 7 }] }));
    }
    assert!(asked[0].query.starts_with("requestId=") && asked[0].query.len() == "requestId=".len() + 36);
    let counted = FAULTS.map(|reason| (reason, server.faults.with_label_values(&[reason]).get()));
    assert_eq!(counted, [("429", 1), ("5xx", 2), ("no_answer", 0)]);
}

#[tokio::test]
async fn each_known_body_of_a_success_is_one_and_no_other_is() {
    let (_server, connection) = Server::start([
        ok(json!({ "requestId": "x", "responseCode": "SUCCESS" })),
        ok(json!({ "status": "success" })),
        ok(json!({ "status": "queued" })),
        failed(200, "<html>"),
    ])
    .await;
    let snowpipe = Snowpipe::new(connection);
    for _ in 0..2 {
        snowpipe.insert_files(&pipe(), &[file("a")]).await.unwrap();
    }
    for _ in 0..2 {
        let error = snowpipe.insert_files(&pipe(), &[file("a")]).await.unwrap_err();
        assert!(matches!(error, ApiError::Answer { .. }) && error.is_transient(), "{error}");
    }
}

#[tokio::test]
async fn a_request_s_limits_are_checked_before_it_is_made() {
    let (server, connection) = Server::start([]).await;
    let snowpipe = Snowpipe::new(connection);
    let many = vec![file("a"); FILES_MAX + 1];
    for files in [&many[..], &[file(&"x".repeat(1_025))]] {
        let error = snowpipe.insert_files(&pipe(), files).await.unwrap_err();
        assert!(matches!(error, ApiError::Refused { .. }), "{error}");
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn an_error_says_what_to_do() {
    let message = json!({ "message": "JWT token is invalid.", "code": "390144" }).to_string();
    let (server, connection) = Server::start([
        failed(401, &message),
        failed(401, &message),
        failed(404, r#"{"message":"Pipe not found","code":"390404"}"#),
        failed(400, "no"),
        failed(502, "1"),
        failed(502, "2"),
        failed(502, "3"),
        failed(502, "4"),
    ])
    .await;
    let snowpipe = Snowpipe::new(connection);
    let pipe = pipe();
    let login = snowpipe.report(&pipe, None).await.unwrap_err();
    let text = login.to_string();
    assert!(matches!(login, ApiError::Login { .. }) && !login.is_transient());
    assert!(
        text.contains("XY12345.LOADER") && text.contains("SHA256:") && text.contains("(code 390144)"),
        "{text}"
    );
    // With a new token, once.
    assert_eq!(server.asked().len(), 2);
    let missing = snowpipe.report(&pipe, None).await.unwrap_err();
    assert!(
        matches!(&missing, ApiError::NotFound { reason, .. } if reason.contains("Pipe not found")),
        "{missing}"
    );
    let refused = snowpipe.report(&pipe, None).await.unwrap_err();
    assert!(matches!(&refused, ApiError::Refused { .. }), "{refused}");
    let away = snowpipe.report(&pipe, None).await.unwrap_err();
    assert!(
        matches!(&away, ApiError::Unavailable { attempts: 4, .. }) && away.is_transient(),
        "{away}"
    );
    assert_eq!(server.asked().len(), 8);
}

#[tokio::test]
async fn a_statement_is_waited_for_and_its_partitions_are_read() {
    let handle = "01b2-00ff";
    let pending = json!({ "code": "333334", "statementHandle": handle, "message": "in progress" });
    let first = json!({
        "statementHandle": handle,
        "resultSetMetaData": { "rowType": [{ "name": "ID", "type": "fixed" }, { "name": "NAME", "type": "text" }],
            "partitionInfo": [{ "rowCount": 1 }, { "rowCount": 2 }] },
        "data": [["1", "a"]],
    });
    // Later partitions are compressed: `{"data":[["2",null],["3","c"]]}` by gzip.
    let gzip = include_bytes!("data/partition.json.gz").to_vec();
    let compressed = (200, vec![("content-encoding", "gzip".to_owned())], gzip);
    let (server, connection) = Server::start([
        failed(503, ""),
        (202, vec![], pending.to_string().into_bytes()),
        (202, vec![], pending.to_string().into_bytes()),
        ok(first),
        compressed,
    ])
    .await;
    let session = Session {
        role: Some("LOADER".to_owned()),
        ..Session::default()
    };
    let sql = Sql::new(connection, session, Duration::from_secs(60));
    let rows = sql.run("SELECT ID, NAME FROM T WHERE X = ?", &["y"]).await.unwrap();
    assert_eq!(rows.column("id").unwrap(), [Some("1"), Some("2"), Some("3")]);
    assert_eq!(rows.column("NAME").unwrap(), [Some("a"), None, Some("c")]);
    let asked = server.asked();
    let (submitted, repeated) = (&asked[0], &asked[1]);
    assert_eq!(submitted.body["bindings"], json!({ "1": { "type": "TEXT", "value": "y" } }));
    assert_eq!(
        (&submitted.body["role"], &submitted.body["timeout"]),
        (&json!("LOADER"), &json!(60))
    );
    assert_eq!(repeated.query, format!("{}&retry=true", submitted.query));
    let paths: Vec<_> = asked[2..]
        .iter()
        .map(|asked| format!("{}?{}", asked.path, asked.query))
        .collect();
    let of = |partition: &str| format!("/api/v2/statements/{handle}?{partition}");
    assert_eq!(paths, [of(""), of(""), of("partition=1")]);
}

#[tokio::test]
async fn a_statement_that_fails_says_why() {
    let body = json!({ "code": "002003", "message": "Object 'T' does not exist", "sqlState": "42S02" }).to_string();
    let (_server, connection) = Server::start([failed(422, &body)]).await;
    let sql = Sql::new(connection, Session::default(), Duration::from_secs(60));
    let error = sql.run("SELECT * FROM T", &[]).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "Snowflake refuses to run \"SELECT * FROM T\": 422 Unprocessable Entity: Object 'T' does not exist (code 002003)"
    );
}
