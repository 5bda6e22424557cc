//! A task processes one record, or calls a punctuator.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use broker::{BrokerError, TransactionalProducer};
use clock::Millis;
use wire::WireError;

use super::{Blame, Step, Task};
use crate::error::{EngineError, ProcessError, StoreError};
use crate::offset::RecordOffset;
use crate::planted::planted;
use crate::punctuators::PunctuationType;
use crate::record::RecordMetadata;
use crate::runtime::OnFault;
use crate::runtime::at_fault::{AtFault, RecordId, Verdict, panic_text};
use crate::runtime::queue::BrokenPack;
use crate::runtime::transaction::Transaction;

impl Task {
    /// Reads the event times of the records in front, where sources extract them. Returns why the task must wait, where one cannot be read now.
    fn read_heads(&mut self, now_ms: Millis, at_fault: &AtFault) -> Result<Option<String>, EngineError> {
        for chosen in 0..self.inputs.len() {
            let input = &mut self.inputs[chosen];
            if !input.wants_head() {
                continue;
            }
            let record = RecordId {
                task: self.id,
                input: chosen,
                offset: input.front_record(),
            };
            let read = match at_fault.verdict(&record) {
                Some(_) => Ok(None),
                None => self.read_head(record)?,
            };
            let event_time_ms = match read {
                Err(ProcessError::Wire(error)) if error.is_transient() || self.unknown.waits(&error, now_ms) => {
                    return Ok(Some(error.to_string()));
                }
                Err(ProcessError::Store(error)) => return Err(error.into()),
                read => read.unwrap_or_default(),
            };
            self.inputs[chosen].set_head(event_time_ms);
        }
        Ok(None)
    }

    fn read_head(&mut self, record: RecordId) -> Result<Result<Option<Millis>, ProcessError>, EngineError> {
        let input = &mut self.inputs[record.input];
        self.flow.at.topic = input.partition.topic.clone();
        let node = input.node;
        if let Err(BrokenPack) = input.show(&mut self.flow.at) {
            return Ok(Ok(None));
        }
        let read = self.catching(Blame::Panicked(record), |task| Ok(task.flow.event_time(node)))?;
        self.inputs[record.input].put_back(&mut self.flow.at);
        Ok(read)
    }

    /// The input whose record comes next: the one with the lowest event time. None, while an empty one may bring a lower one.
    fn next_input(&mut self, now_ms: Millis) -> Option<usize> {
        let (mut next, mut has_dry): (Option<(Millis, usize)>, bool) = (None, false);
        for (i, input) in self.inputs.iter_mut().enumerate() {
            match input.event_ms() {
                Some(event_ms) if next.is_none_or(|(lowest, _)| event_ms < lowest) => next = Some((event_ms, i)),
                Some(_) => {}
                None => {
                    input.note_dry(now_ms);
                    has_dry = true;
                }
            }
        }
        let (_, chosen) = next.filter(|_| !has_dry || !self.idles(now_ms))?;
        Some(chosen)
    }

