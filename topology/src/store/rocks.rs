//! RocksDB behind the store port: a database per task, a column family per store, one memory budget for the process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rocksdb::{
    BlockBasedOptions, ColumnFamilyDescriptor, DB, DBCompressionType, Direction, IteratorMode, Options, ReadOptions, WriteBatch,
    WriteBufferManager,
};

use super::folder::Folder;
use super::{Backend, Backends, Batch, Entries, Stored};
use crate::error::StoreError;

/// How much memory all of the process's databases may take together. Filters and indexes come to it: two to three bytes for
/// each key on disk. Data has no cache of its own: hot keys are found in the layers above, and to put a block into a cache and
/// another one out costs more than to read it, compressed, from the system's page cache.
#[derive(Debug, Clone, Copy)]
pub struct RocksSettings {
    /// All memtables together, in bytes.
    pub write_buffer_bytes: usize,
}

impl Default for RocksSettings {
    fn default() -> Self {
        Self {
            write_buffer_bytes: 32 << 20,
        }
    }
}

/// In such pieces memtables take memory.
const ARENA_BLOCK_BYTES: usize = 64 << 10;

/// Opens a database per task beneath one folder.
pub struct RocksBackends {
    folder: PathBuf,
    write_buffers: WriteBufferManager,
    settings: RocksSettings,
    claimed: Mutex<Option<Folder>>,
}

impl RocksBackends {
    /// Databases live in `folder`, which belongs to one process at a time.
    pub fn new(folder: impl Into<PathBuf>, settings: RocksSettings) -> Self {
        Self {
            folder: folder.into(),
            write_buffers: WriteBufferManager::new_write_buffer_manager(settings.write_buffer_bytes, false),
            settings,
            claimed: Mutex::new(None),
        }
    }

    fn options(&self) -> Result<Options, rocksdb::Error> {
        let mut blocks = BlockBasedOptions::default();
        blocks.disable_cache();
        // Half of RocksDB's default: most look-ups want one key of a block, and pay for all that is decompressed.
        blocks.set_block_size(2 << 10);
        blocks.set_bloom_filter(10.0, false);
        blocks.set_format_version(6);
        // There is a database for each task, and most are small: RocksDB would reserve 37 MB on disk for the log and the manifest of
        // each. The crate has no method for it.
        let mut options = Options::default().get_options_from_string("allow_fallocate=false")?;
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_block_based_table_factory(&blocks);
        options.set_write_buffer_manager(&self.write_buffers);
        options.set_write_buffer_size(self.settings.write_buffer_bytes / 4);
        // Of many stores most have little, and share one budget: by default each would take an eighth of a full memtable at its first write.
        options.set_arena_block_size(ARENA_BLOCK_BYTES);
        // Most keys that are looked up are not there; a filter says so sooner. It is as large as a full memtable needs, and taken at once.
        options.set_memtable_prefix_bloom_ratio(0.01);
        options.set_memtable_whole_key_filtering(true);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_max_open_files(256);
        options.set_keep_log_file_num(2);
        options.set_max_total_wal_size(64 << 20);
        Ok(options)
    }
}

const STORED: &[u8] = b"stored";
/// What keys look like in here; a database of another version, or of none, is restored from its changelogs.
const FORMAT: (&[u8], &[u8]) = (b"format", b"2");

fn failed(store: impl ToString) -> impl FnOnce(rocksdb::Error) -> StoreError {
    move |error| StoreError::Backend {
        store: store.to_string(),
        reason: error.to_string(),
    }
}

impl Backends for RocksBackends {
    fn claim(&self) -> Result<Option<String>, StoreError> {
        let mut claimed = self.claimed.lock();
        let folder = match claimed.take() {
            Some(folder) => folder,
            None => Folder::claim(&self.folder)?,
        };
        Ok(Some(claimed.insert(folder).identity().to_owned()))
    }

    fn open(&self, task: &str, families: &[&str]) -> Result<Arc<dyn Backend>, StoreError> {
        let path = self.folder.join(task);
        std::fs::create_dir_all(&path).map_err(|e| StoreError::Backend {
            store: path.display().to_string(),
            reason: e.to_string(),
        })?;
        let options = self.options().map_err(failed(path.display()))?;
        // Families of stores that the topology no longer has must be opened all the same.
        let mut names: Vec<String> = DB::list_cf(&options, &path).unwrap_or_default();
        for name in families {
            if !names.iter().any(|n| n == name) {
                names.push((*name).to_owned());
            }
        }
        names.retain(|n| n != "default");
        let families_of = || {
            let families = names.iter().map(|name| ColumnFamilyDescriptor::new(name, options.clone()));
            families.collect()
        };
        let mut db = open_when_unlocked(&options, &path, families_of())?;
        if db.get(FORMAT.0).map_err(failed(task))?.as_deref() != Some(FORMAT.1) {
            if db.get(STORED).map_err(failed(task))?.is_some() {
                tracing::warn!(
                    task,
                    "the state was written by a version that ordered keys in another way: restoring it"
                );
                drop(db);
                DB::destroy(&Options::default(), &path).map_err(failed(path.display()))?;
                db = open_when_unlocked(&options, &path, families_of())?;
            }
            db.put(FORMAT.0, FORMAT.1).map_err(failed(task))?;
        }
        Ok(Arc::new(Rocks {
            db,
            families: families.iter().map(|f| (*f).to_owned()).collect(),
            task: task.to_owned(),
        }))
    }

