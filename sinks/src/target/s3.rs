//! S3, and what speaks like it.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut, S3CopyIfNotExists};

use super::client::{client, retries};
use super::error::TargetError;

/// How to reach an S3-compatible store.
#[derive(Clone, Default)]
pub struct S3Options {
    /// Its address, such as `http://127.0.0.1:9000`; `None` is AWS itself.
    pub endpoint: Option<String>,
    /// The access key; with the secret, or neither: then the machine's own role or `AWS_*` variables are used.
    pub access_key: Option<String>,
    /// The secret that belongs to it.
    pub secret_key: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Whether the endpoint may be `http://`.
    pub allow_http: bool,
}

pub(super) fn open(bucket: &str, s3: &S3Options) -> Result<Arc<dyn ObjectStore>, TargetError> {
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
        .with_client_options(client(s3.allow_http))
        .with_allow_http(s3.allow_http)
        .with_retry(retries());
    if let Some(endpoint) = &s3.endpoint {
        builder = builder
            .with_endpoint(endpoint.trim_end_matches('/'))
            .with_virtual_hosted_style_request(false);
    }
    if let (Some(key), Some(secret)) = (&s3.access_key, &s3.secret_key) {
        builder = builder.with_access_key_id(key).with_secret_access_key(secret);
    }
    if let Some(region) = &s3.region {
        builder = builder.with_region(region);
    }
    Ok(Arc::new(builder.build()?))
}