    /// Processes the waiting record with the lowest event time. Where an error is a record's fault, `blame` names it.
    pub fn step(
        &mut self,
        producer: &mut dyn TransactionalProducer,
        now_ms: Millis,
        at_fault: &AtFault,
        transaction: &mut Transaction,
    ) -> Result<Step, EngineError> {
        if self.reads_heads
            && let Some(reason) = self.read_heads(now_ms, at_fault)?
        {
            return Ok(Step::Later(reason));
        }
        let Some(chosen) = self.next_input(now_ms) else {
            return Ok(Step::Idle);
        };
        let record = RecordId {
            task: self.id,
            input: chosen,
            offset: self.inputs[chosen].front_record(),
        };
        let is_alone = at_fault.is_alone(&record);
        if is_alone && transaction.records > 0 {
            transaction.is_full = true;
            return Ok(Step::Idle);
        }
        self.read_ahead(chosen)?;
        let input = &mut self.inputs[chosen];
        if !Arc::ptr_eq(&self.flow.at.topic, &input.partition.topic) {
            self.flow.at.topic = input.partition.topic.clone();
        }
        let node = input.node;
        let shown = input.show(&mut self.flow.at);
        let verdict = at_fault.verdict(&record);
        if !self.flow.expiring.is_empty()
            && shown.is_ok()
            && !self.has_expired(record, at_fault, producer, transaction, now_ms)?
        {
            return Ok(Step::Idle);
        }
        let outcome = match (shown, verdict) {
            (Ok(()), None) => self.catching(Blame::Panicked(record), |task| {
                Ok(task.flow.run_source(&task.topology, node, now_ms))
            })?,
            (shown, verdict) => {
                self.flow.begin_source(node);
                let broken = shown.err().map(|BrokenPack| "the pack of records is broken".to_owned());
                let reason = broken.or_else(|| verdict.map(|verdict| verdict.reason.clone()));
                Err(ProcessError::Record(reason.unwrap_or_default()))
            }
        };
        let step = match outcome {
            Ok(()) => {
                let sent = self.outbox.send(&mut self.flow.out, producer);
                self.blaming(record, sent)?;
                Step::Processed
            }
            Err(ProcessError::Wire(error)) if error.is_transient() || self.unknown.waits(&error, now_ms) => {
                self.flow.undo_record();
                self.inputs[chosen].put_back(&mut self.flow.at);
                return Ok(Step::Later(error.to_string()));
            }
            Err(ProcessError::Store(error)) => return Err(error.into()),
            Err(error) => {
                self.flow.undo_record();
                if verdict.is_none() && self.stops_at(&error) {
                    self.blame = Some(Blame::Stopping(record));
                    return Err(EngineError::AtFault {
                        task: self.name.clone(),
                        reason: error.to_string(),
                    });
                }
                self.send_dead_letter(record, &error.to_string(), verdict, producer)?;
                if verdict.is_none_or(|verdict| verdict.with_hook) {
                    self.catching(Blame::Panicked(record), |task| {
                        task.tell_dead_letter(record, node, producer, now_ms)
                    })?;
                }
                Step::DeadLetter(self.flow.at.topic.clone())
            }
        };
        let event_time_ms = self.flow.event_time_ms;
        self.inputs[chosen].pop(event_time_ms);
        self.dirty = true;
        self.records += 1;
        transaction.first.get_or_insert(record);
        transaction.records += 1;
        transaction.is_full |= is_alone || self.flow.has_full_cache();
        self.stream_time_ms = self.stream_time_ms.max(event_time_ms);
        self.flow.stream_time_ms = self.stream_time_ms;
        if let Some(stream_time_ms) = self.stream_time_ms.filter(|_| self.punctuated_ms < self.stream_time_ms) {
            self.punctuated_ms = self.stream_time_ms;
            self.punctuate_by(PunctuationType::StreamTime, stream_time_ms, producer, now_ms)?;
        }
        Ok(step)
    }

    /// Whether the settings say that a record with this fault stops the task.
    fn stops_at(&self, error: &ProcessError) -> bool {
        let on_fault = match error {
            ProcessError::Record(_) => self.settings.on_unprocessable,
            ProcessError::Wire(WireError::Unencodable(_)) => self.settings.on_unwritable,
            _ => self.settings.on_unreadable,
        };
        on_fault == OnFault::Stop
    }

    fn read_ahead(&mut self, chosen: usize) -> Result<(), StoreError> {
        let (ahead, inputs, flow) = (&mut self.read_ahead, &mut self.inputs, &mut self.flow);
        let read = catch_unwind(AssertUnwindSafe(|| ahead.before(chosen, inputs, flow)));
        read.unwrap_or_else(|panic| {
            // It only saves time, and it was shown many records: none of them is at fault.
            let reason = panic_text(&*panic);
            tracing::error!(task = %self.name, reason, "a processor panicked while it named keys to be read ahead; that is off now");
            self.read_ahead.turn_off();
            Ok(())
        })
    }

    /// Runs processors: a panic of theirs is an error, for which the record is to blame.
    fn catching<T>(&mut self, blame: Blame, run: impl FnOnce(&mut Self) -> Result<T, EngineError>) -> Result<T, EngineError> {
        // What they leave behind is dropped with the transaction: nodes are made anew, and stores forget what it wrote.
        catch_unwind(AssertUnwindSafe(|| run(self))).unwrap_or_else(|panic| {
            self.blame = Some(blame);
            Err(EngineError::Panicked {
                task: self.name.clone(),
                reason: panic_text(&*panic),
            })
        })
    }

    /// What is refused of this record's outputs is its fault.
    fn blaming<T>(&mut self, record: RecordId, result: Result<T, EngineError>) -> Result<T, EngineError> {
        if result.as_ref().is_err_and(EngineError::is_refused) {
            self.blame = Some(Blame::Refused(record));
        }
        result
    }

    fn send_dead_letter(
        &mut self,
        record: RecordId,
        reason: &str,
        verdict: Option<&Verdict>,
        producer: &mut dyn TransactionalProducer,
    ) -> Result<(), EngineError> {
        let (at, offset) = (&self.flow.at, self.inputs[record.input].front_offset());
        tracing::warn!(task = %self.name, topic = %at.topic, offset, reason, "a record goes to the dead-letter topic");
        let with_bytes = verdict.is_none_or(|verdict| verdict.with_bytes);
        let sent = self.outbox.send_dead_letter(at, offset, reason, with_bytes, producer);
        self.blaming(record, sent)
    }

