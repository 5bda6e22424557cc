//! When a task reads ahead: while most of what its records ask for lies in the backend.
//!
//! Where the layers above hold nearly all of it, looking there twice would only cost.

use super::flow::Flow;
use super::input::Input;
use crate::error::StoreError;
use crate::graph::Topology;
use crate::store::LookedUp;

/// Records that are read ahead at once.
const RECORDS_MAX: usize = 1_024;

/// After so many records it is weighed again.
const WEIGHED_EVERY: usize = 512;

/// If one record in so many asks the backend, it is worth while.
const SHARE: usize = 8;

pub(super) struct ReadAhead {
    /// The processors that name keys, by input.
    processors: Vec<Vec<usize>>,
    is_on: bool,
    /// Records since it was last weighed.
    records: usize,
}

impl ReadAhead {
    pub fn new(topology: &Topology, inputs: &[Input]) -> Self {
        Self {
            processors: inputs.iter().map(|input| topology.readers_ahead(input.node)).collect(),
            is_on: false,
            records: 0,
        }
    }

    /// Nothing is named any more.
    pub fn turn_off(&mut self) {
        self.processors.iter_mut().for_each(Vec::clear);
    }

    /// Before the record in front of an input is processed.
    pub fn before(&mut self, chosen: usize, inputs: &mut [Input], flow: &mut Flow) -> Result<(), StoreError> {
        if self.processors[chosen].is_empty() {
            return Ok(());
        }
        self.records += 1;
        if self.records > WEIGHED_EVERY {
            self.weigh(flow);
        }
        if !self.is_on {
            return Ok(());
        }
        let (input, processors) = (&mut inputs[chosen], &self.processors[chosen]);
        let source = input.node;
        let count = input.read_ahead(RECORDS_MAX, &mut |key| flow.name_ahead(source, key, processors));
        if count > 0 {
            flow.stores.iter_mut().try_for_each(|store| store.read_ahead())?;
        }
        Ok(())
    }

    fn weigh(&mut self, flow: &mut Flow) {
        let looked_up: Vec<LookedUp> = flow.stores.iter_mut().map(|store| store.take_looked_up()).collect();
        // Together, keys are looked up once for all records that ask for them.
        self.is_on = looked_up
            .iter()
            .any(|store| (store.single + store.together) * SHARE > self.records);
        self.records = 0;
    }
}
