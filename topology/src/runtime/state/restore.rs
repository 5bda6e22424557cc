//! A task's stores while they are restored from their changelogs.

use std::sync::Arc;

use broker::Message;

use super::replay::Sink;
use crate::error::StoreError;
use crate::planted::planted;
use crate::runtime::Metrics;
use crate::store::{AnyStore, Backend, Batch, Stored, store_times};

/// A task's stores while they are restored: the task has none meanwhile.
pub(crate) struct Restore {
    pub task: String,
    pub backend: Option<Arc<dyn Backend>>,
    pub stores: Vec<Box<dyn AnyStore>>,
    /// Changelog topic per store, and the offset to replay from.
    pub changelogs: Vec<(String, i64)>,
    /// What is stored beside the changelogs' positions.
    pub stored: Stored,
    /// Records so far.
    pub replayed: u64,
    pub metrics: Metrics,
}

impl Restore {
    /// What the backend is to know with the changelogs' positions as they are.
    fn stored(&self) -> Stored {
        let stores = self.stores.iter().zip(&self.changelogs);
        Stored {
            changelog: stores.map(|(store, (_, next))| (store.name().to_owned(), *next)).collect(),
            store_times: store_times(&self.stores),
            ..self.stored.clone()
        }
    }
}

impl Sink for Restore {
    /// Adds replayed changelog records to the backend and moves the position.
    fn take(&mut self, place: usize, messages: &[Message], next: i64) -> Result<(), StoreError> {
        let Some(backend) = self.backend.clone() else { return Ok(()) };
        let mut batch = Batch::default();
        let mut foreign = 0;
        for message in messages {
            if message.key.is_none() {
                continue;
            }
            if message.value.is_none() && planted("a restore passes over deletes") {
                continue;
            }
            match self.stores[place].restore(message, &mut batch) {
                // That the registry does not know a schema may be a moment's, as after its restart. Any other record that cannot be read can be
                // no record of the store: a public topic may be written by others.
                Err(StoreError::Wire { source, .. }) if !source.is_transient() && !source.is_unknown_schema() => {
                    let (topic, offset) = (&self.changelogs[place].0, message.offset);
                    tracing::error!(task = %self.task, topic, offset, error = %source, "a record cannot be restored; passed over");
                    foreign += 1;
                }
                restored => restored?,
            }
        }
        let before = std::mem::replace(&mut self.changelogs[place].1, next);
        batch.stored = Some(self.stored());
        if let Err(error) = backend.write(&batch) {
            self.changelogs[place].1 = before;
            return Err(error);
        }
        self.replayed += messages.len() as u64;
        self.metrics.restored.inc_by(messages.len() as u64);
        self.metrics.restore_passed_over.inc_by(foreign);
        Ok(())
    }
}
