//! Bucket events, as MinIO and AWS S3 write them: unordered, late, repeated, with encoded keys. They are taken as hints alone.

use object_store::path::Path;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use sinks::parquet::layout::FileName;
use url::Url;

/// The place of the lake, by which its objects are known in events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    bucket: String,
    prefix: String,
}

impl Place {
    /// The place that `s3://bucket/prefix` names; `None` for a URL of another kind, of which there are no events.
    pub fn of(url: &Url) -> Option<Self> {
        if url.scheme() != "s3" {
            return None;
        }
        Some(Self {
            bucket: url.host_str()?.to_owned(),
            prefix: url.path().trim_matches('/').to_owned(),
        })
    }

    /// The lake's file that an object is, if it is one.
    fn file(&self, object: &S3Object) -> Option<FileName> {
        if object.bucket.name != self.bucket {
            return None;
        }
        let key = object.object.key.replace('+', " ");
        let key = percent_decode_str(&key).decode_utf8().ok()?;
        let inner = match self.prefix.as_str() {
            "" => &key,
            prefix => key.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        FileName::parse(&Path::parse(inner).ok()?)
    }
}

/// An event that is none.
#[derive(Debug, thiserror::Error)]
#[error("it is no bucket event: {0}")]
pub struct NoEvent(#[from] serde_json::Error);

#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "Records", default)]
    records: Vec<Record>,
}

#[derive(Debug, Deserialize)]
struct Record {
    #[serde(rename = "eventName", default)]
    event_name: String,
    s3: Option<S3Object>,
}

#[derive(Debug, Deserialize)]
struct S3Object {
    bucket: Bucket,
    object: Object,
}

#[derive(Debug, Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Object {
    key: String,
}

/// The files of the lake that an event says were written. Objects that are none of them, and events of another kind, are passed
/// over; a test event of S3 has no records.
pub fn files(body: &[u8], place: &Place) -> Result<Vec<FileName>, NoEvent> {
    let event: Event = serde_json::from_slice(body)?;
    let is_written = |record: &&Record| {
        let name = record.event_name.strip_prefix("s3:").unwrap_or(&record.event_name);
        name.starts_with("ObjectCreated:")
    };
    let written = event.records.iter().filter(is_written);
    Ok(written.filter_map(|record| place.file(record.s3.as_ref()?)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Place {
        Place::of(&Url::parse(url).unwrap()).unwrap()
    }

    fn event(name: &str, bucket: &str, key: &str) -> String {
        let object = serde_json::json!({ "bucket": { "name": bucket }, "object": { "key": key, "size": 7, "eTag": "x" } });
        serde_json::json!({ "EventName": name, "Key": format!("{bucket}/{key}"), "Records": [{ "eventName": name, "s3": object }] })
            .to_string()
    }

    #[test]
    fn keys_are_read_as_they_are_encoded() {
        let place = place("s3://lake/some/prefix/");
        for (key, is_ours) in [
            (
                "some%2Fprefix%2Fbronze.accounts%2Fday%3D2023-11-14%2Fp%3D03%2F0-9-s1.parquet",
                true,
            ),
            ("some/prefix/bronze.accounts/day=2023-11-14/p=03/0-9-s1.parquet", true),
            ("some/prefix/bronze.accounts/day%3D2023-11-14/p%3D03/0-9-s1.parquet", true),
            (
                "some/prefix/bronze.accounts/_intents/00001/00003/00000000000000000000.json",
                false,
            ),
            ("bronze.accounts/day=2023-11-14/p=03/0-9-s1.parquet", false),
            ("some/prefixes/day=2023-11-14/p=03/0-9-s1.parquet", false),
            ("some/prefix/bronze.accounts/day=2023-11-14/p=03/0-9-s1.parquet%00", false),
            ("some/prefix/bronze.accounts/../day=2023-11-14/p=03/0-9-s1.parquet", false),
            ("%FF", false),
        ] {
            let found = files(event("s3:ObjectCreated:Put", "lake", key).as_bytes(), &place).unwrap();
            let named: Vec<_> = found.iter().map(ToString::to_string).collect();
            let expected = is_ours.then_some("bronze.accounts/day=2023-11-14/p=03/0-9-s1.parquet");
            assert_eq!(named, Vec::from_iter(expected), "{key}");
        }
    }

    #[test]
    fn what_is_no_new_object_of_the_lake_is_passed_over() {
        let place = place("s3://lake");
        let key = "t/day=2023-11-14/p=03/0-9-s1.parquet";
        let count = |body: &str| files(body.as_bytes(), &place).unwrap().len();
        assert_eq!(count(&event("ObjectCreated:CompleteMultipartUpload", "lake", key)), 1);
        assert_eq!(count(&event("s3:ObjectRemoved:Delete", "lake", key)), 0);
        assert_eq!(count(&event("s3:ObjectCreated:Put", "another", key)), 0);
        assert_eq!(count(r#"{"Service":"Amazon S3","Event":"s3:TestEvent"}"#), 0);
        assert!(files(b"hello", &place).is_err());
        assert!(Place::of(&Url::parse("file:///lake").unwrap()).is_none());
    }
}
