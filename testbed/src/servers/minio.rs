//! MinIO: an S3-compatible object store on one folder.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::signer::Signer;

use super::{Server, controlled};
use crate::TestbedError;
use crate::bed::Site;
use crate::ready::Probe;

const ACCESS_KEY: &str = "riverbank";
const SECRET_KEY: &str = "riverbank-secret";

/// A running object store.
#[derive(Debug)]
pub struct Minio {
    server: Server,
    endpoint: String,
}

controlled!(Minio);

impl Minio {
    pub(crate) fn prepare(site: &Site) -> Result<Self, TestbedError> {
        let folder = site.folder("minio")?;
        let endpoint = format!("http://127.0.0.1:{}", site.ports.minio);
        let program = site
            .program("minio", &site.installed.minio(), &folder)
            .arg("server")
            .args(["--quiet", "--address"])
            .arg(format!("127.0.0.1:{}", site.ports.minio))
            .arg("--console-address")
            .arg(format!("127.0.0.1:{}", site.ports.minio_console))
            .arg(folder.join("data"))
            .env("MINIO_ROOT_USER", ACCESS_KEY)
            .env("MINIO_ROOT_PASSWORD", SECRET_KEY)
            .env("MINIO_BROWSER", "off")
            .env("MINIO_UPDATE", "off")
            .env("HOME", folder.display().to_string());
        Ok(Self {
            server: Server::new(
                program,
                Probe::Http(format!("{endpoint}/minio/health/ready")),
                &[site.ports.minio, site.ports.minio_console],
            ),
            endpoint,
        })
    }

    /// The endpoint, for `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// For `AWS_ACCESS_KEY_ID`.
    pub fn access_key(&self) -> &str {
        ACCESS_KEY
    }

    /// For `AWS_SECRET_ACCESS_KEY`.
    pub fn secret_key(&self) -> &str {
        SECRET_KEY
    }

    /// A client of one bucket, which need not exist yet.
    pub fn bucket(&self, name: &str) -> Result<Arc<AmazonS3>, TestbedError> {
        AmazonS3Builder::new()
            .with_endpoint(&self.endpoint)
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name(name)
            .with_access_key_id(ACCESS_KEY)
            .with_secret_access_key(SECRET_KEY)
            .build()
            .map(Arc::new)
            .map_err(|error| unexpected(name, &error.to_string()))
    }

    /// Makes a bucket, unless it exists.
    pub async fn create_bucket(&self, name: &str) -> Result<(), TestbedError> {
        // object_store has no call for it; a signed PUT of the bucket's own URL is all that the call would be.
        let url = self
            .bucket(name)?
            .signed_url(reqwest::Method::PUT, &Path::default(), Duration::from_secs(60))
            .await
            .map_err(|error| unexpected(name, &error.to_string()))?;
        let answer = reqwest::Client::new()
            .put(url)
            .send()
            .await
            .map_err(|error| unexpected(name, &error.to_string()))?;
        // 409: it exists and is ours.
        if answer.status().is_success() || answer.status() == reqwest::StatusCode::CONFLICT {
            return Ok(());
        }
        Err(unexpected(name, &answer.status().to_string()))
    }
}

fn unexpected(bucket: &str, reason: &str) -> TestbedError {
    TestbedError::Unexpected {
        server: "minio",
        reason: format!("bucket {bucket}: {reason}"),
    }
}
