//! What is not as it should be.

use std::fmt;

/// The kinds of trouble in the source, as metrics name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// `wal_level` is not `logical`.
    WalLevel,
    /// There is no such publication.
    PublicationMissing,
    /// The publication leaves out operations, rows or columns.
    PublicationPartial,
    /// A captured table does not exist.
    TableMissing,
    /// A captured table is not in the publication: nothing of it arrives.
    NotPublished,
    /// The publication holds a table that is not captured; it may be a captured one under another name.
    NotCaptured,
    /// Old rows come without what the processors need.
    ReplicaIdentity,
    /// The primary key is not the integer `id`.
    Key,
    /// Two columns have one name in Avro.
    NameCollision,
    /// A numeric column can hold NaN, which no decimal can.
    NanPossible,
    /// The connector's login may not read a captured table.
    NotReadable,
    /// Row security hides rows of a captured table from the connector's login.
    RowSecurity,
    /// Rows of a captured table lie in partitions or child tables whose changes do not come.
    Parts,
    /// A trigger of the ledger is disabled or gone.
    LedgerOff,
    /// The replication slot does not exist.
    SlotMissing,
    /// The replication slot has lost its place in the log.
    SlotLost,
}

impl ProblemKind {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::WalLevel,
        Self::PublicationMissing,
        Self::PublicationPartial,
        Self::TableMissing,
        Self::NotPublished,
        Self::NotCaptured,
        Self::ReplicaIdentity,
        Self::Key,
        Self::NameCollision,
        Self::NanPossible,
        Self::NotReadable,
        Self::RowSecurity,
        Self::Parts,
        Self::LedgerOff,
        Self::SlotMissing,
        Self::SlotLost,
    ];

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WalLevel => "wal_level",
            Self::PublicationMissing => "publication_missing",
            Self::PublicationPartial => "publication_partial",
            Self::TableMissing => "table_missing",
            Self::NotPublished => "not_published",
            Self::NotCaptured => "not_captured",
            Self::ReplicaIdentity => "replica_identity",
            Self::Key => "key",
            Self::NameCollision => "name_collision",
            Self::NanPossible => "nan_possible",
            Self::NotReadable => "not_readable",
            Self::RowSecurity => "row_security",
            Self::Parts => "parts",
            Self::LedgerOff => "ledger_off",
            Self::SlotMissing => "slot_missing",
            Self::SlotLost => "slot_lost",
        }
    }

    /// Whether a connector that is started on such a source fails, at once or with the first row.
    pub const fn stops_capture(self) -> bool {
        matches!(self, Self::WalLevel | Self::PublicationMissing | Self::NameCollision)
    }

    /// Whether all is well as long as nobody writes such a value: worth knowing, no trouble yet.
    pub const fn is_advice(self) -> bool {
        matches!(self, Self::NanPossible)
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceProblem {
    /// Its kind.
    pub kind: ProblemKind,
    /// What it is and what to do about it, for people.
    pub reason: String,
}

impl SourceProblem {
    pub(crate) fn new(kind: ProblemKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
        }
    }
}

impl fmt::Display for SourceProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
