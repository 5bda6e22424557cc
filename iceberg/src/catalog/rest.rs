//! A catalog behind Iceberg's REST API. It writes the metadata files itself.

use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use url::Url;

use super::{Catalog, CatalogError, Commit, Creation, Loaded, TableName};
use crate::metadata::Metadata;

/// How long a request may take. A commit that takes longer may still be done.
const PATIENCE: Duration = Duration::from_secs(30);
/// What separates a namespace's levels in a path.
const LEVELS: &str = "\u{1f}";

/// How a REST catalog is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct RestOptions {
    /// Its address, before `/v1`.
    pub url: String,
    /// The warehouse that it is asked for, where it has several.
    pub warehouse: Option<String>,
    /// A token that is sent as it is.
    pub token: Option<String>,
    /// `id:secret`, for which it gives a token (OAuth2, client credentials).
    pub credential: Option<String>,
}

impl std::fmt::Debug for RestOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RestOptions")
            .field("url", &self.url)
            .field("warehouse", &self.warehouse)
            .finish_non_exhaustive()
    }
}

/// A REST catalog.
pub struct RestCatalog {
    client: reqwest::Client,
    options: RestOptions,
    /// Between `/v1` and the rest, once the catalog was asked.
    prefix: Mutex<Option<Vec<String>>>,
    token: Mutex<Option<String>>,
}

impl RestCatalog {
    /// The catalog of these options; it is asked when it is needed.
    pub fn new(options: RestOptions) -> Result<Self, CatalogError> {
        let client = reqwest::Client::builder().timeout(PATIENCE).build().map_err(failed)?;
        Url::parse(&options.url).map_err(|error| CatalogError::Failed(format!("{}: {error}", options.url)))?;
        Ok(Self {
            token: Mutex::new(options.token.clone()),
            prefix: Mutex::default(),
            client,
            options,
        })
    }

    fn url(&self, parts: &[&str]) -> Result<Url, CatalogError> {
        let mut url = Url::parse(&self.options.url).map_err(failed)?;
        let mut path = url
            .path_segments_mut()
            .map_err(|()| CatalogError::Failed("its address has no path".to_owned()))?;
        path.pop_if_empty().push("v1").extend(parts);
        drop(path);
        Ok(url)
    }

    /// Sends a request; a token that the catalog does not take any more is got anew, once.
    async fn send(&self, method: Method, url: Url, body: Option<&Value>) -> Result<(StatusCode, Value), CatalogError> {
        let request = || {
            let request = self.client.request(method.clone(), url.clone());
            match body {
                Some(body) => request.json(body),
                None => request,
            }
        };
        let (status, answer) = self.ask(request()).await?;
        if status == StatusCode::UNAUTHORIZED && self.options.credential.is_some() {
            self.authorize().await?;
            return self.ask(request()).await;
        }
        Ok((status, answer))
    }

    async fn ask(&self, request: RequestBuilder) -> Result<(StatusCode, Value), CatalogError> {
        let token = self.token.lock().clone();
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let unknown = |error: reqwest::Error| CatalogError::Unknown(error.without_url().to_string());
        let response = request.send().await.map_err(unknown)?;
        let status = response.status();
        let text = response.text().await.map_err(unknown)?;
        let answer = match serde_json::from_str(&text) {
            Ok(answer) => answer,
            // Without a body, or a proxy's page.
            Err(_) if !status.is_success() || text.is_empty() => Value::Null,
            Err(error) => return Err(CatalogError::Unknown(error.to_string())),
        };
        Ok((status, answer))
    }

    async fn authorize(&self) -> Result<(), CatalogError> {
        let credential = self.options.credential.as_deref().unwrap_or_default();
        let (id, secret) = credential.split_once(':').unwrap_or(("", credential));
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", id)
            .append_pair("client_secret", secret)
            .append_pair("scope", "catalog")
            .finish();
        *self.token.lock() = None;
        let request = self
            .client
            .post(self.url(&["oauth", "tokens"])?)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let (status, answer) = self.ask(request).await?;
        let token = answer["access_token"].as_str().filter(|_| status.is_success());
        let token = token.ok_or_else(|| refused("a token", status, &answer))?;
        *self.token.lock() = Some(token.to_owned());
        Ok(())
    }

