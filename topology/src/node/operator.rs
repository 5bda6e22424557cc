//! A step without state.

use std::any::Any;
use std::marker::PhantomData;

use super::{Emit, Env, Node, typed};
use crate::error::ProcessError;
use crate::record::{Record, RecordMetadata};

/// A step without state: a function from a record to records on one or two ports.
pub(crate) struct OperatorNode<KI, VI, KO, VO, E, F> {
    pub apply: F,
    pub main: Vec<Record<KO, VO>>,
    pub side: Vec<Record<KO, E>>,
    pub types: PhantomData<fn(KI, VI)>,
}

impl<KI, VI, KO, VO, E, F> Node for OperatorNode<KI, VI, KO, VO, E, F>
where
    KI: Send + 'static,
    VI: Send + 'static,
    KO: Send + 'static,
    VO: Send + 'static,
    E: Send + 'static,
    F: FnMut(&Record<KI, VI>, &RecordMetadata, &mut Vec<Record<KO, VO>>, &mut Vec<Record<KO, E>>) -> Result<(), ProcessError>
        + Send
        + 'static,
{
    fn process(&mut self, record: &dyn Any, env: &mut Env<'_>) -> Result<(), ProcessError> {
        (self.apply)(typed(record), env.at, &mut self.main, &mut self.side)
    }

    fn emit(&mut self, emit: &mut Emit<'_>) -> Result<(), ProcessError> {
        self.main.iter().try_for_each(|record| emit(0, record, None))?;
        self.side.iter().try_for_each(|record| emit(1, record, None))?;
        self.clear();
        Ok(())
    }

    fn clear(&mut self) {
        self.main.clear();
        self.side.clear();
    }
}
