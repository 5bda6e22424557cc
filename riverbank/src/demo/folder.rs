//! Where the demo keeps its files.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Marks a folder as the demo's own.
const MARK: &str = ".riverbank-demo";

/// The demo's folder: a temporary one that goes with it, or the one that was asked for.
pub struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    /// A folder that was asked for must be empty, or an earlier demo's: that one's files go, since its log went with its process.
    pub fn open(asked: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = asked else {
            let path = std::env::temp_dir().join(format!("riverbank-demo-{}", std::process::id()));
            std::fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
            return Ok(Self { path, temporary: true });
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
        for part in ["state", "lake", "schemas"] {
            match std::fs::remove_dir_all(path.join(part)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).with_context(describe),
                _ => {}
            }
        }
        std::fs::write(
            path.join(MARK),
            "Files of `riverbank demo`; the next one in this folder replaces them.\n",
        )
        .with_context(describe)?;
        Ok(Self {
            path: path.canonicalize().with_context(describe)?,
            temporary: false,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes a temporary folder, unless its content is evidence.
    pub fn close(self, all_is_well: bool) -> anyhow::Result<()> {
        if self.temporary && all_is_well {
            std::fs::remove_dir_all(&self.path).with_context(|| format!("remove {}", self.path.display()))?;
        }
        Ok(())
    }
}
