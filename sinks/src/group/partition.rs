//! What a session moves: partitions, each by a state machine of the sink's own.

use std::sync::Arc;

use async_trait::async_trait;
use broker::{BrokerError, Group, Message, Reader, TopicPartition};
use clock::{Clock, Millis};

use super::handle::PartitionLag;
use super::probe::Probe;
use super::protocol::Intent;
use super::topics::TopicIds;
use crate::metrics::Metrics;
use crate::{SinkSettings, Table};

/// Is called for each range that is finished, from the sink's thread: it must not wait. After a crash between a range's end and its call,
/// it is not called for that range any more.
pub type Listener = Arc<dyn Fn(&Intent) + Send + Sync>;

/// What a partition is moved with.
pub(crate) struct Tools<'a> {
    pub settings: &'a SinkSettings,
    pub runtime: &'a tokio::runtime::Handle,
    pub metrics: &'a Metrics,
    pub clock: &'a dyn Clock,
    pub probe: Option<&'a dyn Probe>,
    pub listener: Option<&'a (dyn Fn(&Intent) + Send + Sync)>,
    pub topics: &'a mut TopicIds,
    pub group: &'a mut dyn Group,
    pub reader: &'a mut dyn Reader,
    /// The sink is stopping: what is open is written, and nothing new is begun.
    pub stopping: bool,
    /// Memory is used up: nothing more is read into new files.
    pub pressed: bool,
}

/// Why the session ends.
#[derive(Debug)]
pub(crate) enum Halt {
    /// A probe said so.
    Crash,
    /// The broker's objects are of no more use, or a table is at fault: begin anew.
    Renew(String),
}

/// One partition on its way out of the log.
pub(crate) trait Partition: Send {
    /// The table that it is of.
    fn table(&self) -> &Arc<dyn Table>;
    /// Where the reader delivers it, while it is read.
    fn slot(&self) -> Option<u32>;
    /// Takes a record that the reader delivered.
    fn deliver(&mut self, message: Message);
    /// The reader is at the end: everything before `next` was delivered.
    fn reached_end(&mut self, next: i64);
    /// The reader cannot go on with this partition.
    fn unreadable(&mut self, error: &BrokerError, tools: &mut Tools<'_>);
    /// Moves on as far as that goes without waiting.
    fn advance(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt>;
    /// Gives the partition up: what is open is dropped, and read again by its next owner.
    fn abandon(&mut self, reader: Option<&mut dyn Reader>);
    /// Whether there is nothing that a stop should wait for.
    fn is_idle(&self) -> bool;
    /// Bytes in memory.
    fn memory_bytes(&self) -> u64;
    /// Bytes in memory that [`Partition::seal`] would set free.
    fn sealable_bytes(&self) -> u64;
    /// Ends what is open before it is full.
    fn seal(&mut self) -> Result<(), Halt>;
    /// What an operator should know.
    fn trouble(&self, settings: &SinkSettings) -> Option<String>;
    /// Asks the log's end, where only the broker knows it.
    fn refresh_end(&mut self, reader: &mut dyn Reader);
    /// How far it is behind the log.
    fn lag(&self, now_ms: Millis) -> PartitionLag;
}

/// Where a sink's partitions go.
#[async_trait]
pub(crate) trait Target: Send + Sync + 'static {
    /// Whether it can be relied upon; asked before anything is written.
    async fn check(&self) -> Result<(), Unready>;
    /// A partition that the group has given.
    fn partition(&self, table: Arc<dyn Table>, partition: TopicPartition) -> Box<dyn Partition>;
}

/// Why a target is not written to yet.
#[derive(Debug)]
pub(crate) enum Unready {
    /// It did not answer.
    Away(String),
    /// It would lose or double rows: an operator must act.
    Unfit(String),
}
