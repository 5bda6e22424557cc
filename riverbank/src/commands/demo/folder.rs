//! Where the demo keeps its files.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Marks a folder as the demo's own.
const MARK: &str = ".riverbank-demo";

/// The demo's folder: a temporary one that goes with it, or the one that was asked for.
pub struct Folder {
    path: PathBuf,
    /// So that no other demo takes the folder; `None`: it is a temporary one.
    lock: Option<File>,
}

impl Folder {
    /// A folder that was asked for must be empty, or an earlier demo's: that one's files go, since its log went with its process.
    pub fn open(asked: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = asked else {
            let path = std::env::temp_dir().join(format!("riverbank-demo-{}", std::process::id()));
            std::fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
            return Ok(Self { path, lock: None });
        };
        let describe = || format!("--data {}", path.display());
        std::fs::create_dir_all(path).with_context(describe)?;
        let empty = std::fs::read_dir(path).with_context(describe)?.next().is_none();
        if !empty && !path.join(MARK).exists() {
            bail!(
                "--data {}: the folder is not empty, and no earlier demo made it",
                path.display()
            );
        }
        let mut options = File::options();
        let mark = options.create(true).truncate(false).write(true).open(path.join(MARK));
        let mut mark = mark.with_context(describe)?;
        match mark.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("--data {}: another demo works in this folder", path.display()),
            Err(TryLockError::Error(error)) => return Err(error).with_context(describe),
        }
        for part in ["state", "lake", "schemas"] {
            match std::fs::remove_dir_all(path.join(part)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).with_context(describe),
                _ => {}
            }
        }
        // The catalog of tables whose files are gone, with what SQLite may have beside it.
        for suffix in ["", "-wal", "-shm", "-journal"] {
            match std::fs::remove_file(path.join(format!("iceberg.db{suffix}"))) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).with_context(describe),
                _ => {}
            }
        }
        mark.write_all(b"Files of `riverbank demo`; the next one in this folder replaces them.\n")
            .with_context(describe)?;
        Ok(Self {
            path: path.canonicalize().with_context(describe)?,
            lock: Some(mark),
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes a temporary folder, unless its content is evidence.
    pub fn close(self, all_is_well: bool) -> anyhow::Result<()> {
        if self.lock.is_none() && all_is_well {
            std::fs::remove_dir_all(&self.path).with_context(|| format!("remove {}", self.path.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_an_earlier_demo_stays() {
        let folder = tempfile::tempdir().unwrap();
        let first = Folder::open(Some(folder.path())).unwrap();
        std::fs::create_dir_all(folder.path().join("lake/bronze.accounts/metadata")).unwrap();
        for file in ["iceberg.db", "iceberg.db-wal"] {
            std::fs::write(folder.path().join(file), "of tables whose files are gone").unwrap();
        }
        // While that one runs, nothing is taken from it.
        let refused = Folder::open(Some(folder.path())).map(drop).unwrap_err().to_string();
        assert!(refused.ends_with("another demo works in this folder"), "{refused}");
        assert!(folder.path().join("iceberg.db").exists());
        drop(first);
        let _second = Folder::open(Some(folder.path())).unwrap();
        let left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, [MARK]);
    }
}
