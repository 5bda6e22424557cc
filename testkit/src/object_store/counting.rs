//! A store that counts what is asked of it, and can die or hang at a request.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use tokio::sync::Semaphore;

/// What was asked of it.
#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    lists: AtomicU64,
    listed: AtomicU64,
    gets: AtomicU64,
}

/// A store, and what was asked of it.
#[derive(Debug, Clone)]
pub struct CountingStore {
    inner: Arc<dyn ObjectStore>,
    counts: Arc<Counts>,
    /// From this request on, nothing is done any more.
    dies_at: u64,
    /// This request waits until it is let go.
    hangs_at: u64,
    hanging: Arc<Hanging>,
}

#[derive(Debug)]
struct Hanging {
    is_reached: AtomicBool,
    let_go: Semaphore,
}

impl Default for Hanging {
    fn default() -> Self {
        Self {
            is_reached: AtomicBool::new(false),
            let_go: Semaphore::new(0),
        }
    }
}

impl CountingStore {
    /// It only counts.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Self::dying_at(inner, u64::MAX)
    }

    /// It does so many requests, and no more.
    pub fn dying_at(inner: Arc<dyn ObjectStore>, request: u64) -> Arc<Self> {
        Arc::new(Self {
            inner,
            counts: Arc::default(),
            dies_at: request,
            hangs_at: u64::MAX,
            hanging: Arc::default(),
        })
    }

    /// Its requests go on, but this one waits.
    pub fn hanging_at(inner: Arc<dyn ObjectStore>, request: u64) -> Arc<Self> {
        Arc::new(Self {
            inner,
            counts: Arc::default(),
            dies_at: u64::MAX,
            hangs_at: request,
            hanging: Arc::default(),
        })
    }

    /// Whether it has come to the request that waits.
    pub fn hangs(&self) -> bool {
        self.hanging.is_reached.load(Ordering::SeqCst)
    }

    /// Lets the request that waits go on.
    pub fn let_go(&self) {
        self.hanging.let_go.close();
    }

    /// How often something was listed since the last call, how many objects that brought, and how many reads there were.
    pub fn take(&self) -> (u64, u64, u64) {
        let of = |count: &AtomicU64| count.swap(0, Ordering::SeqCst);
        (of(&self.counts.lists), of(&self.counts.listed), of(&self.counts.gets))
    }

    /// Whether it refuses everything by now.
    pub fn is_dead(&self) -> bool {
        self.counts.requests.load(Ordering::SeqCst) > self.dies_at
    }

    async fn asked(&self) -> Result<()> {
        let request = self.counts.requests.fetch_add(1, Ordering::SeqCst);
        if request >= self.dies_at {
            return Err(Error::Generic {
                store: "counting",
                source: "dead".into(),
            });
        }
        if request == self.hangs_at {
            self.hanging.is_reached.store(true, Ordering::SeqCst);
            // An error says that it is closed: let go.
            let _ = self.hanging.let_go.acquire().await;
        }
        Ok(())
    }
}

/// Its parts are requests, too.
#[derive(Debug)]
struct CountedUpload {
    inner: Box<dyn MultipartUpload>,
    store: Arc<CountingStore>,
}

#[async_trait]
impl MultipartUpload for CountedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (part, store) = (self.inner.put_part(data), self.store.clone());
        Box::pin(async move {
            store.asked().await?;
            part.await
        })
    }
    async fn complete(&mut self) -> Result<PutResult> {
        self.store.asked().await?;
        self.inner.complete().await
    }
    async fn abort(&mut self) -> Result<()> {
        self.store.asked().await?;
        self.inner.abort().await
    }
}

impl fmt::Display for CountingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("counting")
    }
}

#[async_trait]
impl ObjectStore for CountingStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.asked().await?;
        self.inner.put_opts(location, payload, opts).await
    }
    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.asked().await?;
        Ok(Box::new(CountedUpload {
            inner: self.inner.put_multipart_opts(location, opts).await?,
            store: Arc::new(self.clone()),
        }))
    }
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.asked().await?;
        self.counts.gets.fetch_add(1, Ordering::SeqCst);
        self.inner.get_opts(location, options).await
    }
    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let locations = locations.then(move |path| {
            let store = store.clone();
            async move {
                store.asked().await?;
                path
            }
        });
        self.inner.delete_stream(locations.boxed())
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.counts.lists.fetch_add(1, Ordering::SeqCst);
        let (store, prefix, counts) = (self.clone(), prefix.cloned(), self.counts.clone());
        let count = move |_: &Result<ObjectMeta>| {
            counts.listed.fetch_add(1, Ordering::SeqCst);
        };
        let listed = async move {
            store.asked().await?;
            Ok::<_, Error>(store.inner.list(prefix.as_ref()))
        };
        futures::stream::once(listed).try_flatten().inspect(count).boxed()
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.asked().await?;
        self.counts.lists.fetch_add(1, Ordering::SeqCst);
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.asked().await?;
        self.inner.copy_opts(from, to, options).await
    }
}

/// A store in memory with the same objects.
pub async fn copy_of(store: &dyn ObjectStore) -> Arc<dyn ObjectStore> {
    use object_store::ObjectStoreExt;
    let copy = object_store::memory::InMemory::new();
    let objects: Vec<_> = store.list(None).try_collect().await.unwrap();
    for object in objects {
        let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
        copy.put(&object.location, bytes.into()).await.unwrap();
    }
    Arc::new(copy)
}
