//! Other programs that read the tables: pyiceberg and DuckDB.

use std::collections::BTreeMap;
use std::process::Command;

use super::Key;

/// Reads a table of a catalog by pyiceberg: `[generation, partition, offset, note]` a row, and its snapshots' summaries.
const PYICEBERG: &str = r#"
import json, sys
from pyiceberg.catalog import load_catalog
from pyiceberg.expressions import AlwaysTrue
catalog = load_catalog("riverbank", **json.loads(sys.argv[1]))
table = catalog.load_table(tuple(json.loads(sys.argv[2])))
at = sorted(table.metadata.snapshots, key=lambda one: one.sequence_number)[int(sys.argv[4])].snapshot_id
scan = table.scan(row_filter=sys.argv[3] or AlwaysTrue(), snapshot_id=at)
rows = scan.to_arrow().to_pylist()
print(json.dumps({
    "rows": [[r["_generation"], r["_partition"], r["_offset"], r["note"]] for r in rows],
    "columns": {field.name: str(field.field_type) for field in table.schema().fields},
    "amounts": sorted(str(r["amount"]) for r in rows),
    "files": len(list(scan.plan_files())),
    "summary": dict(table.current_snapshot().summary.additional_properties),
    "metadata": table.metadata_location,
}))
"#;

/// Reads a table's metadata file by DuckDB.
const DUCKDB: &str = r#"
import glob, json, os, sys
import duckdb, duckdb_ext
folder = os.path.join(list(duckdb_ext.__path__)[0], "extensions", "*", "*")
connection = duckdb.connect()
# On a slow machine it would be on the standard output.
connection.execute("SET enable_progress_bar = false")
for name in ("avro", "iceberg"):
    connection.execute(f"LOAD '{glob.glob(os.path.join(folder, name + '.duckdb_extension'))[0]}'")
query = f"SELECT _generation, _partition, _offset, note, sum(amount) OVER () FROM iceberg_scan('{sys.argv[1]}')"
rows = connection.execute(query).fetchall()
print(json.dumps({"rows": [list(row[:4]) for row in rows], "sum": str(rows[0][4])}))
"#;

/// What a reader found.
pub struct Read {
    /// Rows.
    pub rows: BTreeMap<Key, String>,
    /// All that it said.
    pub json: serde_json::Value,
}

fn run(program: &str, arguments: &[&str]) -> Read {
    let packages = testbed::python("iceberg").unwrap();
    let output = Command::new("python3")
        .arg("-c")
        .arg(program)
        .args(arguments)
        .env("PYTHONPATH", packages)
        .env_remove("PYICEBERG_HOME")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the reader failed: {errors}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut rows = BTreeMap::new();
    for row in json["rows"].as_array().unwrap() {
        let number = |at: usize| row[at].as_i64().unwrap();
        let key = (number(0) as i32, number(1) as i32, number(2));
        assert!(
            rows.insert(key, row[3].as_str().unwrap().to_owned()).is_none(),
            "{key:?} twice"
        );
    }
    Read { rows, json }
}

/// Reads by pyiceberg, from a catalog of these properties; `filter` may be empty.
pub fn pyiceberg(properties: &serde_json::Value, filter: &str) -> Read {
    pyiceberg_of(properties, filter, -1)
}

/// Reads an earlier snapshot, counted from the newest, which is -1.
pub fn pyiceberg_at(properties: &serde_json::Value, snapshot: i64) -> Read {
    pyiceberg_of(properties, "", snapshot)
}

fn pyiceberg_of(properties: &serde_json::Value, filter: &str, snapshot: i64) -> Read {
    let name = super::table_name();
    let name = serde_json::json!([name.namespace, vec![name.name]].concat());
    run(
        PYICEBERG,
        &[&properties.to_string(), &name.to_string(), filter, &snapshot.to_string()],
    )
}

/// Reads by DuckDB.
pub fn duckdb(metadata: &str) -> Read {
    run(DUCKDB, &[metadata])
}
