//! A log as a plain list: what the log in memory is compared with.

pub const PARTITIONS: u32 = 2;
pub const IDS: usize = 3;
const TIME_OUT_MS: u64 = 15_000;

#[derive(Clone, Copy, PartialEq)]
pub enum Fate {
    Open,
    Committed,
    Aborted,
}

/// A transactional id at the coordinator.
#[derive(Default)]
pub struct Id {
    pub epoch: u64,
    /// The transaction that is open, since when, and whether its commit is decided.
    pub open: Option<(usize, u64, bool)>,
    /// The epochs of commits that are on their way.
    pub late: Vec<u64>,
}

/// By offset: a record's value, and its transaction if it has one; `None` is a marker.
pub type List = Vec<Option<(u32, Option<usize>)>>;

/// What the log should be.
#[derive(Default)]
pub struct Model {
    pub now_ms: u64,
    pub kip890: bool,
    /// By partition.
    pub logs: [List; PARTITIONS as usize],
    pub fates: Vec<Fate>,
    pub ids: [Id; IDS],
    /// Offsets in the order in which they were sent.
    pub offsets: Vec<(i64, usize)>,
}

impl Model {
    pub fn end(&mut self, id: usize) {
        let Some((transaction, _, decided)) = self.ids[id].open.take() else {
            return;
        };
        self.fates[transaction] = if decided { Fate::Committed } else { Fate::Aborted };
        for log in &mut self.logs {
            if log.iter().flatten().any(|(_, of)| *of == Some(transaction)) {
                log.push(None);
            }
        }
    }

    pub fn init(&mut self, id: usize) -> u64 {
        self.end(id);
        self.ids[id].epoch += 1;
        self.ids[id].epoch
    }

    pub fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        for id in 0..IDS {
            if let Some((_, since, decided)) = self.ids[id].open
                && self.now_ms - since > TIME_OUT_MS
            {
                self.end(id);
                self.ids[id].epoch += u64::from(!decided);
            }
        }
    }

    /// The transaction that a producer's records go to; `None` where it is fenced.
    pub fn enlist(&mut self, id: usize, epoch: u64, enlisted: &mut bool) -> Option<usize> {
        if self.ids[id].epoch != epoch {
            return None;
        }
        if !*enlisted {
            self.end(id);
            self.fates.push(Fate::Open);
            self.ids[id].open = Some((self.fates.len() - 1, self.now_ms, false));
            *enlisted = true;
        }
        self.ids[id].open.map(|(transaction, ..)| transaction)
    }

    /// Whether the request is accepted.
    pub fn commit(&mut self, id: usize, epoch: u64, markers_late: bool) -> bool {
        if self.ids[id].epoch != epoch {
            return false;
        }
        if let Some((.., decided)) = &mut self.ids[id].open {
            *decided = true;
            self.ids[id].epoch += u64::from(self.kip890);
            if !markers_late {
                self.end(id);
            }
        }
        true
    }

    pub fn stable_end(&self, partition: usize) -> usize {
        let log = &self.logs[partition];
        let is_open = |of: &Option<usize>| of.is_some_and(|transaction| self.fates[transaction] == Fate::Open);
        let first = log.iter().position(|slot| slot.as_ref().is_some_and(|(_, of)| is_open(of)));
        first.unwrap_or(log.len())
    }

    /// Offsets and values.
    pub fn visible(&self, partition: usize) -> Vec<(i64, String)> {
        let log = self.logs[partition][..self.stable_end(partition)].iter().enumerate();
        let counts = |of: &Option<usize>| of.is_none_or(|transaction| self.fates[transaction] == Fate::Committed);
        log.filter_map(|(offset, slot)| {
            let (value, of) = slot.as_ref()?;
            counts(of).then(|| (offset as i64, value.to_string()))
        })
        .collect()
    }

    /// The group's offset; an error while one is pending.
    /// The group's offset; `None` while one is pending.
    pub fn committed(&self) -> Option<Option<i64>> {
        if self.offsets.iter().any(|(_, of)| self.fates[*of] == Fate::Open) {
            return None;
        }
        let counts = |(_, of): &&(i64, usize)| self.fates[*of] == Fate::Committed;
        Some(self.offsets.iter().rfind(counts).map(|(offset, _)| *offset))
    }
}
