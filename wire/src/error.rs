//! Errors, by what can be done about them.

/// Why bytes could not be made or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WireError {
    /// The bytes are not in the format: they will never be readable.
    #[error("malformed: {0}")]
    Malformed(String),
    /// The registry does not know the schema id.
    #[error("the registry has no schema {id}")]
    UnknownSchema {
        /// The id in the bytes.
        id: u32,
    },
    /// The writer's schema cannot be read as the type.
    #[error("schema {id} cannot be read: {reason}")]
    Unresolvable {
        /// The writer's schema.
        id: u32,
        /// Why.
        reason: String,
    },
    /// The bytes were written as a record of another name. On a topic, somebody wrote to the wrong one; in our own state or
    /// topics, the id means something else than when they were written.
    #[error("schema {id} is {found}, not {expected}")]
    ForeignSchema {
        /// The id in the bytes.
        id: u32,
        /// The name that the type needs.
        expected: String,
        /// The name of what the registry has.
        found: String,
    },
    /// The value does not fit its schema.
    #[error("cannot be encoded: {0}")]
    Unencodable(String),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl WireError {
    /// Whether trying again later may help: then the bytes are not at fault.
    pub fn is_transient(&self) -> bool {
        matches!(self, WireError::Registry(RegistryError::Unavailable(_)))
    }

    /// Whether the registry says that there is no such schema: it may be a moment behind, or a part of it may be. Worth asking
    /// again, but not for ever.
    pub fn is_unknown_schema(&self) -> bool {
        matches!(
            self,
            WireError::UnknownSchema { .. } | WireError::Registry(RegistryError::NotFound(_) | RegistryError::NoSuchGuid(_))
        )
    }
}

/// What the schema registry said.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegistryError {
    /// It did not answer: try again.
    #[error("the schema registry did not answer: {0}")]
    Unavailable(String),
    /// It has no such schema.
    #[error("the schema registry has no schema {0}")]
    NotFound(u32),
    /// It has no schema of this GUID, or, as most registries do, it knows ids only.
    #[error("the schema registry has no schema of GUID {0}, or knows none by GUID")]
    NoSuchGuid(String),
    /// It refused the schema: not compatible with the subject's newest, or not a schema.
    #[error("the schema registry refused the schema of {subject}: {reason}")]
    Refused {
        /// The subject.
        subject: String,
        /// Why.
        reason: String,
    },
}
