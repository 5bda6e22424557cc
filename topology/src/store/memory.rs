//! A backend in memory: for tests, and the in-memory twin of RocksDB in the conformance suite.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::{Backend, Backends, Batch, Entries, Stored};
use crate::error::StoreError;

#[derive(Default)]
struct Memory {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    families: HashMap<u16, BTreeMap<Vec<u8>, Vec<u8>>>,
    stored: Option<Stored>,
}

impl Backend for Memory {
    fn get(&self, family: u16, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.inner.read().families.get(&family).and_then(|f| f.get(key).cloned()))
    }

    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut inner = self.inner.write();
        for (family, key, value) in batch.iter() {
            let family = inner.families.entry(family).or_default();
            match value {
                Some(value) => family.insert(key.to_vec(), value.to_vec()),
                None => family.remove(key),
            };
        }
        if let Some(stored) = &batch.stored {
            inner.stored = Some(stored.clone());
        }
        Ok(())
    }

    fn range(&self, family: u16, from: &[u8], to: Option<&[u8]>) -> Entries<'_> {
        let inner = self.inner.read();
        let Some(family) = inner.families.get(&family) else {
            return Box::new(std::iter::empty());
        };
        let range = family.range::<[u8], _>((Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded)));
        let entries: Vec<_> = range
            .map(|(key, value)| Ok((key.as_slice().into(), value.as_slice().into())))
            .collect();
        Box::new(entries.into_iter())
    }

    fn stored(&self) -> Result<Option<Stored>, StoreError> {
        Ok(self.inner.read().stored.clone())
    }

    fn size_bytes(&self, family: u16) -> u64 {
        self.inner
            .read()
            .families
            .get(&family)
            .map_or(0, |f| f.iter().map(|(k, v)| (k.len() + v.len()) as u64).sum())
    }
}

/// Backends in memory that outlive their tasks, as files would: a test's "disk". Each is open once at a time, as files are.
#[derive(Clone, Default)]
pub struct MemoryBackends {
    tasks: Arc<Mutex<HashMap<String, Arc<Memory>>>>,
}

impl Backends for MemoryBackends {
    fn open(&self, task: &str, _: &[&str]) -> Result<Arc<dyn Backend>, StoreError> {
        let mut tasks = self.tasks.lock();
        let memory = tasks.entry(task.to_owned()).or_default();
        if Arc::strong_count(memory) > 1 {
            return Err(StoreError::Backend {
                store: task.to_owned(),
                reason: "it is open already".to_owned(),
            });
        }
        Ok(memory.clone())
    }

    fn wipe(&self, task: &str) -> Result<(), StoreError> {
        self.tasks.lock().remove(task);
        Ok(())
    }

    fn tasks(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.tasks.lock().keys().cloned().collect())
    }
}