    fn wipe(&self, task: &str) -> Result<(), StoreError> {
        let path = self.folder.join(task);
        if path.exists() {
            DB::destroy(&Options::default(), &path).map_err(failed(path.display()))?;
        }
        Ok(())
    }

    fn tasks(&self) -> Result<Vec<String>, StoreError> {
        let mut tasks = Vec::new();
        let folder = &self.folder;
        gather_tasks(folder, folder, &mut tasks).map_err(|error| StoreError::Backend {
            store: folder.display().to_string(),
            reason: error.to_string(),
        })?;
        Ok(tasks)
    }
}

/// The names of the databases beneath a folder: the ways to them, which hold slashes.
fn gather_tasks(root: &Path, folder: &Path, tasks: &mut Vec<String>) -> std::io::Result<()> {
    if folder.join("CURRENT").exists() {
        let name = folder.strip_prefix(root).ok().and_then(Path::to_str);
        tasks.extend(name.map(str::to_owned));
        return Ok(());
    }
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            gather_tasks(root, &entry.path(), tasks)?;
        }
    }
    Ok(())
}

/// A query may still hold the last view of a task that this process has just closed: the lock goes with it.
fn open_when_unlocked(options: &Options, path: &Path, families: Vec<ColumnFamilyDescriptor>) -> Result<DB, StoreError> {
    let names: Vec<String> = families.iter().map(|f| f.name().to_owned()).collect();
    let mut families = Some(families);
    let mut attempts = 0;
    loop {
        let descriptors = families.take().unwrap_or_else(|| {
            names
                .iter()
                .map(|n| ColumnFamilyDescriptor::new(n, options.clone()))
                .collect()
        });
        match DB::open_cf_descriptors(options, path, descriptors) {
            Ok(db) => return Ok(db),
            Err(error) if attempts < 50 && error.to_string().contains("lock") => {
                attempts += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(failed(path.display())(error)),
        }
    }
}

struct Rocks {
    db: DB,
    families: Vec<String>,
    task: String,
}

impl Rocks {
    fn family(&self, family: u16) -> &rocksdb::ColumnFamily {
        self.db
            .cf_handle(&self.families[usize::from(family)])
            .expect("every family was opened")
    }
}

impl Backend for Rocks {
    fn get(&self, family: u16, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get_cf(self.family(family), key).map_err(failed(&self.task))
    }

    fn get_many(&self, family: u16, keys: &[&[u8]], visit: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StoreError> {
        let values = self.db.batched_multi_get_cf(self.family(family), keys, true);
        for value in values {
            visit(value.map_err(failed(&self.task))?.as_deref());
        }
        Ok(())
    }

    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut writes = WriteBatch::default();
        for (family, key, value) in batch.iter() {
            match value {
                Some(value) => writes.put_cf(self.family(family), key, value),
                None => writes.delete_cf(self.family(family), key),
            }
        }
        if let Some(stored) = &batch.stored {
            let bytes = serde_json::to_vec(stored).map_err(|e| StoreError::Backend {
                store: self.task.clone(),
                reason: e.to_string(),
            })?;
            writes.put(STORED, bytes);
        }
        // Without fsync: a killed process keeps what was written, a power loss leaves a consistent prefix.
        self.db.write(writes).map_err(failed(&self.task))
    }

    fn range(&self, family: u16, from: &[u8], to: Option<&[u8]>) -> Entries<'_> {
        let mut options = ReadOptions::default();
        if let Some(to) = to {
            // Not only to end there: RocksDB would look for the next key that lives, past all that were deleted.
            options.set_iterate_upper_bound(to);
        }
        let mode = IteratorMode::From(from, Direction::Forward);
        let entries = self.db.iterator_cf_opt(self.family(family), options, mode);
        Box::new(entries.map(|entry| entry.map_err(failed(&self.task))))
    }

    fn clear(&self, family: u16) -> Result<(), StoreError> {
        let cf = self.family(family);
        let Some(last) = self.db.iterator_cf(cf, IteratorMode::End).next() else {
            return Ok(());
        };
        let (mut end, _) = last.map_err(failed(&self.task))?;
        // Exclusive: the first bytes behind the last key.
        end = [&*end, &[0]].concat().into();
        self.db.delete_range_cf(cf, &[][..], &*end).map_err(failed(&self.task))
    }

    fn stored(&self) -> Result<Option<Stored>, StoreError> {
        match self.db.get(STORED).map_err(failed(&self.task))? {
            Some(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| StoreError::Backend {
                store: self.task.clone(),
                reason: format!("stored position: {e}"),
            }),
            None => Ok(None),
        }
    }

    fn size_bytes(&self, family: u16) -> u64 {
        let cf = self.family(family);
        let property = |name: &str| self.db.property_int_value_cf(cf, name).ok().flatten().unwrap_or(0);
        property("rocksdb.total-sst-files-size") + property("rocksdb.cur-size-all-mem-tables")
    }
}
