//! Google Cloud Storage.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::gcp::GoogleCloudStorageBuilder;

use super::client::{client, is_local_http, retries};
use super::error::TargetError;

/// How to reach Google Cloud Storage.
#[derive(Clone, Default)]
pub struct GsOptions {
    /// Its address; `None` is Google's. `http://` only on this machine: an emulator, which is asked without a login.
    pub endpoint: Option<String>,
    /// A service account's key, as JSON; `None`: `GOOGLE_*` variables, `gcloud`'s default credentials, or the machine's own account.
    pub service_account: Option<String>,
}

pub(super) fn open(bucket: &str, gs: &GsOptions) -> Result<Arc<dyn ObjectStore>, TargetError> {
    let is_emulator = gs.endpoint.as_deref().is_some_and(is_local_http);
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(bucket)
        .with_client_options(client(is_emulator))
        .with_retry(retries());
    if let Some(endpoint) = &gs.endpoint {
        builder = builder.with_base_url(endpoint.trim_end_matches('/'));
    }
    if is_emulator && gs.service_account.is_none() {
        // Otherwise the machine's own account would be asked for a token.
        builder = builder.with_skip_signature(true).with_bearer_token("emulator");
    }
    if let Some(key) = &gs.service_account {
        builder = builder.with_service_account_key(key);
    }
    Ok(Arc::new(builder.build()?))
}
