//! A Confluent-compatible registry over HTTP.
//!
//! The client is async and its callers are plain threads as well as async tasks, so its calls run on a thread with a runtime of
//! its own. Schemas are kept for good: an id's never changes. That there is none is never kept: the registry may be a moment
//! behind. And only what the registry itself says counts as an answer, which is JSON with an error code: the status alone may be a
//! proxy's.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use backon::{BlockingRetryable, ExponentialBuilder};
use hashbrown::HashMap;
use parking_lot::RwLock;
use schema_registry_converter::async_impl::schema_registry::{SrSettings, get_schema_by_guid, get_schema_by_id, post_schema};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{RawError, SchemaType, SuppliedSchema};
use tokio::runtime::{Handle, Runtime};

use super::Registry;
use crate::RegistryError;

const TIMEOUT: Duration = Duration::from_secs(5);
const RETRIES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(100))
    .with_max_times(2)
    .with_jitter();

/// A registry that speaks Confluent's API, such as Confluent's own or Apicurio's.
pub struct HttpRegistry {
    settings: SrSettings,
    runtime: Option<Runtime>,
    handle: Handle,
    by_id: RwLock<HashMap<u32, Arc<str>>>,
    registered: RwLock<HashMap<(String, String), u32>>,
}

impl HttpRegistry {
    /// A client of the registry at this URL. Nothing is asked yet.
    pub fn new(url: &str) -> Result<Self, RegistryError> {
        let unavailable = |e: &dyn std::fmt::Display| RegistryError::Unavailable(format!("{url}: {e}"));
        let mut builder = SrSettings::new_builder(url.trim_end_matches('/').to_owned());
        builder.set_timeout(TIMEOUT).no_proxy();
        let settings = builder.build().map_err(|e| unavailable(&e))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("schema-registry")
            .enable_all()
            .build()
            .map_err(|e| unavailable(&e))?;
        let handle = runtime.handle().clone();
        Ok(Self {
            settings,
            runtime: Some(runtime),
            handle,
            by_id: RwLock::default(),
            registered: RwLock::default(),
        })
    }

    /// Runs a call to its end, wherever the caller is.
    fn wait<T: Send + 'static>(&self, call: impl Future<Output = T> + Send + 'static) -> Result<T, RegistryError> {
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        self.handle.spawn(async move {
            let _ = answer.send(call.await);
        });
        answered
            .recv_timeout(TIMEOUT * 2)
            .map_err(|e| RegistryError::Unavailable(e.to_string()))
    }

    fn attempt<T: Send + 'static, F: Future<Output = Result<T, SRCError>> + Send + 'static>(
        &self,
        call: impl Fn() -> F,
    ) -> Result<T, SRCError> {
        let ask = || {
            self.wait(call())
                .unwrap_or_else(|error| Err(SRCError::new(&error.to_string(), None, true)))
        };
        ask.retry(RETRIES).when(|error| answer(error).is_none()).call()
    }
}

/// What the registry itself answered: the HTTP status, where the error code agrees with it. Without that (no connection, a
/// time-out, a proxy's page, half an answer, a fault of its own) it has said nothing.
fn answer(error: &SRCError) -> Option<u16> {
    let status = status(error)?;
    let said = error.source()?.downcast_ref::<RawError>()?.error_code;
    // 40403 is Confluent's for a schema that is not found.
    let agrees = said == u32::from(status) || said / 100 == u32::from(status);
    let is_final = matches!(status, 400..=499) && status != 408 && status != 429;
    (agrees && is_final).then_some(status)
}

