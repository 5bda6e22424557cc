//! A disk that loses what was written last when the power goes.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::RngExt;
use rand::rngs::StdRng;
use topology::StoreError;
use topology::store::{Backend, Backends, Batch, Entries, Stored};

use super::error::refused;

type Family = BTreeMap<Vec<u8>, Vec<u8>>;

/// A task's data, and how to take back each batch since all of it was last safe.
#[derive(Default)]
struct Data {
    families: BTreeMap<u16, Family>,
    stored: Option<Stored>,
    batches: Vec<Undo>,
}

struct Undo {
    entries: Vec<(u16, Vec<u8>, Option<Vec<u8>>)>,
    stored: Option<Stored>,
}

impl Data {
    fn set(&mut self, family: u16, key: &[u8], value: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let family = self.families.entry(family).or_default();
        match value {
            Some(value) => family.insert(key.to_vec(), value),
            None => family.remove(key),
        }
    }
}

#[derive(Default)]
struct Folder(Mutex<Data>);

/// A disk without fsync: a process that is killed keeps all that was written, a power loss a prefix of each task's batches.
#[derive(Clone, Default)]
pub struct VolatileDisk(Arc<Mutex<BTreeMap<String, Arc<Folder>>>>);

impl VolatileDisk {
    /// All that was written is safe from now on.
    pub fn sync(&self) {
        self.0.lock().values().for_each(|folder| folder.0.lock().batches.clear());
    }

    /// The power goes, while nobody has anything open. Returns how many batches are lost.
    pub fn lose_power(&self, random: &mut StdRng) -> usize {
        let mut lost = 0;
        for folder in self.0.lock().values() {
            let mut data = folder.0.lock();
            for _ in 0..random.random_range(0..=data.batches.len()) {
                let Some(batch) = data.batches.pop() else { break };
                for (family, key, before) in batch.entries.into_iter().rev() {
                    data.set(family, &key, before);
                }
                data.stored = batch.stored;
                lost += 1;
            }
            // What is left was read back from the disk.
            data.batches.clear();
        }
        lost
    }
}

impl Backends for VolatileDisk {
    fn open(&self, task: &str, _: &[&str]) -> Result<Arc<dyn Backend>, StoreError> {
        let mut folders = self.0.lock();
        let folder = folders.entry(task.to_owned()).or_default();
        if Arc::strong_count(folder) > 1 {
            return Err(refused(task, "it is open already"));
        }
        Ok(folder.clone())
    }
    fn wipe(&self, task: &str) -> Result<(), StoreError> {
        let mut folders = self.0.lock();
        if folders.get(task).is_some_and(|folder| Arc::strong_count(folder) > 1) {
            return Err(refused(task, "it is open"));
        }
        folders.remove(task);
        Ok(())
    }
    fn tasks(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.0.lock().keys().cloned().collect())
    }
}

impl Backend for Folder {
    fn get(&self, family: u16, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let data = self.0.lock();
        Ok(data.families.get(&family).and_then(|family| family.get(key).cloned()))
    }
    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut data = self.0.lock();
        let mut undo = Undo {
            entries: Vec::new(),
            stored: data.stored.clone(),
        };
        for (family, key, value) in batch.iter() {
            let before = data.set(family, key, value.map(<[u8]>::to_vec));
            undo.entries.push((family, key.to_vec(), before));
        }
        if let Some(stored) = batch.reflects() {
            data.stored = Some(stored.clone());
        }
        data.batches.push(undo);
        Ok(())
    }
    fn range(&self, family: u16, from: &[u8], to: Option<&[u8]>) -> Entries<'_> {
        let data = self.0.lock();
        let Some(family) = data.families.get(&family) else {
            return Box::new(std::iter::empty());
        };
        let range = family.range::<[u8], _>((Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded)));
        let entries: Vec<_> = range
            .map(|(key, value)| Ok((key.as_slice().into(), value.as_slice().into())))
            .collect();
        Box::new(entries.into_iter())
    }
    fn stored(&self) -> Result<Option<Stored>, StoreError> {
        Ok(self.0.lock().stored.clone())
    }
    fn size_bytes(&self, _: u16) -> u64 {
        0
    }
}
