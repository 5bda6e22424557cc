//! MinIO: an S3-compatible object store on one folder.

use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::aws::{AmazonS3, AmazonS3Builder, AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::path::Path;
use object_store::signer::Signer;
use reqwest::StatusCode;

use super::{Server, controlled};
use crate::TestbedError;
use crate::ready::Probe;
use crate::site::Site;

const ACCESS_KEY: &str = "riverbank";
const SECRET_KEY: &str = "riverbank-secret";
/// How long a bucket may take to be made.
const BUCKET_PATIENCE: Duration = Duration::from_secs(60);

/// Where the store reports what happens in its buckets, once [`Minio::notify`] has said which.
#[derive(Debug, Default, Clone)]
pub struct BucketEvents {
    /// An address that takes POSTs, and the token that they have.
    pub webhook: Option<(String, String)>,
    /// A topic of the testbed's Kafka.
    pub topic: Option<String>,
}

impl BucketEvents {
    fn environment(&self, kafka: u16, queue: &std::path::Path) -> Vec<(&'static str, String)> {
        let queue = |name: &str| queue.join(name).display().to_string();
        let on = || "on".to_owned();
        let mut variables = Vec::new();
        if let Some((url, token)) = &self.webhook {
            variables.extend([
                ("MINIO_NOTIFY_WEBHOOK_ENABLE_LAKE", on()),
                ("MINIO_NOTIFY_WEBHOOK_ENDPOINT_LAKE", url.clone()),
                ("MINIO_NOTIFY_WEBHOOK_AUTH_TOKEN_LAKE", token.clone()),
                ("MINIO_NOTIFY_WEBHOOK_QUEUE_DIR_LAKE", queue("webhook-queue")),
            ]);
        }
        if let Some(topic) = &self.topic {
            variables.extend([
                ("MINIO_NOTIFY_KAFKA_ENABLE_LAKE", on()),
                ("MINIO_NOTIFY_KAFKA_BROKERS_LAKE", format!("127.0.0.1:{kafka}")),
                ("MINIO_NOTIFY_KAFKA_TOPIC_LAKE", topic.clone()),
                ("MINIO_NOTIFY_KAFKA_QUEUE_DIR_LAKE", queue("kafka-queue")),
            ]);
        }
        variables
    }

    /// The targets' names in S3's terms.
    fn arns(&self) -> Vec<&'static str> {
        let webhook = self.webhook.as_ref().map(|_| "arn:minio:sqs::LAKE:webhook");
        let kafka = self.topic.as_ref().map(|_| "arn:minio:sqs::LAKE:kafka");
        webhook.into_iter().chain(kafka).collect()
    }
}

/// A running object store.
#[derive(Debug)]
pub struct Minio {
    server: Server,
    endpoint: String,
    events: BucketEvents,
}

controlled!(Minio);

impl Minio {
    pub(crate) fn prepare(site: &Site, events: BucketEvents) -> Result<Self, TestbedError> {
        let folder = site.folder("minio")?;
        let endpoint = format!("http://127.0.0.1:{}", site.ports.minio);
        let mut program = site
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
        for (name, value) in events.environment(site.ports.kafka, &folder) {
            program = program.env(name, value);
        }
        Ok(Self {
            server: Server::new(
                program,
                Probe::Http(format!("{endpoint}/minio/health/ready")),
                &[site.ports.minio, site.ports.minio_console],
            ),
            endpoint,
            events,
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
        let (client, end) = (reqwest::Client::new(), Instant::now() + BUCKET_PATIENCE);
        loop {
            let answer = client.put(url.clone()).send().await;
            let status = answer.map_err(|error| unexpected(name, &error.to_string()))?.status();
            match status {
                // 409: it exists and is ours.
                StatusCode::CONFLICT => return Ok(()),
                status if status.is_success() => return Ok(()),
                // Busy with its own start, though it says that it is ready.
                StatusCode::SERVICE_UNAVAILABLE if Instant::now() < end => tokio::time::sleep(Duration::from_millis(100)).await,
                status => return Err(unexpected(name, &status.to_string())),
            }
        }
    }

    /// Reports every object that is created in a bucket to the targets of [`BucketEvents`].
    pub async fn notify(&self, bucket: &str) -> Result<(), TestbedError> {
        let target =
            |arn: &str| format!("<QueueConfiguration><Queue>{arn}</Queue><Event>s3:ObjectCreated:*</Event></QueueConfiguration>");
        let targets: String = self.events.arns().into_iter().map(target).collect();
        let body = format!("<NotificationConfiguration>{targets}</NotificationConfiguration>");
        let url = format!("{}/{bucket}?notification=", self.endpoint);
        let mut request = HttpRequest::new(HttpRequestBody::from(body.clone()));
        *request.method_mut() = reqwest::Method::PUT;
        *request.uri_mut() = url.parse().map_err(|_| unexpected(bucket, "its name makes no address"))?;
        let credential = AwsCredential {
            key_id: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
            token: None,
        };
        AwsAuthorizer::new(&credential, "s3", "us-east-1")
            .try_authorize(&mut request, None)
            .map_err(|error| unexpected(bucket, &error.to_string()))?;
        let answer = reqwest::Client::new()
            .put(&url)
            .headers(request.headers().clone())
            .body(body)
            .send()
            .await
            .map_err(|error| unexpected(bucket, &error.to_string()))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let reason = answer.text().await.unwrap_or_default();
        Err(unexpected(bucket, &format!("{status}: {reason}")))
    }
}

fn unexpected(bucket: &str, reason: &str) -> TestbedError {
    TestbedError::Unexpected {
        server: "minio",
        reason: format!("bucket {bucket}: {reason}"),
    }
}