impl Registry for HttpRegistry {
    fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let key = (subject.to_owned(), schema.to_owned());
        if let Some(id) = self.registered.read().get(&key) {
            return Ok(*id);
        }
        let call = || {
            let supplied = SuppliedSchema::new(None, SchemaType::Avro, schema.to_owned());
            let (settings, subject) = (self.settings.clone(), subject.to_owned());
            async move { post_schema(&settings, subject, supplied).await }
        };
        let registered = self.attempt(call).map_err(|error| match answer(&error) {
            Some(409 | 422 | 400) => RegistryError::Refused {
                subject: subject.to_owned(),
                reason: error.to_string(),
            },
            _ => RegistryError::Unavailable(error.to_string()),
        })?;
        self.registered.write().insert(key, registered.id);
        Ok(registered.id)
    }

    fn by_id(&self, id: u32) -> Result<Arc<str>, RegistryError> {
        if let Some(schema) = self.by_id.read().get(&id) {
            return Ok(schema.clone());
        }
        let call = || {
            let settings = self.settings.clone();
            async move { get_schema_by_id(id, &settings).await }
        };
        let registered = self.attempt(call).map_err(|error| match answer(&error) {
            Some(404) => RegistryError::NotFound(id),
            _ => RegistryError::Unavailable(error.to_string()),
        })?;
        let schema: Arc<str> = registered.schema.into();
        self.by_id.write().insert(id, schema.clone());
        Ok(schema)
    }

    fn by_guid(&self, guid: &str) -> Result<Arc<str>, RegistryError> {
        let call = || {
            let (settings, guid) = (self.settings.clone(), guid.to_owned());
            async move { get_schema_by_guid(&guid, &settings).await }
        };
        // A registry that knows no GUIDs has no such path at all: that is an answer without an error code.
        let registered = self.attempt(call).map_err(|error| match (answer(&error), status(&error)) {
            (Some(404), _) | (None, Some(404 | 405)) => RegistryError::NoSuchGuid(guid.to_owned()),
            _ => RegistryError::Unavailable(error.to_string()),
        })?;
        Ok(registered.schema.into())
    }
}

/// The HTTP status, whoever it is from. It is read where the client puts it, and nowhere else: the cause may name a URL, whose port
/// is no status.
fn status(error: &SRCError) -> Option<u16> {
    let (_, answer) = error.error.split_once("failed with status ")?;
    answer.split(' ').next()?.parse().ok()
}

impl Drop for HttpRegistry {
    fn drop(&mut self) {
        // Dropping a runtime within another one's task would panic.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener};

    use super::*;

    /// A server that gives every request this answer.
    fn answering(status: &'static str, body: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                // Closing with a request half read would reset the connection, and the answer with it.
                let _ = stream.shutdown(Shutdown::Write);
                let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            }
        });
        url
    }

    #[test]
    fn a_no_is_final_and_a_trouble_is_not() {
        let missing = answering("404 Not Found", r#"{"error_code":40403,"message":"none"}"#);
        let error = HttpRegistry::new(&missing).unwrap().by_id(7).unwrap_err();
        assert!(matches!(error, RegistryError::NotFound(7)), "{error}");

        let strict = answering("409 Conflict", r#"{"error_code":409,"message":"incompatible"}"#);
        let error = HttpRegistry::new(&strict).unwrap().register("s", "\"long\"").unwrap_err();
        assert!(matches!(error, RegistryError::Refused { .. }), "{error}");

        for trouble in [
            "500 Internal Server Error",
            "503 Service Unavailable",
            "429 Too Many Requests",
        ] {
            let away = answering(trouble, r#"{"error_code":404,"message":"404 409 422"}"#);
            let error = HttpRegistry::new(&away).unwrap().by_id(7).unwrap_err();
            assert!(matches!(error, RegistryError::Unavailable(_)), "{trouble}: {error}");
        }
    }

    #[test]
    fn a_port_in_the_message_is_no_answer() {
        let cause = SRCError::new(
            "http call to schema registry failed",
            Some("http://127.0.0.1:40912/schemas/ids/404".into()),
            true,
        );
        assert_eq!(status(&cause), None);
    }

    #[tokio::test]
    async fn it_may_be_asked_and_dropped_inside_a_runtime() {
        let url = answering("404 Not Found", r#"{"error_code":40403,"message":"none"}"#);
        let registry = HttpRegistry::new(&url).unwrap();
        assert!(registry.by_id(7).is_err());
    }
}
