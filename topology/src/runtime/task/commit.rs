//! What a task has to do with the transaction that its worker commits: its changelog and offsets, and what becomes of its state after.

use std::sync::Arc;

use broker::{Committed, Outgoing, TopicPartition, TransactionalProducer};
use clock::Millis;
use wire::Registry;

use super::Task;
use crate::error::{EngineError, ProcessError, StoreError};
use crate::planted::planted;
use crate::runtime::input::Input;
use crate::runtime::state::FlushJob;
use crate::store::{Stored, store_times};

impl Task {
    /// Sends the changelog of the open transaction: when it `ends` all that is left of it, before that where it is worth while.
    pub fn send_changelog(&mut self, ends: bool, producer: &mut dyn TransactionalProducer) -> Result<(), EngineError> {
        for (store, (topic, _)) in self.flow.stores.iter_mut().zip(&self.changelogs) {
            let mut refused = None;
            let mut emit = |key: &[u8], value: Option<&[u8]>, timestamp_ms: Millis| {
                let record = Outgoing {
                    topic,
                    partition: Some(self.id.partition),
                    key: Some(key),
                    value,
                    timestamp_ms: timestamp_ms.0,
                    headers: &[],
                };
                producer.send(record).map_err(|e| {
                    refused = Some(e);
                    ProcessError::Record("the broker refused a changelog record".to_owned())
                })
            };
            let result = if ends {
                store.changelog(&mut emit)
            } else {
                store.changelog_so_far(&mut emit)
            };
            match (result, refused) {
                (_, Some(error)) => return Err(error.into()),
                (Err(ProcessError::Store(error)), _) => return Err(error.into()),
                (Err(error), _) => {
                    return Err(match error {
                        ProcessError::Wire(error) if error.is_transient() => StoreError::Backend {
                            store: store.name().to_owned(),
                            reason: error.to_string(),
                        }
                        .into(),
                        error => EngineError::Unencodable {
                            store: store.name().to_owned(),
                            reason: error.to_string(),
                        },
                    });
                }
                (Ok(()), None) => {}
            }
        }
        Ok(())
    }

    /// The offsets that the open transaction moves to. Where it moves none, since only a timer wrote, all of them as they stand: a
    /// transaction without offsets would commit for a worker whose tasks are another's by now.
    pub fn offsets(&self, mark: &str) -> impl Iterator<Item = (TopicPartition, Committed)> {
        let moves = self.moves();
        let fenced = self.inputs.iter().any(|input| input.processed > 0) || !planted("a timer's transaction carries no offsets");
        let moved = self.inputs.iter().zip(moves).filter(move |(_, moves)| *moves && fenced);
        moved.map(move |(input, _)| {
            let moves = input.processed > 0;
            let time_ms = self.stream_time_ms;
            let offset = if moves {
                input.commit(time_ms, mark)
            } else {
                input.commit_again(time_ms, mark)
            };
            (input.partition.clone(), offset)
        })
    }

    /// Of each input, whether the open transaction commits its offset.
    fn moves(&self) -> Vec<bool> {
        let any = self.inputs.iter().any(|i| i.processed > 0);
        self.inputs.iter().map(|i| !any || i.processed > 0).collect()
    }

    /// Whether the transaction with this mark has committed, by the group's offsets. Where they lie does not say: another that has
    /// taken the task over may have come just as far.
    pub fn is_committed(&self, committed: &[Option<Committed>], mark: &str) -> bool {
        let mut moved = committed.iter().zip(self.moves()).filter(|(_, moves)| *moves);
        self.dirty
            && moved.all(|(committed, _)| {
                committed
                    .as_ref()
                    .is_some_and(|c| c.metadata.rsplit(',').next() == Some(mark))
            })
    }

    /// Where the group has this task stand, moved or not; nothing of inputs of which it has nothing.
    pub fn committed_again(&self, mark: &str) -> impl Iterator<Item = (TopicPartition, Committed)> {
        let idle = self.inputs.iter().filter(|i| i.processed == 0 && i.committed.log.is_some());
        idle.map(move |i| (i.partition.clone(), i.commit_again(self.stream_time_ms, mark)))
    }

