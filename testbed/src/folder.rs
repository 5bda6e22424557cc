//! The folder that a testbed's servers live in: configuration, data, logs.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::TestbedError;
use crate::error::io;

const PREFIX: &str = "riverbank-testbed-";
const LOCK: &str = "in-use";
/// Folders of failed tests stay this long for a look at the logs.
const KEEP: Duration = Duration::from_secs(24 * 3600);
const FAILED: &str = "failed";
/// A folder younger than this may be about to be locked.
const SETTLE: Duration = Duration::from_secs(60);

/// A folder that is removed at the end, except after a panic; or a lasting one.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Held while the owner lives, so that others see that the folder is in use.
    lock: Option<File>,
}

impl Folder {
    /// A new temporary folder. Sweeps away what processes that were killed have left.
    pub(crate) fn temporary() -> Result<Self, TestbedError> {
        let parent = std::env::temp_dir();
        sweep(&parent);
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir()
            .map_err(io(format!("create a folder in {}", parent.display())))?;
        let path = folder.keep();
        // Postgres runs as another user when the tests run as root; it needs to pass through.
        std::fs::set_permissions(&path, Permissions::from_mode(0o711)).map_err(io(format!("open {}", path.display())))?;
        let lock = File::create(path.join(LOCK)).map_err(io(format!("write in {}", path.display())))?;
        lock.try_lock().map_err(|error| io("lock the folder")(error.into()))?;
        Ok(Self { path, lock: Some(lock) })
    }

    /// A folder that stays.
    pub(crate) fn lasting(path: &Path) -> Result<Self, TestbedError> {
        std::fs::create_dir_all(path).map_err(io(format!("create {}", path.display())))?;
        std::fs::set_permissions(path, Permissions::from_mode(0o711)).map_err(io(format!("open {}", path.display())))?;
        Ok(Self {
            path: path.to_owned(),
            lock: None,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.lock.is_none() {
            return;
        }
        if std::thread::panicking() {
            let _ = File::create(self.path.join(FAILED));
            eprintln!("testbed: logs and data are kept for a day in {}", self.path.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes folders that nobody holds: those of failed tests after a day, others (their process was killed, or kept its
/// testbed in a static) at once. What cannot be removed belongs to another user.
fn sweep(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        #[allow(clippy::disallowed_methods, reason = "an age by the file system's clock")]
        let age = lock
            .metadata()
            .and_then(|meta| meta.modified())
            .map(|at| SystemTime::now().duration_since(at));
        let keep = if entry.path().join(FAILED).exists() { KEEP } else { SETTLE };
        if lock.try_lock().is_ok() && age.is_ok_and(|age| age.is_ok_and(|age| age > keep)) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
