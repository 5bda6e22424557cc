//! Opens the object store that a URL names.
//!
//! `s3://bucket/prefix` (AWS, MinIO), `file:///folder`, `memory:///`. Whatever stands behind it must refuse to create an object
//! that is there already; S3 does by `If-None-Match`, a file system by a hard link.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut, S3CopyIfNotExists};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use url::Url;

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

/// Why a URL does not lead to a store: a setting is wrong.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It is not a URL, or has no meaning here.
    #[error("{url}: {reason}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder cannot be made.
    #[error("{0}: {1}")]
    Folder(PathBuf, std::io::Error),
    /// The store's client refuses its options.
    #[error(transparent)]
    Options(#[from] object_store::Error),
}

/// Opens the store; nothing is asked of it yet.
pub fn open(url: &str, s3: &S3Options) -> Result<Arc<dyn ObjectStore>, TargetError> {
    let wrong = |reason: String| TargetError::Url {
        url: url.to_owned(),
        reason,
    };
    let parsed = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
    match parsed.scheme() {
        "s3" => {
            let bucket = parsed
                .host_str()
                .filter(|host| !host.is_empty())
                .ok_or_else(|| wrong("it names no bucket".into()))?;
            Ok(under(Arc::new(open_s3(bucket, s3)?), parsed.path()))
        }
        "file" => {
            let folder = parsed
                .to_file_path()
                .map_err(|()| wrong("it names no folder of this machine".into()))?;
            std::fs::create_dir_all(&folder).map_err(|error| TargetError::Folder(folder.clone(), error))?;
            // What the log is told to be written must outlive a power cut.
            Ok(Arc::new(LocalFileSystem::new_with_prefix(folder)?.with_fsync(true)))
        }
        "memory" => Ok(Arc::new(InMemory::new())),
        other => Err(wrong(format!("{other}: is not s3:, file: or memory:"))),
    }
}

fn open_s3(bucket: &str, s3: &S3Options) -> Result<impl ObjectStore, TargetError> {
    // The sink retries by itself, so that its trouble is seen; the client covers only a lost connection.
    let retry = RetryConfig {
        max_retries: 2,
        retry_timeout: Duration::from_secs(10),
        backoff: BackoffConfig::default(),
    };
    let client = ClientOptions::new()
        .with_allow_http(s3.allow_http)
        .with_connect_timeout(Duration::from_secs(5))
        // The sink's own time-out ends an attempt; large files on slow lines must not hit another one first.
        .with_timeout(Duration::from_secs(600));
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
        .with_client_options(client)
        .with_allow_http(s3.allow_http)
        .with_retry(retry);
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
    Ok(builder.build()?)
}

fn under(store: Arc<dyn ObjectStore>, path: &str) -> Arc<dyn ObjectStore> {
    match path.trim_matches('/') {
        "" => store,
        prefix => Arc::new(PrefixStore::new(store, prefix)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        open(url, &S3Options::default()).map(|_| ()).expect_err(url).to_string()
    }

    #[test]
    fn a_wrong_target_is_named_with_its_reason() {
        assert!(refusal("lake").contains("lake"));
        assert!(refusal("ftp://host/x").contains("is not s3:"));
        assert!(refusal("s3:///prefix").contains("no bucket"));
        assert!(refusal("file://elsewhere/lake").contains("no folder"));
    }

    #[test]
    fn a_folder_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path().join("a b/lake");
        open(Url::from_file_path(&lake).unwrap().as_str(), &S3Options::default()).unwrap();
        assert!(lake.is_dir());
    }

    #[test]
    fn secrets_and_an_endpoint_make_a_store() {
        let s3 = S3Options {
            endpoint: Some("http://127.0.0.1:9000/".into()),
            access_key: Some("key".into()),
            secret_key: Some("secret".into()),
            region: Some("us-east-1".into()),
            allow_http: true,
        };
        let store = open("s3://bucket/some/prefix", &s3).unwrap();
        assert!(store.to_string().contains("some/prefix"), "{store}");
    }
}
