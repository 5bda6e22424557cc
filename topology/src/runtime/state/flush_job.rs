//! A flush of a task.

use std::sync::Arc;

use crate::error::StoreError;
use crate::planted::planted;
use crate::store::{Backend, Batch, FlushPart, Stored};

/// A task's committed layer on its way to the backend.
pub(crate) struct FlushJob {
    pub name: String,
    pub backend: Arc<dyn Backend>,
    pub parts: Vec<Box<dyn FlushPart>>,
    pub stored: Stored,
}

impl FlushJob {
    /// Writes it.
    pub fn run(&self) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for part in &self.parts {
            part.fill(&mut batch)?;
        }
        batch.stored = Some(self.stored.clone());
        if planted("a flush is done before it is written") {
            self.parts.iter().for_each(|p| p.done());
        }
        self.backend.write(&batch)?;
        self.parts.iter().for_each(|p| p.done());
        Ok(())
    }
}
