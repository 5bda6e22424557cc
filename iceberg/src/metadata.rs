//! A table's metadata: the JSON that the catalog points at. What other writers put there, this version's unknown fields too, stays.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::schema::{Columns, NAME_MAPPING};

/// The branch that readers see.
pub const MAIN: &str = "main";

/// How many earlier metadata files are named, unless the table's property says otherwise.
const METADATA_LOG: usize = 100;
const METADATA_LOG_PROPERTY: &str = "write.metadata.previous-versions-max";

/// A table's metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata(Value);

/// A condition of a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Requirement {
    /// The table is this one.
    Uuid(String),
    /// The branch is at this snapshot; `None`: at none yet.
    Main(Option<i64>),
    /// Nobody has changed the columns.
    Schema {
        /// The id of the current schema.
        current: i64,
        /// The highest field id.
        last_id: i64,
    },
}

impl Requirement {
    /// As a REST catalog takes it.
    pub fn to_json(&self) -> Vec<Value> {
        match self {
            Requirement::Uuid(uuid) => vec![json!({"type": "assert-table-uuid", "uuid": uuid})],
            Requirement::Main(snapshot) => {
                vec![json!({"type": "assert-ref-snapshot-id", "ref": MAIN, "snapshot-id": snapshot})]
            }
            Requirement::Schema { current, last_id } => vec![
                json!({"type": "assert-current-schema-id", "current-schema-id": current}),
                json!({"type": "assert-last-assigned-field-id", "last-assigned-field-id": last_id}),
            ],
        }
    }

    /// Why it does not hold, if so.
    pub fn fails_on(&self, metadata: &Metadata) -> Option<String> {
        let holds = match self {
            Requirement::Uuid(uuid) => metadata.uuid() == Some(uuid),
            Requirement::Main(snapshot) => metadata.main() == *snapshot,
            Requirement::Schema { current, last_id } => {
                metadata.0["current-schema-id"] == *current && metadata.0["last-column-id"] == *last_id
            }
        };
        (!holds).then(|| format!("{self:?} does not hold"))
    }
}

/// A change of the metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// A schema, which becomes the current one; with the highest field id.
    Schema(Value, i32),
    /// A snapshot, to which the branch goes.
    Snapshot(Value),
    /// Snapshots that nothing refers to any more.
    Expire(Vec<i64>),
    /// Properties of the table.
    Properties(BTreeMap<String, String>),
}

impl Update {
    /// As a REST catalog takes it.
    pub fn to_json(&self) -> Vec<Value> {
        match self {
            Update::Schema(schema, last_id) => vec![
                json!({"action": "add-schema", "schema": schema, "last-column-id": last_id}),
                json!({"action": "set-current-schema", "schema-id": -1}),
            ],
            Update::Snapshot(snapshot) => vec![
                json!({"action": "add-snapshot", "snapshot": snapshot}),
                json!({
                    "action": "set-snapshot-ref", "ref-name": MAIN, "type": "branch", "snapshot-id": snapshot["snapshot-id"],
                }),
            ],
            Update::Expire(ids) => vec![json!({"action": "remove-snapshots", "snapshot-ids": ids})],
            Update::Properties(properties) => vec![json!({"action": "set-properties", "updates": properties})],
        }
    }
}

impl Metadata {
    /// A new table's.
    pub fn new(location: &str, columns: &Columns, properties: &BTreeMap<String, String>, now_ms: i64) -> Self {
        Self(json!({
            "format-version": 2,
            "table-uuid": uuid::Uuid::new_v4().to_string(),
            "location": location,
            "last-sequence-number": 0,
            "last-updated-ms": now_ms,
            "last-column-id": columns.last_id,
            "schemas": [columns.schema(0)],
            "current-schema-id": 0,
            "partition-specs": [{"spec-id": 0, "fields": []}],
            "default-spec-id": 0,
            "last-partition-id": 999,
            "properties": properties,
            "current-snapshot-id": Value::Null,
            "snapshots": [],
            "snapshot-log": [],
            "metadata-log": [],
            "sort-orders": [{"order-id": 0, "fields": []}],
            "default-sort-order-id": 0,
            "refs": {},
            "statistics": [],
            "partition-statistics": [],
        }))
    }

    /// Metadata that were read; an error says what this version cannot deal with.
    pub fn from_json(json: Value) -> Result<Self, String> {
        let metadata = Self(json);
        match metadata.0["format-version"].as_i64() {
            Some(2) => {}
            other => return Err(format!("the table's format version is {other:?}, and only 2 is written")),
        }
        let spec = &metadata.0["default-spec-id"];
        let specs = metadata.0["partition-specs"].as_array();
        let spec = specs.into_iter().flatten().find(|one| one["spec-id"] == *spec);
        match spec.and_then(|spec| spec["fields"].as_array()) {
            Some(fields) if fields.is_empty() => {}
            _ => return Err("the table is partitioned by another writer, and the lake's files are not".to_owned()),
        }
        match metadata.uuid().is_some() && metadata.columns().is_some() && metadata.0["location"].is_string() {
            true => Ok(metadata),
            false => Err("the metadata lack a location, a schema or a table id".to_owned()),
        }
    }