    /// What processors make of a dead letter counts with it.
    fn tell_dead_letter(
        &mut self,
        record: RecordId,
        source: usize,
        producer: &mut dyn TransactionalProducer,
        now_ms: Millis,
    ) -> Result<(), EngineError> {
        match self.flow.tell_dead_letter(&self.topology, source, now_ms) {
            Ok(()) => {
                let sent = self.outbox.send(&mut self.flow.out, producer);
                self.blaming(record, sent)
            }
            Err(ProcessError::Store(error)) => Err(error.into()),
            Err(error) => {
                self.flow.undo_record();
                tracing::error!(task = %self.name, %error, "a processor could not be called for a dead letter");
                Ok(())
            }
        }
    }

    /// Calls the punctuators on the wall clock whose time has come. Returns whether any has written.
    pub fn punctuate(&mut self, producer: &mut dyn TransactionalProducer, now_ms: Millis) -> Result<bool, EngineError> {
        self.punctuate_by(PunctuationType::WallClockTime, now_ms, producer, now_ms)
    }

    fn punctuate_by(
        &mut self,
        kind: PunctuationType,
        clock_ms: Millis,
        producer: &mut dyn TransactionalProducer,
        now_ms: Millis,
    ) -> Result<bool, EngineError> {
        let mut any = false;
        while let Some((id, punctuation)) = self.flow.punctuators.take_due(kind, clock_ms) {
            self.flow.at = RecordMetadata {
                partition: self.id.partition,
                offset: RecordOffset::NONE,
                timestamp_ms: clock_ms,
                ..RecordMetadata::default()
            };
            self.flow.begin_record(clock_ms);
            let punctuated = catch_unwind(AssertUnwindSafe(|| {
                self.flow.punctuate(&self.topology, id, punctuation, now_ms)
            }));
            // Its next call is a period away: what it does to its transaction, it does not do to the next.
            let outcome = punctuated.map_err(|panic| {
                self.flow.punctuators.forgo(punctuation.punctuator);
                EngineError::Panicked {
                    task: self.name.clone(),
                    reason: format!("in {}'s punctuator: {}", self.topology.nodes[id].name, panic_text(&*panic)),
                }
            })?;
            match outcome {
                Ok(()) => {
                    let wrote = !self.flow.out.entries.is_empty() || self.flow.stores.iter().any(|s| s.uncommitted_len() > 0);
                    self.outbox.send(&mut self.flow.out, producer)?;
                    self.dirty |= wrote && !planted("a punctuation alone is not committed");
                    any |= wrote;
                }
                Err(ProcessError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    // No record is at fault: it is tried again at its next time.
                    self.flow.undo_record();
                    tracing::error!(task = %self.name, node = %self.topology.nodes[id].name, %error, "a punctuation failed");
                }
            }
        }
        Ok(any)
    }

    /// Whether nodes hold records back until the commit.
    pub fn has_caches(&self) -> bool {
        !self.flow.caches.is_empty()
    }

    /// Has what was held back for the commit go on. An update that fails takes the transaction down: which record it is of is not known here,
    /// and is found among the transaction's as one whose output is refused.
    pub fn flush_caches(&mut self, producer: &mut dyn TransactionalProducer, now_ms: Millis) -> Result<(), EngineError> {
        for place in 0..self.flow.caches.len() {
            let id = self.flow.caches[place];
            loop {
                let flushed = catch_unwind(AssertUnwindSafe(|| self.flow.flush(&self.topology, id, now_ms)));
                let failed = |reason: String| {
                    let node = &self.topology.nodes[id].name;
                    BrokerError::Refused(format!("an update of {node} failed at the commit: {reason}"))
                };
                match flushed {
                    Ok(Ok(false)) => break,
                    Ok(Ok(true)) => self.outbox.send(&mut self.flow.out, producer)?,
                    Ok(Err(ProcessError::Store(error))) => return Err(error.into()),
                    Ok(Err(ProcessError::Wire(error))) if error.is_transient() => {
                        return Err(BrokerError::Unavailable(error.to_string()).into());
                    }
                    Ok(Err(error)) => return Err(failed(error.to_string()).into()),
                    Err(panic) => return Err(failed(panic_text(&*panic)).into()),
                }
            }
        }
        Ok(())
    }

    /// When the next punctuation on the wall clock is due.
    pub fn next_punctuation_ms(&self) -> Option<Millis> {
        self.flow.punctuators.next_wall_clock_ms()
    }
}
