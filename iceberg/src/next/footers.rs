//! Files' footers, a few of them read ahead.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use sinks::parquet::footer::{self, FooterError, Identity};
use sinks::parquet::layout::FileName;
use sinks::parquet::marks::{Circle, Marks};

use super::error::FindError;
use super::ready::Ready;

/// How many footers are read at the same time, and ahead.
pub(super) const AT_ONCE: usize = 16;

/// Footers that were read.
pub(super) struct Footers {
    store: Arc<dyn ObjectStore>,
    read: BTreeMap<FileName, Ready>,
}

impl Footers {
    pub(super) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            read: BTreeMap::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.read.clear();
    }

    /// The file of a name, or the one by which it is superseded; `None` if it is not there.
    pub(super) async fn real(&mut self, mut name: FileName) -> Result<Option<(Ready, Identity)>, FindError> {
        let mut marks = Marks::from(&name);
        loop {
            let Some(ready) = self.footer(&name).await? else {
                return Ok(None);
            };
            let wrong = |reason: String| FindError::File {
                path: name.path(),
                reason,
            };
            let identity = Identity::from_metadata(&ready.metadata).map_err(wrong)?;
            if !identity.is_of(&name) {
                return Err(wrong(format!("its footer says {identity:?}")));
            }
            match identity.superseded_by {
                None => return Ok(Some((ready, identity))),
                Some(schema) => {
                    let path = name.path();
                    let circle = |circle: Circle| FindError::File {
                        path,
                        reason: circle.to_string(),
                    };
                    marks.follow(&mut name, schema).map_err(circle)?;
                }
            }
        }
    }

    async fn footer(&mut self, name: &FileName) -> Result<Option<Ready>, FindError> {
        if let Some(ready) = self.read.get(name) {
            return Ok(Some(ready.clone()));
        }
        let ready = footer_of(self.store.clone(), name.clone()).await?;
        if let Some(ready) = &ready {
            self.read.insert(name.clone(), ready.clone());
        }
        Ok(ready)
    }

    /// Reads the footers of files that come next, side by side.
    pub(super) async fn read_ahead(&mut self, names: Vec<FileName>) -> Result<(), FindError> {
        let unread = names.iter().filter(|name| !self.read.contains_key(*name));
        // While more than half of them are read, the next ones are not due.
        if unread.clone().count() * 2 < names.len() {
            return Ok(());
        }
        let reads: Vec<_> = unread.map(|name| footer_of(self.store.clone(), name.clone())).collect();
        let read: Vec<Option<Ready>> = stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await?;
        for ready in read.into_iter().flatten() {
            self.read.insert(ready.name.clone(), ready);
        }
        Ok(())
    }
}

async fn footer_of(store: Arc<dyn ObjectStore>, name: FileName) -> Result<Option<Ready>, FindError> {
    let path = name.path();
    match footer::read_metadata(store.as_ref(), &path).await {
        Ok((bytes, metadata)) => Ok(Some(Ready {
            name,
            bytes,
            metadata: Arc::new(metadata),
        })),
        Err(FooterError::Store(object_store::Error::NotFound { .. })) => Ok(None),
        Err(FooterError::Store(error)) => Err(error.into()),
        Err(FooterError::Damaged(reason)) => Err(FindError::File { path, reason }),
    }
}