    /// The parts of a path behind what the catalog wants there.
    async fn path(&self, parts: &[&str]) -> Result<Url, CatalogError> {
        let known = self.prefix.lock().clone();
        let prefix = match known {
            Some(prefix) => prefix,
            None => {
                let mut url = self.url(&["config"])?;
                if let Some(warehouse) = &self.options.warehouse {
                    url.query_pairs_mut().append_pair("warehouse", warehouse);
                }
                let (status, answer) = self.send(Method::GET, url, None).await?;
                if !status.is_success() {
                    return Err(refused("its configuration", status, &answer));
                }
                let prefix = ["overrides", "defaults"]
                    .iter()
                    .find_map(|part| answer[part]["prefix"].as_str());
                let prefix: Vec<String> = prefix
                    .into_iter()
                    .flat_map(|text| text.split('/'))
                    .map(str::to_owned)
                    .collect();
                *self.prefix.lock() = Some(prefix.clone());
                prefix
            }
        };
        let prefix = prefix.iter().map(String::as_str).filter(|part| !part.is_empty());
        self.url(&prefix.chain(parts.iter().copied()).collect::<Vec<_>>())
    }

    async fn table(&self, table: &TableName) -> Result<Url, CatalogError> {
        let namespace = table.namespace.join(LEVELS);
        self.path(&["namespaces", &namespace, "tables", &table.name]).await
    }
}

fn failed(error: impl std::fmt::Display) -> CatalogError {
    CatalogError::Failed(error.to_string())
}

/// What a refusal means: where the server itself failed, it may have done what was asked.
fn refused(what: &str, status: StatusCode, answer: &Value) -> CatalogError {
    let message = answer["error"]["message"].as_str().unwrap_or("without a word");
    let text = format!("{what}: {status}, {message}");
    match status {
        StatusCode::CONFLICT => CatalogError::Conflict(text),
        status if status.is_server_error() => CatalogError::Unknown(text),
        _ => CatalogError::Failed(text),
    }
}

#[async_trait]
impl Catalog for RestCatalog {
    async fn load(&self, table: &TableName) -> Result<Option<Loaded>, CatalogError> {
        let url = self.table(table).await?;
        let (status, answer) = self.send(Method::GET, url, None).await?;
        match status {
            StatusCode::NOT_FOUND => return Ok(None),
            status if !status.is_success() => return Err(refused("load a table", status, &answer)),
            _ => {}
        }
        let location = answer["metadata-location"].as_str().unwrap_or_default().to_owned();
        let metadata = Metadata::from_json(answer["metadata"].clone());
        let metadata = metadata.map_err(|reason| CatalogError::Failed(format!("{location}: {reason}")))?;
        Ok(Some(Loaded { metadata, location }))
    }

    async fn create(&self, table: &TableName, creation: &Creation) -> Result<(), CatalogError> {
        // The outer levels first.
        for levels in 1..=table.namespace.len() {
            let body = json!({"namespace": &table.namespace[..levels], "properties": {}});
            let (status, answer) = self
                .send(Method::POST, self.path(&["namespaces"]).await?, Some(&body))
                .await?;
            if !status.is_success() && status != StatusCode::CONFLICT {
                return Err(refused("make a namespace", status, &answer));
            }
        }
        let namespace = table.namespace.join(LEVELS);
        let url = self.path(&["namespaces", &namespace, "tables"]).await?;
        let body = json!({
            "name": table.name,
            "location": creation.location,
            "schema": creation.columns.schema(0),
            "partition-spec": {"spec-id": 0, "fields": []},
            "write-order": {"order-id": 0, "fields": []},
            "properties": creation.properties,
        });
        let (status, answer) = self.send(Method::POST, url, Some(&body)).await?;
        match status.is_success() || status == StatusCode::CONFLICT {
            true => Ok(()),
            false => Err(refused("make a table", status, &answer)),
        }
    }

    async fn commit(&self, table: &TableName, _: &Loaded, commit: &Commit) -> Result<(), CatalogError> {
        let url = self.table(table).await?;
        let requirements: Vec<Value> = commit.requirements.iter().flat_map(|one| one.to_json()).collect();
        let updates: Vec<Value> = commit.updates.iter().flat_map(|one| one.to_json()).collect();
        let body = json!({
            "identifier": {"namespace": table.namespace, "name": table.name},
            "requirements": requirements,
            "updates": updates,
        });
        let (status, answer) = self.send(Method::POST, url, Some(&body)).await?;
        match status.is_success() {
            true => Ok(()),
            false => Err(refused("commit", status, &answer)),
        }
    }
}
