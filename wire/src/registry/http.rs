//! A Confluent-compatible registry over HTTP.
//!
//! The client is async and its callers are plain threads as well as async tasks, so its calls run on a thread with a runtime of
//! its own. Answers are kept for good: an id's schema never changes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::RwLock;
use schema_registry_converter::async_impl::schema_registry::{SrSettings, get_schema_by_id, post_schema};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{SchemaType, SuppliedSchema};
use tokio::runtime::{Handle, Runtime};

use super::Registry;
use crate::RegistryError;

const TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPTS: u32 = 3;
const BACKOFF: Duration = Duration::from_millis(100);

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
        let mut attempt = 1;
        loop {
            let error = match self.wait(call()) {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) if !error.retriable => return Err(error),
                Ok(Err(error)) => error,
                Err(error) => SRCError::new(&error.to_string(), None, true),
            };
            if attempt == ATTEMPTS {
                return Err(error);
            }
            std::thread::sleep(BACKOFF * attempt);
            attempt += 1;
        }
    }
}

/// Whether the registry itself said no. Everything else (no connection, a time-out, a gateway's page) says nothing.
fn status(error: &SRCError) -> Option<u16> {
    let text = error.to_string();
    ["404", "40403", "409", "422", "400"]
        .iter()
        .find(|code| text.contains(*code))
        .and_then(|code| code[..3].parse().ok())
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
        let registered = self.attempt(call).map_err(|error| match status(&error) {
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
        let registered = self.attempt(call).map_err(|error| match status(&error) {
            Some(404) => RegistryError::NotFound(id),
            _ => RegistryError::Unavailable(error.to_string()),
        })?;
        let schema: Arc<str> = registered.schema.into();
        self.by_id.write().insert(id, schema.clone());
        Ok(schema)
    }
}

impl Drop for HttpRegistry {
    fn drop(&mut self) {
        // Dropping a runtime within another one's task would panic.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
