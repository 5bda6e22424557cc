//! A proxy before an S3-compatible store: what real stores and the ways to them do wrong, with a real store's own answers.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Larger than any object of the tests.
const BODY_MAX: usize = 64 << 20;

/// What becomes of requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// They are passed on.
    Pass,
    /// The key is one that the store does not know, as after it was revoked.
    Revoked,
    /// Of what is written, so many are done, and the answer is an error or none at all.
    Unsure(f64),
    /// An object that is there is overwritten, although it was to be created only.
    Overwrites,
}

pub struct Proxy {
    endpoint: String,
    /// The bucket, past the proxy.
    bucket: (String, Arc<dyn ObjectStore>),
    key: String,
    client: reqwest::Client,
    state: Mutex<(Mode, ChaCha8Rng, u64)>,
}

impl Proxy {
    pub async fn start(minio: &testbed::Minio, bucket: &str, seed: u64) -> (Arc<Self>, SocketAddr) {
        let proxy = Arc::new(Self {
            endpoint: minio.endpoint().to_owned(),
            bucket: (bucket.to_owned(), minio.bucket(bucket).unwrap()),
            key: minio.access_key().to_owned(),
            client: reqwest::Client::new(),
            state: Mutex::new((Mode::Pass, ChaCha8Rng::seed_from_u64(seed), 0)),
        });
        let app = Router::new().fallback(pass).with_state(proxy.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        (proxy, address)
    }

    pub fn set(&self, mode: Mode) {
        self.state.lock().0 = mode;
    }

    /// How many requests the mode has changed since the last call.
    pub fn take_changed(&self) -> u64 {
        std::mem::take(&mut self.state.lock().2)
    }

    /// Whether this one is changed; noted.
    fn draw(&self, probability: f64) -> bool {
        let state = &mut *self.state.lock();
        let is_it = state.1.random_bool(probability);
        state.2 += u64::from(is_it);
        is_it
    }

    async fn send(&self, method: Method, path: &str, headers: HeaderMap, body: Bytes) -> Response {
        let is_head = method == Method::HEAD;
        let request = self.client.request(method, format!("{}{path}", self.endpoint));
        let answer = match request.headers(headers).body(body).send().await {
            Ok(answer) => answer,
            Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        };
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        headers.remove(header::TRANSFER_ENCODING);
        headers.remove(header::CONNECTION);
        let body = match is_head {
            true => Body::empty(),
            false => answer.bytes().await.unwrap_or_default().into(),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    /// Writes an object, whatever is there.
    async fn overwrite(&self, path: &str, body: Bytes) -> Response {
        let inside = path.trim_start_matches('/').strip_prefix(&self.bucket.0).unwrap();
        let decoded = Path::from_url_path(inside.split('?').next().unwrap()).unwrap();
        let put = self.bucket.1.put(&decoded, body.into()).await.unwrap();
        let tag = HeaderValue::from_str(&put.e_tag.unwrap()).unwrap();
        (StatusCode::OK, [(header::ETAG, tag)]).into_response()
    }
}

async fn pass(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_MAX).await.unwrap();
    let path = parts.uri.path_and_query().unwrap().as_str().to_owned();
    let (method, mut headers) = (parts.method, parts.headers);
    let mode = proxy.state.lock().0;
    match mode {
        Mode::Revoked if proxy.draw(1.0) => {
            let signed = headers[header::AUTHORIZATION].to_str().unwrap();
            let signed = signed.replace(&format!("Credential={}/", proxy.key), "Credential=revoked/");
            headers.insert(header::AUTHORIZATION, signed.parse().unwrap());
        }
        Mode::Overwrites if method == Method::PUT && headers.contains_key(header::IF_NONE_MATCH) && proxy.draw(1.0) => {
            return proxy.overwrite(&path, body).await;
        }
        Mode::Unsure(probability) if method != Method::GET && method != Method::HEAD && proxy.draw(probability) => {
            let done = proxy.send(method, &path, headers, body).await;
            let is_silent = proxy.state.lock().1.random_bool(0.3);
            if is_silent {
                std::future::pending::<()>().await;
            }
            return (StatusCode::BAD_GATEWAY, format!("the store said {}", done.status())).into_response();
        }
        _ => {}
    }
    proxy.send(method, &path, headers, body).await
}
