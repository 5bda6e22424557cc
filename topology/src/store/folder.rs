//! A state folder belongs to one process at a time, and is not the copy that somebody made of it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::StoreError;

/// What this process had open a moment ago, it may still be letting go of.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);

/// A folder that is this process's until this is dropped, or the process ends, however it ends.
pub(super) struct Folder {
    _lock: File,
    identity: String,
}

impl Folder {
    /// Takes the folder, which is made if it is not there.
    pub fn claim(path: &Path) -> Result<Self, StoreError> {
        let failed = |reason: String| StoreError::Backend {
            store: path.display().to_string(),
            reason,
        };
        let open = || {
            std::fs::create_dir_all(path)?;
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).read(true).write(true);
            options.open(path.join("lock"))
        };
        let mut file = open().map_err(|error| failed(error.to_string()))?;
        let until = Instant::now() + PATIENCE;
        while let Err(error) = file.try_lock() {
            match error {
                TryLockError::WouldBlock if Instant::now() < until => std::thread::sleep(PAUSE),
                TryLockError::WouldBlock => {
                    let holder = text_of(&mut file).unwrap_or_default();
                    let holder = holder.lines().nth(1).map(|pid| format!(" ({pid})")).unwrap_or_default();
                    return Err(failed(format!(
                        "another process{holder} works with this folder: stop it first, or give each process a folder of its own"
                    )));
                }
                TryLockError::Error(error) => return Err(failed(format!("it cannot be locked: {error}"))),
            }
        }
        let identity = identify(&mut file).map_err(|error| failed(error.to_string()))?;
        Ok(Self { _lock: file, identity })
    }

    /// Which folder this is: the same after each restart of the process, another for a copy, here or on another machine. It is
    /// another, too, after the machine has started anew; that costs whoever relies on it no more than a look.
    pub fn identity(&self) -> &str {
        &self.identity
    }
}

/// A copy has what is written in the file, but not the file's place; the copy of a whole machine has that, too, but not what its
/// kernel drew at its start.
fn identify(file: &mut File) -> std::io::Result<String> {
    let known = text_of(file)?;
    let own = match known.lines().next().map(str::trim) {
        Some(own) if !own.is_empty() => own.to_owned(),
        _ => uuid::Uuid::new_v4().simple().to_string(),
    };
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{own}\npid {}", std::process::id())?;
    let place = file.metadata()?;
    let machine = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Ok(format!("{own}/{:x}/{:x}/{}", place.dev(), place.ino(), machine.trim()))
}

fn text_of(file: &mut File) -> std::io::Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_holders_and_the_same_after_a_restart_and_a_copy_is_another() {
        let root = tempfile::tempdir().unwrap();
        let (path, copied) = (root.path().join("state"), root.path().join("copy"));
        let first = Folder::claim(&path).unwrap();
        let error = Folder::claim(&path).err().unwrap().to_string();
        let holder = format!("another process (pid {}) works with this folder", std::process::id());
        assert!(error.contains(&holder) && error.contains("state"), "{error}");
        let identity = first.identity().to_owned();
        std::fs::create_dir(&copied).unwrap();
        std::fs::copy(path.join("lock"), copied.join("lock")).unwrap();
        drop(first);
        assert_eq!(Folder::claim(&path).unwrap().identity(), identity);
        let copy = Folder::claim(&copied).unwrap();
        assert_ne!(copy.identity(), identity);
        assert_eq!(copy.identity()[..32], identity[..32], "it was copied whole");
    }
}