    /// As it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_string().into_bytes()
    }

    /// As JSON.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// The table's id.
    pub fn uuid(&self) -> Option<&str> {
        self.0["table-uuid"].as_str()
    }

    /// Where the table is.
    pub fn location(&self) -> &str {
        self.0["location"].as_str().unwrap_or_default().trim_end_matches('/')
    }

    /// A property of the table.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.0["properties"][name].as_str()
    }

    /// The sequence number of the newest snapshot.
    pub fn last_sequence_number(&self) -> i64 {
        self.0["last-sequence-number"].as_i64().unwrap_or(0)
    }

    /// The partition spec by which files are added: that of no partitions.
    pub fn spec_id(&self) -> i32 {
        self.0["default-spec-id"].as_i64().unwrap_or(0) as i32
    }

    /// The id of the current schema.
    pub fn schema_id(&self) -> i64 {
        self.0["current-schema-id"].as_i64().unwrap_or(0)
    }

    /// The id of the next schema.
    pub fn next_schema_id(&self) -> i64 {
        let ids = self.0["schemas"].as_array().into_iter().flatten();
        ids.filter_map(|schema| schema["schema-id"].as_i64()).max().unwrap_or(-1) + 1
    }

    /// The table's columns.
    pub fn columns(&self) -> Option<Columns> {
        let id = &self.0["current-schema-id"];
        let schema = self.0["schemas"]
            .as_array()?
            .iter()
            .find(|schema| schema["schema-id"] == *id)?;
        let last_id = i32::try_from(self.0["last-column-id"].as_i64()?).ok()?;
        Columns::read(schema, self.property(NAME_MAPPING), last_id)
    }

    /// The snapshot that the branch is at.
    pub fn main(&self) -> Option<i64> {
        let of_branch = self.0["refs"][MAIN]["snapshot-id"].as_i64();
        of_branch.or_else(|| self.0["current-snapshot-id"].as_i64().filter(|id| *id >= 0))
    }

    /// The snapshot of an id.
    pub fn snapshot(&self, id: i64) -> Option<&Value> {
        self.snapshots().iter().find(|snapshot| snapshot["snapshot-id"] == id)
    }

    /// All snapshots, in the order in which they were made.
    pub fn snapshots(&self) -> &[Value] {
        self.0["snapshots"].as_array().map_or(&[], Vec::as_slice)
    }

    /// The newest snapshot.
    pub fn current_snapshot(&self) -> Option<&Value> {
        self.snapshot(self.main()?)
    }

    /// Snapshots that a branch or tag is at.
    pub fn referred(&self) -> Vec<i64> {
        let refs = self.0["refs"].as_object().into_iter().flatten();
        let ids = refs.filter_map(|(_, one)| one["snapshot-id"].as_i64());
        ids.chain(self.main()).collect()
    }

    /// The metadata files before these, the oldest first.
    pub fn log(&self) -> Vec<&str> {
        let log = self.0["metadata-log"].as_array().into_iter().flatten();
        log.filter_map(|one| one["metadata-file"].as_str()).collect()
    }

    /// The metadata after a commit; `location` is where the ones before it are.
    pub fn after(&self, updates: &[Update], location: &str, now_ms: i64) -> Self {
        let mut next = self.0.clone();
        let mut now_ms = now_ms.max(next["last-updated-ms"].as_i64().unwrap_or(0));
        let log = json!({"metadata-file": location, "timestamp-ms": next["last-updated-ms"]});
        let limit = self.property(METADATA_LOG_PROPERTY).and_then(|limit| limit.parse().ok());
        push(&mut next["metadata-log"], log);
        if let Some(log) = next["metadata-log"].as_array_mut() {
            log.drain(..log.len().saturating_sub(limit.unwrap_or(METADATA_LOG)));
        }
        for update in updates {
            match update {
                Update::Schema(schema, last_id) => {
                    next["current-schema-id"] = schema["schema-id"].clone();
                    next["last-column-id"] = (*last_id).into();
                    push(&mut next["schemas"], schema.clone());
                }
                Update::Snapshot(snapshot) => {
                    let (id, at) = (&snapshot["snapshot-id"], &snapshot["timestamp-ms"]);
                    now_ms = now_ms.max(at.as_i64().unwrap_or(0));
                    next["current-snapshot-id"] = id.clone();
                    next["last-sequence-number"] = snapshot["sequence-number"].clone();
                    // A branch keeps what is set about it.
                    next["refs"][MAIN]["snapshot-id"] = id.clone();
                    next["refs"][MAIN]["type"] = "branch".into();
                    push(&mut next["snapshot-log"], json!({"snapshot-id": id, "timestamp-ms": at}));
                    push(&mut next["snapshots"], snapshot.clone());
                }
                Update::Expire(ids) => {
                    let is_gone = |one: &Value| one["snapshot-id"].as_i64().is_some_and(|id| ids.contains(&id));
                    for list in ["snapshots", "snapshot-log", "statistics", "partition-statistics"] {
                        if let Some(list) = next[list].as_array_mut() {
                            list.retain(|one| !is_gone(one));
                        }
                    }
                }
                Update::Properties(properties) => {
                    for (name, value) in properties {
                        next["properties"][name] = value.as_str().into();
                    }
                }
            }
        }
        next["last-updated-ms"] = now_ms.into();
        Self(next)
    }
}

fn push(list: &mut Value, item: Value) {
    match list.as_array_mut() {
        Some(list) => list.push(item),
        None => *list = json!([item]),
    }
}
