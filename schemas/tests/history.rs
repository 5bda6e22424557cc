//! BACKWARD: what was ever written is readable. `avro/history/` has every version of every schema that was released; a changed schema
//! needs a new version there, and the versions before it stay.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use wire::{MemoryRegistry, Registry};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("avro")
}

fn schema(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A registry takes the reader for a subject that has the writer.
fn can_read(writer: &str, reader: &str) -> Result<(), String> {
    let registry = MemoryRegistry::default();
    registry.register("subject", writer).map_err(|e| e.to_string())?;
    registry.register("subject", reader).map_err(|e| e.to_string())?;
    Ok(())
}

/// Every current schema: its file, and the folder of its versions.
fn current() -> Vec<(PathBuf, PathBuf)> {
    let mut all = Vec::new();
    for level in ["bronze", "silver", "gold", "state"] {
        for entry in std::fs::read_dir(folder().join(level)).unwrap() {
            let path = entry.unwrap().path();
            let versions = folder().join("history").join(level).join(path.file_stem().unwrap());
            all.push((path, versions));
        }
    }
    all
}

#[test]
fn every_schema_reads_every_version_before_it() {
    let all = current();
    assert!(all.len() >= 14, "the schemas are found");
    for (path, versions) in all {
        let reader = schema(&path);
        let mut written: Vec<PathBuf> = std::fs::read_dir(&versions)
            .unwrap_or_else(|e| panic!("{} has no history in {}: {e}", path.display(), versions.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        written.sort_by_key(|version| version.file_stem().unwrap().to_str().unwrap().parse::<u32>().unwrap());
        for version in &written {
            let writer = schema(version);
            can_read(&writer, &reader).unwrap_or_else(|e| panic!("{} cannot read {}: {e}", path.display(), version.display()));
        }
        let newest = schema(written.last().unwrap());
        assert!(
            newest == reader,
            "{} has changed: add it to {} as the next version",
            path.display(),
            versions.display()
        );
    }
}

#[test]
fn a_field_without_a_default_is_refused() {
    let old = r#"{"type":"record","name":"A","fields":[{"name":"a","type":"long"}]}"#;
    let new = r#"{"type":"record","name":"A","fields":[{"name":"a","type":"long"},{"name":"b","type":"long"}]}"#;
    assert!(can_read(old, new).is_err(), "the check can fail");
}
