//! Opens the object store that a URL names.
//!
//! `s3://bucket/prefix` (AWS, MinIO), `gs://bucket/prefix`, `az://container/prefix` (or `abfss://container@account.dfs.core.windows.net/prefix`, as
//! readers of Iceberg tables name it), `file:///folder`, `memory:///`. Whatever stands behind it must refuse to create an object that
//! is there already: S3 and Azure do by `If-None-Match`, GCS by `x-goog-if-generation-match: 0`, a file system by a hard link.

mod az;
mod client;
mod error;
mod gs;
mod s3;

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::prefix::PrefixStore;
use url::Url;

pub use self::az::AzOptions;
pub use self::error::TargetError;
pub use self::gs::GsOptions;
pub use self::s3::S3Options;

/// How to reach the stores that need more than a URL.
#[derive(Clone, Default)]
pub struct StoreOptions {
    /// `s3://`.
    pub s3: S3Options,
    /// `gs://`.
    pub gs: GsOptions,
    /// `az://` and `abfss://`.
    pub az: AzOptions,
}

/// Opens a store of S3, of this machine, or in memory; nothing is asked of it yet.
pub fn open(url: &str, s3: &S3Options) -> Result<Arc<dyn ObjectStore>, TargetError> {
    let options = StoreOptions {
        s3: s3.clone(),
        ..StoreOptions::default()
    };
    open_with(url, &options)
}

/// Opens a store; nothing is asked of it yet.
pub fn open_with(url: &str, options: &StoreOptions) -> Result<Arc<dyn ObjectStore>, TargetError> {
    let wrong = |reason: String| TargetError::Url {
        url: url.to_owned(),
        reason,
    };
    let parsed = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
    let host = |what: &str| {
        let host = parsed.host_str().filter(|host| !host.is_empty());
        host.ok_or_else(|| wrong(format!("it names no {what}")))
    };
    match parsed.scheme() {
        "s3" => Ok(under(s3::open(host("bucket")?, &options.s3)?, parsed.path())),
        "gs" => Ok(under(gs::open(host("bucket")?, &options.gs)?, parsed.path())),
        "az" => Ok(under(az::open(host("container")?, None, &options.az)?, parsed.path())),
        "abfss" => {
            let account = host("account")?.split('.').next();
            match parsed.username() {
                "" => Err(wrong(
                    "it must be abfss://container@account.dfs.core.windows.net/prefix".into(),
                )),
                container => Ok(under(az::open(container, account, &options.az)?, parsed.path())),
            }
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
        other => Err(wrong(format!("{other}: is not s3:, gs:, az:, abfss:, file: or memory:"))),
    }
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
        assert!(refusal("gs:///prefix").contains("no bucket"));
        assert!(refusal("az:///prefix").contains("no container"));
        assert!(refusal("abfss://account.dfs.core.windows.net/prefix").contains("container@account"));
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
