//! A task's rows expire, before the record that moves its stream time on.
//!
//! So no record sees a row that has expired, and what is behind a table hears of each before it does. Where many expire at once, as after a
//! silence, that takes several transactions, and the record waits for them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use broker::{BrokerError, TransactionalProducer};
use clock::Millis;

use super::Task;
use crate::error::{EngineError, ProcessError};
use crate::node::Expired;
use crate::runtime::at_fault::{AtFault, RecordId, panic_text};
use crate::runtime::transaction::Transaction;

impl Task {
    /// Stream time is to move on to `event_time_ms`, the time of the record that comes next. Returns what has expired by then.
    pub(super) fn expire(
        &mut self,
        event_time_ms: Millis,
        producer: &mut dyn TransactionalProducer,
        transaction: &mut Transaction,
        now_ms: Millis,
    ) -> Result<Expired, EngineError> {
        let stream_time_ms = self.stream_time_ms.map_or(event_time_ms, |before| before.max(event_time_ms));
        // From here on it is the task's time, for what is written below as well.
        (self.stream_time_ms, self.flow.stream_time_ms) = (Some(stream_time_ms), Some(stream_time_ms));
        let mut all = Expired::default();
        if self.expired_ms >= self.stream_time_ms {
            return Ok(all);
        }
        for place in 0..self.flow.expiring.len() {
            let id = self.flow.expiring[place];
            let expire = || self.flow.expire(&self.topology, id, stream_time_ms, now_ms);
            let expired = catch_unwind(AssertUnwindSafe(expire)).map_err(|panic| {
                // It is tried again when time moves on: what it does to this transaction, it does not do to the next.
                self.forgone_ms = Some(stream_time_ms);
                EngineError::Panicked {
                    task: self.name.clone(),
                    reason: format!("as rows of {} expired: {}", self.topology.nodes[id].name, panic_text(&*panic)),
                }
            })?;
            match expired {
                Ok(expired) => {
                    self.outbox.send(&mut self.flow.out, producer)?;
                    all.count += expired.count;
                    all.has_more |= expired.has_more;
                }
                Err(ProcessError::Store(error)) => return Err(error.into()),
                Err(ProcessError::Wire(error)) if error.is_transient() => {
                    return Err(BrokerError::Unavailable(error.to_string()).into());
                }
                Err(error) => {
                    // No record is at fault: it is tried again when time moves on.
                    self.flow.undo_record();
                    tracing::error!(task = %self.name, node = %self.topology.nodes[id].name, %error, "rows could not expire");
                }
            }
        }
        self.dirty |= all.count > 0;
        transaction.punctuated |= all.count > 0;
        if !all.has_more {
            self.expired_ms = self.stream_time_ms;
        }
        Ok(all)
    }

    /// Has all rows expire that do by the time of the record in hand. Where a commit must come before the rest, or before the record, that is put
    /// back, and the answer is `false`.
    pub(super) fn has_expired(
        &mut self,
        record: RecordId,
        at_fault: &AtFault,
        producer: &mut dyn TransactionalProducer,
        transaction: &mut Transaction,
        now_ms: Millis,
    ) -> Result<bool, EngineError> {
        let Some(event_time_ms) = self.inputs[record.input].own_event_ms(self.flow.at.timestamp_ms) else {
            return Ok(true);
        };
        let at = self.flow.at.clone();
        let expired = self.expire(event_time_ms, producer, transaction, now_ms)?;
        self.flow.at = at;
        // While a culprit is looked for, what is no record's has a transaction for itself.
        let is_alone = expired.count > 0 && !at_fault.is_quiet();
        if expired.has_more || is_alone {
            transaction.is_full = true;
            self.inputs[record.input].put_back(&mut self.flow.at);
            return Ok(false);
        }
        Ok(true)
    }

    /// What was written as rows expired is refused: they are tried again when time moves on.
    pub fn forgo_expiry(&mut self) {
        self.forgone_ms = self.stream_time_ms;
    }

    /// The transaction is dropped: how far rows have expired is looked at anew.
    pub(super) fn forget_expired(&mut self) {
        self.expired_ms = self.forgone_ms;
        self.flow.stream_time_ms = self.stream_time_ms;
    }
}