    /// The transaction has committed: its writes become visible in one step. `written` are the transaction's offsets. Returns
    /// how many records of each input it held.
    pub fn promote(&mut self, written: &[(TopicPartition, i64)], now_ms: Millis) -> Vec<u64> {
        let moves = self.moves();
        let mut position = self.position.write();
        self.flow.stores.iter_mut().for_each(|s| s.promote());
        if let Some(stream_time_ms) = self.stream_time_ms {
            self.flow.stores.iter_mut().for_each(|s| s.pass_time(stream_time_ms));
        }
        for (topic, next) in &mut self.changelogs {
            if let Some((_, last)) = written
                .iter()
                .find(|(p, _)| p.partition == self.id.partition && *p.topic == **topic)
            {
                *next = last + 1;
            }
        }
        let mut processed = Vec::with_capacity(self.inputs.len());
        for (input, moves) in self.inputs.iter_mut().zip(moves) {
            if input.processed > 0 || (moves && input.committed.log.is_none()) {
                input.committed = input.reached();
            }
            processed.push(std::mem::take(&mut input.processed));
        }
        self.committed_time_ms = self.stream_time_ms;
        self.flow.punctuators.promote();
        position.stream_time_ms = self.stream_time_ms.unwrap_or_default();
        position.offsets = self.committed_offsets();
        position.committed_at_ms = now_ms;
        self.sequence += 1;
        self.valid_at_ms = self.valid_at_ms.max(now_ms);
        self.dirty = false;
        self.records = 0;
        processed
    }

    /// The transaction did not commit: forgets all of it. The inputs must be read again from their committed offsets.
    pub fn discard(&mut self, registry: &Arc<dyn Registry>) -> Result<(), EngineError> {
        self.flow.stores.iter_mut().for_each(|s| s.discard());
        self.flow.punctuators.discard();
        (self.stream_time_ms, self.punctuated_ms) = (self.committed_time_ms, None);
        self.forget_expired();
        self.flow.out.clear();
        // All of them: one that panicked is not there any more.
        for &node in &self.topology.subs[self.id.sub].nodes {
            self.flow.nodes[node] = Some((self.topology.nodes[node].make)(registry)?);
        }
        self.outbox.clear();
        if !planted("a transaction that is dropped keeps its place") {
            self.inputs.iter_mut().for_each(Input::rewind);
        }
        self.dirty = false;
        self.records = 0;
        self.blame = None;
        Ok(())
    }

    /// Takes what is committed for a flush; `None` if there is nothing new.
    pub fn flush(&mut self) -> Option<FlushJob> {
        let backend = self.backend.clone()?;
        let parts: Vec<_> = self.flow.stores.iter_mut().filter_map(|s| s.flush()).collect();
        if parts.is_empty() && !std::mem::take(&mut self.touches) {
            return None;
        }
        Some(FlushJob {
            name: self.name.clone(),
            backend,
            parts,
            stored: self.stored(),
        })
    }

    pub(super) fn stored(&self) -> Stored {
        Stored {
            changelog: self
                .flow
                .stores
                .iter()
                .zip(&self.changelogs)
                .map(|(s, (_, next))| {
                    (
                        s.name().to_owned(),
                        *next + i64::from(planted("the stored position is ahead")),
                    )
                })
                .collect(),
            sources: self
                .inputs
                .iter()
                .map(|i| (i.partition.topic.to_string(), i.committed_offset()))
                .collect(),
            reached: self
                .inputs
                .iter()
                .map(|i| {
                    let (log, handed) = i.committed.stored();
                    (i.partition.topic.to_string(), log, handed)
                })
                .collect(),
            topics: self
                .plan
                .topic_ids
                .iter()
                .map(|(topic, id)| ((*topic).to_owned(), id.clone()))
                .collect(),
            stream_time_ms: self.committed_time_ms,
            store_times: store_times(&self.flow.stores),
            sequence: self.sequence,
            written_at_ms: self.valid_at_ms,
        }
    }
}
