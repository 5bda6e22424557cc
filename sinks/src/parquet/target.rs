//! Partitions that become Parquet files in a store.

use std::sync::Arc;

use async_trait::async_trait;
use broker::{Broker, TopicPartition};
use object_store::ObjectStore;
use wire::Registry;

use super::store::Lake;
use super::task::Task;
use crate::group::{Partition, SinkRunner, Target, Unready};
use crate::{SinkSettings, Table};

struct Files {
    lake: Lake,
    registry: Arc<dyn Registry>,
}

impl SinkRunner {
    /// A sink that moves these tables from the log into the store, as Parquet files.
    pub fn new(
        settings: SinkSettings,
        broker: Arc<dyn Broker>,
        registry: Arc<dyn Registry>,
        store: Arc<dyn ObjectStore>,
        tables: Vec<Arc<dyn Table>>,
    ) -> Self {
        let lake = Lake::new(store, settings.put_timeout).with_parts_from(settings.multipart_bytes);
        Self::to(Arc::new(Files { lake, registry }), settings, broker, tables)
    }
}

#[async_trait]
impl Target for Files {
    async fn check(&self) -> Result<(), Unready> {
        match self.lake.keeps_what_is_there().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Unready::Unfit(
                "the store overwrites objects that are to be created only (it ignores If-None-Match): no file could be relied upon, and \
                 nothing is written (docs/runbooks/lake.md)"
                    .to_owned(),
            )),
            Err(error) => Err(Unready::Away(error.to_string())),
        }
    }

    fn partition(&self, table: Arc<dyn Table>, partition: TopicPartition) -> Box<dyn Partition> {
        Box::new(Task::new(table, partition, self.lake.clone(), self.registry.clone()))
    }
}
