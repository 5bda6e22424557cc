//! A worker's transactions, one at a time: its producer, what the open one holds, and the one whose outcome is not known.

use broker::{BrokerError, Committed, Membership, TopicPartition, TransactionalProducer};
use clock::Millis;

use super::at_fault::RecordId;

/// What the open transaction holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transaction {
    pub since_ms: Millis,
    /// Input records in it, and the first of them.
    pub records: usize,
    pub first: Option<RecordId>,
    /// A punctuator has written in it.
    pub punctuated: bool,
    /// It is to be committed before anything else is processed.
    pub is_full: bool,
}

impl Transaction {
    fn begun(since_ms: Millis) -> Self {
        Self {
            since_ms,
            records: 0,
            first: None,
            punctuated: false,
            is_full: false,
        }
    }

    /// Whether nothing has written in it.
    pub fn is_empty(&self) -> bool {
        self.records == 0 && !self.punctuated
    }

    /// Whether this record alone has written in it.
    pub fn holds_only(&self, record: RecordId) -> bool {
        !self.punctuated && (self.records == 0 || (self.records == 1 && self.first == Some(record)))
    }
}

/// The transactions of one worker.
pub(crate) struct Transactions {
    producer: Option<Box<dyn TransactionalProducer>>,
    open: Option<Transaction>,
    /// The mark of a transaction whose commit was tried, and is not known to have succeeded.
    in_doubt: Option<String>,
    /// A punctuator wrote in the last one.
    was_punctuated: bool,
    /// What tells this worker's marks from those of any other, and of earlier runs.
    run: u32,
    marks: u64,
}

impl Transactions {
    /// Without a producer yet.
    pub fn new() -> Self {
        Self {
            producer: None,
            open: None,
            in_doubt: None,
            was_punctuated: false,
            run: uuid::Uuid::new_v4().as_fields().0,
            marks: 0,
        }
    }

    /// Whether there is a producer. Without one nothing is processed.
    pub fn has_producer(&self) -> bool {
        self.producer.is_some()
    }

    /// The open transaction, if there is one.
    pub fn open(&self) -> Option<Transaction> {
        self.open
    }

    /// Whether a punctuator wrote in the one that committed last.
    pub fn was_punctuated(&self) -> bool {
        self.was_punctuated
    }

    /// The producer, where there is one.
    pub fn producer(&mut self) -> Option<&mut dyn TransactionalProducer> {
        match &mut self.producer {
            Some(producer) => Some(producer.as_mut()),
            None => None,
        }
    }

    /// Begins one, unless one is open. `None`: there is no producer.
    pub fn begin(&mut self, now_ms: Millis) -> Result<Option<(&mut dyn TransactionalProducer, &mut Transaction)>, BrokerError> {
        let Some(producer) = &mut self.producer else {
            return Ok(None);
        };
        if self.open.is_none() {
            producer.begin()?;
        }
        let open = self.open.get_or_insert_with(|| Transaction::begun(now_ms));
        Ok(Some((producer.as_mut(), open)))
    }

    /// A mark that no other transaction has, whoever's it is.
    pub fn next_mark(&mut self) -> String {
        self.marks += 1;
        format!("{:x}.{:x}", self.run, self.marks)
    }

    /// Commits the open one, which is in doubt from here on until it has succeeded or [`Transactions::settled`] is called. Returns the
    /// highest offset that it wrote in each partition; `None`: there is no producer.
    pub fn commit(
        &mut self,
        mark: String,
        offsets: &[(TopicPartition, Committed)],
        membership: &Membership,
    ) -> Result<Option<Vec<(TopicPartition, i64)>>, BrokerError> {
        let Some(producer) = &mut self.producer else {
            return Ok(None);
        };
        self.in_doubt = Some(mark);
        let written = producer.commit(offsets, membership)?;
        self.was_punctuated = self.open.is_some_and(|transaction| transaction.punctuated);
        self.open = None;
        self.in_doubt = None;
        Ok(Some(written))
    }

    /// After a fault: drops the producer, and with it the open transaction. One in doubt stays so.
    pub fn abandon(&mut self) {
        (self.producer, self.open) = (None, None);
    }

    /// The mark of the one in doubt.
    pub fn in_doubt(&self) -> Option<&str> {
        self.in_doubt.as_deref()
    }

    /// What was in doubt is known, and every task goes by it: work goes on with this producer.
    pub fn settled(&mut self, producer: Box<dyn TransactionalProducer>) {
        self.in_doubt = None;
        self.producer = Some(producer);
    }
}
