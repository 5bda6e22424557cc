//! A processor and its stores.

use std::any::Any;

use broker::Headers;
use clock::Millis;

use super::{Emit, Env, Node, typed};
use crate::error::ProcessError;
use crate::processor::{Context, Forward, Processor};
use crate::punctuators::{Punctuation, Punctuators, Schedule};
use crate::record::Record;
use crate::store::{AnyStore, Slots, StoreSet};

/// A [`Processor`] at work.
pub(crate) struct ProcessorNode<P: Processor> {
    pub processor: P,
    pub stores: Vec<&'static str>,
    /// Where its stores stand among the task's; found with the first record.
    pub at: Vec<usize>,
    pub waiting: Vec<Record<P::KeyOut, P::Out>>,
    /// The headers of those that were given some, by their places, in order.
    pub headers: Vec<(usize, Headers)>,
}

impl<P: Processor> ProcessorNode<P> {
    fn find_stores(&mut self, stores: &[Box<dyn AnyStore>]) {
        if self.at.len() < self.stores.len() {
            let place = |name: &&'static str| stores.iter().position(|store| store.name() == *name);
            let places = self
                .stores
                .iter()
                .map(|name| place(name).expect("a task has the stores of its processors"));
            self.at = places.collect();
        }
    }

    fn run(
        &mut self,
        env: &mut Env<'_>,
        timestamp_ms: Millis,
        step: impl FnOnce(&mut P, &mut Context<'_, P>) -> Result<(), ProcessError>,
    ) -> Result<(), ProcessError> {
        self.find_stores(env.stores);
        let mut cx = Context {
            stores: P::Stores::handles(Slots {
                all: env.stores,
                at: &self.at,
            }),
            out: Forward {
                records: &mut self.waiting,
                headers: &mut self.headers,
                timestamp_ms,
            },
            at: env.at,
            headers: env.headers,
            now_ms: env.now_ms,
            schedule: Schedule {
                all: env.punctuators,
                node: env.id,
                now_ms: env.now_ms,
            },
        };
        step(&mut self.processor, &mut cx)
    }
}

impl<P: Processor> Node for ProcessorNode<P> {
    fn process(&mut self, record: &dyn Any, env: &mut Env<'_>) -> Result<(), ProcessError> {
        let record: &Record<P::KeyIn, P::In> = typed(record);
        self.run(env, record.timestamp_ms, |processor, cx| processor.process(cx, record))
    }

    fn read_ahead(&mut self, key: &dyn Any, stores: &mut [Box<dyn AnyStore>]) {
        if let (Some(name), Some(key)) = (P::READ_AHEAD, key.downcast_ref::<P::KeyIn>()) {
            self.find_stores(stores);
            let at = &self.at;
            name(key, &mut P::Stores::handles(Slots { all: stores, at }));
        }
    }

    fn dead_letter(&mut self, env: &mut Env<'_>) -> Result<(), ProcessError> {
        let timestamp_ms = env.at.timestamp_ms;
        self.run(env, timestamp_ms, |processor, cx| processor.dead_letter(cx))
    }

    fn init(&mut self, id: usize, punctuators: &mut Punctuators, now_ms: Millis) {
        self.processor.init(&mut Schedule {
            all: punctuators,
            node: id,
            now_ms,
        });
    }

    fn punctuate(&mut self, env: &mut Env<'_>, punctuation: Punctuation) -> Result<(), ProcessError> {
        self.run(env, punctuation.timestamp_ms, |processor, cx| {
            processor.punctuate(cx, punctuation)
        })
    }

    fn emit(&mut self, emit: &mut Emit<'_>) -> Result<(), ProcessError> {
        let mut own = self.headers.iter().peekable();
        for (place, record) in self.waiting.iter().enumerate() {
            let headers = own.next_if(|(of, _)| *of == place).map(|(_, headers)| headers);
            emit(0, record, headers)?;
        }
        self.clear();
        Ok(())
    }

    fn clear(&mut self) {
        self.waiting.clear();
        self.headers.clear();
    }
}
