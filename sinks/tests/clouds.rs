//! What is sent to Google's and Azure's stores: every creation has its condition, and the second one fails.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use parking_lot::Mutex;
use sinks::{AzOptions, GsOptions, StoreOptions, open_with};

/// A store of either kind, as far as puts and copies go.
#[derive(Default)]
struct Cloud {
    objects: Mutex<BTreeMap<String, Bytes>>,
    /// The paths and conditions of puts.
    puts: Mutex<Vec<(String, Option<String>)>>,
}

impl Cloud {
    async fn start(condition: &'static str, copy_source: &'static str, refusal: StatusCode) -> (Arc<Self>, String) {
        let cloud = Arc::new(Self::default());
        let answer = move |State(cloud): State<Arc<Cloud>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes| async move {
            assert_eq!(method, Method::PUT, "{uri}");
            cloud.put(uri.path(), &headers, body, (condition, copy_source, refusal))
        };
        let router = Router::new().fallback(answer).with_state(cloud.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (cloud, format!("http://{address}"))
    }

    fn put(
        &self,
        path: &str,
        headers: &HeaderMap,
        body: Bytes,
        (condition, copy_source, refusal): (&str, &str, StatusCode),
    ) -> Response {
        let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let condition = header(condition);
        self.puts.lock().push((path.to_owned(), condition.clone()));
        let mut objects = self.objects.lock();
        if condition.is_some() && objects.contains_key(path) {
            return (refusal, [("x-ms-error-code", "BlobAlreadyExists")]).into_response();
        }
        let body = match header(copy_source) {
            // The last part of the names is enough here.
            Some(source) => {
                let name = source.rsplit(['/', 'F']).next().unwrap().to_owned();
                let found = objects.iter().find(|(path, _)| path.ends_with(&name));
                found.unwrap().1.clone()
            }
            None => body,
        };
        objects.insert(path.to_owned(), body);
        (StatusCode::CREATED, [("etag", "\"1\""), ("x-goog-generation", "1")]).into_response()
    }
}

/// Creates an object twice, by a put and by a copy.
async fn create_twice(cloud: &Cloud, store: &dyn ObjectStore, expected: &str) {
    let (path, copied) = (Path::from("t/one.parquet"), Path::from("t/two.parquet"));
    let create = |content: &'static str| {
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        store.put_opts(&path, content.into(), options)
    };
    create("first").await.unwrap();
    let again = create("second").await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    store.copy_if_not_exists(&path, &copied).await.unwrap();
    let again = store.copy_if_not_exists(&path, &copied).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    let contents: Vec<_> = cloud.objects.lock().values().cloned().collect();
    assert_eq!(contents, ["first", "first"]);
    let puts = cloud.puts.lock();
    assert_eq!(puts.len(), 4, "{puts:?}");
    for (path, condition) in puts.iter() {
        assert_eq!(condition.as_deref(), Some(expected), "{path}");
        assert!(
            path.contains("lake/some/prefix/t/") || path.contains("lake/some%2Fprefix%2Ft%2F"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn google_s_store_is_asked_for_a_generation_that_is_not_there() {
    let (cloud, endpoint) = Cloud::start(
        "x-goog-if-generation-match",
        "x-goog-copy-source",
        StatusCode::PRECONDITION_FAILED,
    )
    .await;
    let options = StoreOptions {
        gs: GsOptions {
            endpoint: Some(endpoint),
            service_account: None,
        },
        ..StoreOptions::default()
    };
    let store = open_with("gs://lake/some/prefix", &options).unwrap();
    create_twice(&cloud, store.as_ref(), "0").await;
}

#[tokio::test]
async fn azure_s_store_is_asked_for_none_of_the_name() {
    for url in ["az://lake/some/prefix", "abfss://lake@bank.dfs.core.windows.net/some/prefix"] {
        let (cloud, endpoint) = Cloud::start("if-none-match", "x-ms-copy-source", StatusCode::CONFLICT).await;
        let options = StoreOptions {
            az: AzOptions {
                endpoint: Some(endpoint),
                account: Some("bank".to_owned()),
                access_key: Some("c2VjcmV0".to_owned()),
            },
            ..StoreOptions::default()
        };
        let store = open_with(url, &options).unwrap();
        create_twice(&cloud, store.as_ref(), "*").await;
    }
}

#[test]
fn an_address_without_encryption_is_only_this_machine_s() {
    let options = StoreOptions {
        gs: GsOptions {
            endpoint: Some("http://store.example".to_owned()),
            service_account: None,
        },
        ..StoreOptions::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let put = runtime.block_on(async {
        let store = open_with("gs://lake", &options)?;
        store.put(&Path::from("a"), "b".into()).await.map(|_| ())?;
        Ok::<(), Box<dyn std::error::Error>>(())
    });
    assert!(put.is_err());
}
