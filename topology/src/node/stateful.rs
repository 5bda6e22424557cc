//! A step of the DSL that works with the task's stores.

use std::any::Any;
use std::marker::PhantomData;

use super::{Emit, Env, Node, typed};
use crate::error::ProcessError;
use crate::record::Record;
use crate::store::TaskStores;

/// A function from a record and the stores that it was declared with to records.
pub(crate) struct StatefulNode<KI, VI, KO, VO, F> {
    pub apply: F,
    pub waiting: Vec<Record<KO, VO>>,
    pub types: PhantomData<fn(KI, VI)>,
}

impl<KI, VI, KO, VO, F> Node for StatefulNode<KI, VI, KO, VO, F>
where
    KI: Send + 'static,
    VI: Send + 'static,
    KO: Send + 'static,
    VO: Send + 'static,
    F: FnMut(&Record<KI, VI>, &mut TaskStores<'_>, &mut Vec<Record<KO, VO>>) -> Result<(), ProcessError> + Send + 'static,
{
    fn process(&mut self, record: &dyn Any, env: &mut Env<'_>) -> Result<(), ProcessError> {
        (self.apply)(typed(record), &mut env.task_stores(), &mut self.waiting)
    }

    fn emit(&mut self, emit: &mut Emit<'_>) -> Result<(), ProcessError> {
        self.waiting.iter().try_for_each(|record| emit(0, record, None))?;
        self.waiting.clear();
        Ok(())
    }

    fn clear(&mut self) {
        self.waiting.clear();
    }
}
