//! Azure Blob Storage, which Data Lake Storage is, too.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::azure::MicrosoftAzureBuilder;

use super::client::{client, is_local_http, retries};
use super::error::TargetError;

/// How to reach Azure Blob Storage.
#[derive(Clone, Default)]
pub struct AzOptions {
    /// Its address; `None` is the account's at Azure. `http://` only on this machine: an emulator.
    pub endpoint: Option<String>,
    /// The storage account, unless the URL names it or `AZURE_STORAGE_ACCOUNT_NAME` does.
    pub account: Option<String>,
    /// Its key; `None`: what `AZURE_*` variables say, or the machine's own identity.
    pub access_key: Option<String>,
}

pub(super) fn open(container: &str, account: Option<&str>, az: &AzOptions) -> Result<Arc<dyn ObjectStore>, TargetError> {
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(container)
        .with_client_options(client(az.endpoint.as_deref().is_some_and(is_local_http)))
        .with_retry(retries());
    if let Some(account) = account.or(az.account.as_deref()) {
        builder = builder.with_account(account);
    }
    if let Some(key) = &az.access_key {
        builder = builder.with_access_key(key);
    }
    if let Some(endpoint) = &az.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    Ok(Arc::new(builder.build()?))
}
