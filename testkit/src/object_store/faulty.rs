//! A store in memory that fails as real ones do.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How a request goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An error, and nothing was done.
    Fail,
    /// No answer ever, and nothing was done.
    Stall,
    /// An error, but it was done.
    FailAfter,
    /// No answer ever, but it was done.
    StallAfter,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 4] = [Fault::Fail, Fault::Stall, Fault::FailAfter, Fault::StallAfter];
}

/// A store in memory, and the faults that its requests meet.
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<InMemory>,
    plan: Mutex<Plan>,
}

#[derive(Debug)]
struct Plan {
    rng: ChaCha8Rng,
    faults: Vec<Fault>,
    probability: f64,
    puts: u64,
    /// It ignores that an object is to be created only.
    overwrites: bool,
    /// It ignores that a copy is to be made only where nothing is.
    copies_over: bool,
    copies: u64,
    /// How often something was listed, and how many objects that brought.
    lists: u64,
    listed: Arc<AtomicU64>,
    /// What the next listing misses.
    hidden: Option<Path>,
}

impl FaultyStore {
    /// An empty one, without faults at first; they are drawn from this seed.
    pub fn new(seed: u64) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self {
            inner: Arc::default(),
            plan: Mutex::new(Plan {
                rng,
                faults: vec![],
                probability: 0.0,
                puts: 0,
                overwrites: false,
                copies_over: false,
                copies: 0,
                lists: 0,
                listed: Arc::default(),
                hidden: None,
            }),
        }
    }

    /// From now on, requests meet one of these faults with this probability.
    pub fn suffer(&self, faults: &[Fault], probability: f64) {
        let mut plan = self.plan.lock();
        plan.faults = faults.to_vec();
        plan.probability = probability;
    }

    /// From now on nothing fails.
    pub fn recover(&self) {
        self.suffer(&[], 0.0);
    }

    /// How many puts of files and intents were asked for.
    pub fn puts(&self) -> u64 {
        self.plan.lock().puts
    }

    /// From now on, it is a store that knows no `If-None-Match`, or no more.
    pub fn overwrite(&self, overwrites: bool) {
        self.plan.lock().overwrites = overwrites;
    }

    /// From now on, its copies replace what is there.
    pub fn overwrite_copies(&self, overwrites: bool) {
        self.plan.lock().copies_over = overwrites;
    }

    /// How many copies were asked for.
    pub fn copies(&self) -> u64 {
        self.plan.lock().copies
    }

    /// How often something was listed since the last call, and how many objects that brought.
    pub fn take_lists(&self) -> (u64, u64) {
        let mut plan = self.plan.lock();
        (std::mem::take(&mut plan.lists), plan.listed.swap(0, Ordering::SeqCst))
    }

    /// The next listing misses this object, as one does that takes a while.
    pub fn hide_once(&self, path: Path) {
        self.plan.lock().hidden = Some(path);
    }

    /// The store behind the faults.
    pub fn inner(&self) -> Arc<dyn ObjectStore> {
        self.inner.clone()
    }

    fn next(&self) -> Option<Fault> {
        let plan = &mut *self.plan.lock();
        let meets = plan.probability > 0.0 && plan.rng.random_bool(plan.probability);
        if meets {
            plan.faults.choose(&mut plan.rng).copied()
        } else {
            None
        }
    }

    async fn meet<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let error = || Error::Generic {
            store: "faulty",
            source: "injected".into(),
        };
        match self.next() {
            None => work.await,
            Some(Fault::Fail) => Err(error()),
            Some(Fault::Stall) => std::future::pending().await,
            Some(Fault::FailAfter) => {
                work.await?;
                Err(error())
            }
            Some(Fault::StallAfter) => {
                work.await?;
                std::future::pending().await
            }
        }
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let mut opts = opts;
        if self.plan.lock().overwrites {
            opts.mode = PutMode::Overwrite;
        }
        let counts = !["_riverbank", "_topics", "_uploads"]
            .iter()
            .any(|notes| location.as_ref().contains(notes));
        self.plan.lock().puts += u64::from(counts);
        self.meet(self.inner.put_opts(location, payload, opts)).await
    }
    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.meet(self.inner.put_multipart_opts(location, opts)).await
    }
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.meet(self.inner.get_opts(location, options)).await
    }
    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.next() {
            None => {
                let mut plan = self.plan.lock();
                plan.lists += 1;
                let listed = plan.listed.clone();
                let count = move |_: &Result<ObjectMeta>| {
                    listed.fetch_add(1, Ordering::SeqCst);
                };
                let hidden = plan.hidden.take();
                let shows = move |object: &Result<ObjectMeta>| {
                    let is_hidden = matches!(object, Ok(object) if Some(&object.location) == hidden.as_ref());
                    futures::future::ready(!is_hidden)
                };
                self.inner.list(prefix).filter(shows).inspect(count).boxed()
            }
            Some(Fault::Fail | Fault::FailAfter) => {
                let error = Error::Generic {
                    store: "faulty",
                    source: "injected".into(),
                };
                futures::stream::iter([Err(error)]).boxed()
            }
            Some(Fault::Stall | Fault::StallAfter) => futures::stream::pending().boxed(),
        }
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let options = {
            let mut plan = self.plan.lock();
            plan.copies += 1;
            match plan.overwrites || plan.copies_over {
                true => CopyOptions::new().with_mode(CopyMode::Overwrite),
                false => options,
            }
        };
        self.meet(self.inner.copy_opts(from, to, options)).await
    }
}
