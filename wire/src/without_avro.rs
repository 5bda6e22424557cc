//! What stands for Avro where the feature is off: schemas are texts that nobody reads.

/// What a schema's text becomes: nothing, as no type can be read by it.
pub(crate) struct Plan;

impl Plan {
    pub fn compile(_: &str) -> Result<Self, String> {
        Ok(Self)
    }
}

pub(crate) fn is_schema(_: &str) -> Result<(), String> {
    Ok(())
}

/// Nobody knows, so it cannot.
pub(crate) fn can_read(_: &str, _: &str) -> Result<(), String> {
    Err("this program was built without Avro".to_owned())
}

pub(crate) fn reads_alike(_: &str, _: &str) -> bool {
    false
}

pub(crate) fn schema_name(_: &str) -> String {
    "a schema".to_owned()
}
