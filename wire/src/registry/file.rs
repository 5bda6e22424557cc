//! Registries without a server: in a folder, and in memory. They enforce BACKWARD compatibility as the real one does.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

use super::Registry;
use crate::{RegistryError, avro};

#[derive(Default, Serialize, Deserialize)]
struct Content {
    /// The schema of id *i* + 1.
    schemas: Vec<Arc<str>>,
    /// Ids by subject, oldest first.
    subjects: HashMap<String, Vec<u32>>,
}

impl Content {
    /// Returns the id, and whether anything is new.
    fn register(&mut self, subject: &str, schema: &str) -> Result<(u32, bool), RegistryError> {
        let refused = |reason: String| RegistryError::Refused {
            subject: subject.to_owned(),
            reason,
        };
        if let Some(ids) = self.subjects.get(subject)
            && let Some(id) = ids.iter().find(|id| &*self.schemas[**id as usize - 1] == schema)
        {
            return Ok((*id, false));
        }
        avro::is_schema(schema).map_err(&refused)?;
        if let Some(newest) = self.subjects.get(subject).and_then(|ids| ids.last()) {
            let written = &self.schemas[*newest as usize - 1];
            avro::can_read(written, schema).map_err(|e| refused(format!("it cannot read version {newest}: {e}")))?;
        }
        let id = match self.schemas.iter().position(|known| &**known == schema) {
            Some(index) => index as u32 + 1,
            None => {
                self.schemas.push(schema.into());
                self.schemas.len() as u32
            }
        };
        self.subjects.entry(subject.to_owned()).or_default().push(id);
        Ok((id, true))
    }

    fn by_id(&self, id: u32) -> Result<Arc<str>, RegistryError> {
        let index = (id as usize).checked_sub(1);
        index
            .and_then(|i| self.schemas.get(i).cloned())
            .ok_or(RegistryError::NotFound(id))
    }
}

/// A registry in memory: for tests.
#[derive(Default)]
pub struct MemoryRegistry(Mutex<Content>);

impl Registry for MemoryRegistry {
    fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        self.0.lock().register(subject, schema).map(|(id, _)| id)
    }

    fn by_id(&self, id: u32) -> Result<Arc<str>, RegistryError> {
        self.0.lock().by_id(id)
    }
}

/// A registry in a file of one process: the embedded default.
pub struct FileRegistry {
    path: PathBuf,
    content: Mutex<Content>,
}

impl FileRegistry {
    /// Opens or makes `schemas.json` in this folder.
    ///
    /// # Errors
    ///
    /// The folder cannot be made, or the file not be read.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, RegistryError> {
        let folder = folder.into();
        let path = folder.join("schemas.json");
        let unavailable = |e: &dyn std::fmt::Display| RegistryError::Unavailable(format!("{}: {e}", path.display()));
        std::fs::create_dir_all(&folder).map_err(|e| unavailable(&e))?;
        let content = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| unavailable(&e))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Content::default(),
            Err(e) => return Err(unavailable(&e)),
        };
        Ok(Self {
            path,
            content: Mutex::new(content),
        })
    }

    fn save(&self, content: &Content) -> std::io::Result<()> {
        let new = self.path.with_extension("new");
        std::fs::write(&new, serde_json::to_vec_pretty(content)?)?;
        std::fs::rename(new, &self.path)
    }
}

impl Registry for FileRegistry {
    fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let mut content = self.content.lock();
        let (id, new) = content.register(subject, schema)?;
        if new {
            self.save(&content)
                .map_err(|e| RegistryError::Unavailable(format!("{}: {e}", self.path.display())))?;
        }
        Ok(id)
    }

    fn by_id(&self, id: u32) -> Result<Arc<str>, RegistryError> {
        self.content.lock().by_id(id)
    }
}
