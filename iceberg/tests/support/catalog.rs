//! Catalogs that fail as real ones do: before or after they have done what was asked, or much later.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use iceberg_tables::catalog::{Commit, Creation, Loaded};
use iceberg_tables::{Catalog, CatalogError, TableName};
use parking_lot::Mutex;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How a request goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not done.
    Before,
    /// It is done, and nobody hears of it.
    After,
    /// It is done later, when others have gone on.
    Late,
    /// It is not done, and the caller is told that somebody else was faster.
    Conflict,
}

impl Fault {
    pub const ALL: [Fault; 4] = [Fault::Before, Fault::After, Fault::Late, Fault::Conflict];
}

pub struct FaultyCatalog {
    inner: Arc<dyn Catalog>,
    plan: Mutex<Plan>,
}

struct Plan {
    rng: ChaCha8Rng,
    /// The faults of the next requests.
    next: VecDeque<Option<Fault>>,
    probability: f64,
    late: Vec<(TableName, Loaded, Commit)>,
    commits: u64,
}

impl FaultyCatalog {
    pub fn new(inner: Arc<dyn Catalog>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            inner,
            plan: Mutex::new(Plan {
                rng: ChaCha8Rng::seed_from_u64(seed),
                next: VecDeque::new(),
                probability: 0.0,
                late: Vec::new(),
                commits: 0,
            }),
        })
    }

    pub fn suffer(&self, probability: f64) {
        self.plan.lock().probability = probability;
    }

    /// The next commits meet these.
    pub fn next(&self, faults: &[Option<Fault>]) {
        self.plan.lock().next = faults.iter().copied().collect();
    }

    /// How many commits were asked for.
    pub fn commits(&self) -> u64 {
        self.plan.lock().commits
    }

    /// What was late is done now; says what came of it.
    pub async fn arrive(&self) -> Vec<Result<(), CatalogError>> {
        let late = std::mem::take(&mut self.plan.lock().late);
        let mut results = Vec::new();
        for (name, base, commit) in late {
            results.push(self.inner.commit(&name, &base, &commit).await);
        }
        results
    }

    fn draw(&self) -> Option<Fault> {
        let plan = &mut *self.plan.lock();
        if let Some(fault) = plan.next.pop_front() {
            return fault;
        }
        let meets = plan.probability > 0.0 && plan.rng.random_bool(plan.probability);
        meets.then(|| *Fault::ALL.choose(&mut plan.rng).unwrap())
    }
}

fn lost() -> CatalogError {
    CatalogError::Unknown("injected".into())
}

#[async_trait]
impl Catalog for FaultyCatalog {
    async fn load(&self, table: &TableName) -> Result<Option<Loaded>, CatalogError> {
        let meets = {
            let plan = &mut *self.plan.lock();
            plan.probability > 0.0 && plan.rng.random_bool(plan.probability / 2.0)
        };
        match meets {
            true => Err(CatalogError::Failed("injected".into())),
            false => self.inner.load(table).await,
        }
    }

    async fn create(&self, table: &TableName, creation: &Creation) -> Result<(), CatalogError> {
        match self.draw() {
            None => self.inner.create(table, creation).await,
            Some(Fault::After) => {
                self.inner.create(table, creation).await?;
                Err(lost())
            }
            Some(_) => Err(lost()),
        }
    }

    async fn commit(&self, table: &TableName, base: &Loaded, commit: &Commit) -> Result<(), CatalogError> {
        self.plan.lock().commits += 1;
        match self.draw() {
            None => self.inner.commit(table, base, commit).await,
            Some(Fault::Before) => Err(lost()),
            Some(Fault::Conflict) => Err(CatalogError::Conflict("injected".into())),
            Some(Fault::After) => {
                let _ = self.inner.commit(table, base, commit).await;
                Err(lost())
            }
            Some(Fault::Late) => {
                self.plan.lock().late.push((table.clone(), base.clone(), commit.clone()));
                Err(lost())
            }
        }
    }
}
