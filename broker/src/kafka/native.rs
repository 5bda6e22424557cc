//! The few calls that the rdkafka crate does not offer, on the reading side; [`super::topics`] has the writing one's.
//!
//! Why not the crate's own `poll`? It returns one message per call, at three times the cost of a batch, and the end of a
//! partition without its topic. [`FetchQueue`] takes whole batches off librdkafka's consumer queue and hands each
//! message out as a borrowed [`Fetched`], which can't outlive the batch.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::ptr;
use std::slice;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafka;

/// A consumer's queue, to be emptied in batches. Keeps its consumer, and so the native handles, alive.
pub(super) struct FetchQueue<C: ConsumerContext> {
    consumer: BaseConsumer<C>,
    queue: *mut sys::rd_kafka_queue_t,
    logs: *mut sys::rd_kafka_queue_t,
    batch: Vec<*mut sys::rd_kafka_message_t>,
}

// SAFETY: librdkafka's handles may be used from any thread; the batch is empty between calls.
unsafe impl<C: ConsumerContext> Send for FetchQueue<C> {}

/// A message, or a word about a partition, borrowed from a batch.
#[repr(transparent)]
pub(super) struct Fetched<'a> {
    message: &'a sys::rd_kafka_message_t,
}

impl<C: ConsumerContext> FetchQueue<C> {
    /// Takes over the queue of a consumer that has a group id. None of the consumer's own `poll`s may be used any more.
    pub fn new(consumer: BaseConsumer<C>) -> Self {
        let client: *mut RDKafka = consumer.client().native_ptr();
        // SAFETY: the client lives as long as `consumer`, which we keep; both queues are given back in `drop`. A batch
        // call serves no log events, so they get a queue of their own.
        let (queue, logs) = unsafe {
            let (queue, logs) = (sys::rd_kafka_queue_get_consumer(client), sys::rd_kafka_queue_new(client));
            sys::rd_kafka_set_log_queue(client, logs);
            (queue, logs)
        };
        assert!(!queue.is_null(), "a consumer with a group id has a queue");
        Self {
            consumer,
            queue,
            logs,
            batch: Vec::new(),
        }
    }

    pub fn consumer(&self) -> &BaseConsumer<C> {
        &self.consumer
    }

    /// Hands out up to `max` messages; waits up to `timeout` until there are as many, so `max` is 1 to wait for the first.
    pub fn fetch(&mut self, max: usize, timeout: Duration, mut each: impl FnMut(&[Fetched<'_>])) -> usize {
        self.batch.clear();
        self.batch.reserve(max);
        let timeout_ms = timeout.as_millis().min(60_000) as i32;
        // SAFETY: the buffer has room for `max` pointers, and the call says how many it wrote. `Fetched` is a reference to
        // a message and nothing else, so a slice of such pointers is a slice of `Fetched`; both end before the messages
        // are destroyed, each exactly once.
        unsafe {
            let count = sys::rd_kafka_consume_batch_queue(self.queue, timeout_ms, self.batch.as_mut_ptr(), max);
            let count = usize::try_from(count).unwrap_or_default();
            self.batch.set_len(count);
            if count > 0 {
                each(slice::from_raw_parts(self.batch.as_ptr().cast::<Fetched<'_>>(), count));
            }
            self.batch
                .drain(..)
                .for_each(|message| sys::rd_kafka_message_destroy(message));
            count
        }
    }

    /// Hands out the log lines that have gathered: level, facility, text.
    pub fn logs(&self, mut each: impl FnMut(Level, &str, &str)) {
        loop {
            // SAFETY: the event is ours until we destroy it, and the texts in it are not used after that.
            unsafe {
                let event = sys::rd_kafka_queue_poll(self.logs, 0);
                if event.is_null() {
                    return;
                }
                tell_log(event, &mut each);
                sys::rd_kafka_event_destroy(event);
            }
        }
    }

    /// Fills in the positions: the offsets after what was delivered of each partition, markers included; from memory.
    pub fn positions(&self, of: &mut TopicPartitionList) {
        // SAFETY: both outlive the call, which writes into the list's elements.
        unsafe { sys::rd_kafka_position(self.consumer.client().native_ptr(), of.ptr()) };
    }

    /// The end (high watermark) that the latest fetch of a partition told of, from memory.
    pub fn cached_end(&self, topic: &str, partition: i32) -> Option<i64> {
        let topic = CString::new(topic).ok()?;
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the topic's name outlives the call, which writes two numbers.
        let error = unsafe {
            let client: *mut RDKafka = self.consumer.client().native_ptr();
            sys::rd_kafka_get_watermark_offsets(client, topic.as_ptr(), partition, &mut low, &mut high)
        };
        (error == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }
}

impl<C: ConsumerContext> Drop for FetchQueue<C> {
    fn drop(&mut self) {
        // SAFETY: both queues are ours and used no more; logs go to the main queue again, as `consumer` expects when it
        // is dropped after this.
        unsafe {
            sys::rd_kafka_set_log_queue(self.consumer.client().native_ptr(), ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.logs);
            sys::rd_kafka_queue_destroy(self.queue);
        }
    }
}

impl<'a> Fetched<'a> {
    /// Tells topics apart within a batch; says nothing across batches.
    pub fn topic_id(&self) -> usize {
        self.message.rkt as usize
    }

    /// The topic's name; `None` in an error that is about no topic.
    pub fn topic(&self) -> Option<&'a str> {
        if self.message.rkt.is_null() {
            return None;
        }
        // SAFETY: a message keeps its topic alive, and a topic its name.
        unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(self.message.rkt)) }
            .to_str()
            .ok()
    }

    pub fn partition(&self) -> i32 {
        self.message.partition
    }

    pub fn offset(&self) -> i64 {
        self.message.offset
    }

    /// The error that stands in a message's place.
    pub fn error(&self) -> Option<RDKafkaErrorCode> {
        let error = self.message.err;
        (error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| error.into())
    }

    pub fn error_text(&self) -> String {
        // SAFETY: the text belongs to the message, or is static.
        let text = unsafe { sys::rd_kafka_message_errstr(self.message) };
        if text.is_null() {
            String::new()
        } else {
            unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
        }
    }

    pub fn timestamp_ms(&self) -> i64 {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: reads a field of the message.
        unsafe { sys::rd_kafka_message_timestamp(self.message, &mut kind) }
    }

    pub fn key(&self) -> Option<&'a [u8]> {
        bytes_at(self.message.key.cast(), self.message.key_len)
    }

    pub fn value(&self) -> Option<&'a [u8]> {
        bytes_at(self.message.payload.cast(), self.message.len)
    }

    /// The headers, by name and value.
    pub fn headers(&self, mut each: impl FnMut(&str, Option<&[u8]>)) {
        let mut headers = ptr::null_mut();
        // SAFETY: the headers belong to the message; names end with a zero byte, values have the length that is told.
        unsafe {
            let no_error = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
            if sys::rd_kafka_message_headers(self.message, &mut headers) != no_error {
                return;
            }
            for index in 0.. {
                let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
                if sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size) != no_error {
                    return;
                }
                each(&CStr::from_ptr(name).to_string_lossy(), bytes_at(value.cast(), size));
            }
        }
    }
}

/// Null is nothing; a length of 0 is something that is empty.
fn bytes_at<'a>(start: *const u8, len: usize) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: only called on a message's own key, value and header values, which live as long as the message does.
    Some(unsafe { slice::from_raw_parts(start, len) })
}

/// The generation at which a consumer is a member of its group; `None` while it is none.
///
/// The broker checks nothing when it is sent the metadata of one that is not a member, so that must never happen.
pub(super) fn generation<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<i32> {
    // SAFETY: the client lives as long as its consumer.
    unsafe { generation_of(consumer.client().native_ptr()) }
}

/// # Safety
///
/// The client lives.
unsafe fn generation_of(client: *mut RDKafka) -> Option<i32> {
    // SAFETY: the metadata is ours until we destroy it, and its member id is not used after that.
    unsafe {
        let metadata = sys::rd_kafka_consumer_group_metadata(client);
        if metadata.is_null() {
            return None;
        }
        let generation = sys::rd_kafka_consumer_group_metadata_generation_id(metadata);
        let member = CStr::from_ptr(sys::rd_kafka_consumer_group_metadata_member_id(metadata));
        let is_member = generation >= 0 && !member.is_empty();
        sys::rd_kafka_consumer_group_metadata_destroy(metadata);
        is_member.then_some(generation)
    }
}

/// A member's coordinator, asked off the member's own queue.
pub(super) struct Coordinator {
    client: *mut RDKafka,
    answers: *mut sys::rd_kafka_queue_t,
}

// SAFETY: librdkafka's handles may be used from any thread.
unsafe impl Send for Coordinator {}

impl Coordinator {
    /// # Safety
    ///
    /// The client, a consumer with a group id, must live until this is dropped.
    pub unsafe fn of(client: *mut RDKafka) -> Self {
        Self {
            client,
            // SAFETY: the client lives; the queue is given back in `drop`.
            answers: unsafe { sys::rd_kafka_queue_new(client) },
        }
    }

    /// As the function of the same name.
    pub fn generation(&self) -> Option<i32> {
        // SAFETY: see `of`.
        unsafe { generation_of(self.client) }
    }

    /// Asks for a commit of these offsets; one at a time, see [`Coordinator::answer`].
    pub fn commit(&self, offsets: &TopicPartitionList) -> Result<(), KafkaError> {
        // SAFETY: the client and the queue live, and the list is copied.
        let error = unsafe { sys::rd_kafka_commit_queue(self.client, offsets.ptr(), self.answers, None, ptr::null_mut()) };
        outcome(error)
    }

    /// The answer, if it comes within `timeout`.
    pub fn answer(&self, timeout: Duration) -> Option<Result<(), KafkaError>> {
        // SAFETY: the event is ours until we destroy it.
        unsafe {
            let event = sys::rd_kafka_queue_poll(self.answers, timeout.as_millis() as i32);
            if event.is_null() {
                return None;
            }
            let is_answer = sys::rd_kafka_event_type(event) == sys::RD_KAFKA_EVENT_OFFSET_COMMIT;
            let error = sys::rd_kafka_event_error(event);
            sys::rd_kafka_event_destroy(event);
            is_answer.then(|| outcome(error))
        }
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        // SAFETY: the queue is ours and used no more; the client still lives.
        unsafe { sys::rd_kafka_queue_destroy(self.answers) };
    }
}

fn outcome(error: sys::rd_kafka_resp_err_t) -> Result<(), KafkaError> {
    match error {
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        error => Err(KafkaError::ConsumerCommit(error.into())),
    }
}

/// Hands out an event's log line, if it is one: level, facility, text.
///
/// # Safety
///
/// The event is not yet destroyed.
pub(super) unsafe fn tell_log(event: *mut sys::rd_kafka_event_t, mut each: impl FnMut(Level, &str, &str)) {
    let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
    // SAFETY: the call fills in all three, or says that it does not; the texts live as long as the event.
    unsafe {
        if sys::rd_kafka_event_log(event, &mut facility, &mut text, &mut level) == 0 {
            let text_of = |text| CStr::from_ptr(text).to_string_lossy();
            each(log_level(level), text_of(facility).trim(), text_of(text).trim());
        }
    }
}

fn log_level(level: i32) -> Level {
    match level {
        0 => Level::Emerg,
        1 => Level::Alert,
        2 => Level::Critical,
        3 => Level::Error,
        4 => Level::Warning,
        5 => Level::Notice,
        6 => Level::Info,
        _ => Level::Debug,
    }
}

/// The time since the machine's start, with that for which it, or this process, slept.
pub(super) fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    const CLOCK: libc::clockid_t = libc::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes into the structure that it is given.
    unsafe { libc::clock_gettime(CLOCK, &mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Ends a client as librdkafka itself does, for tests.
#[cfg(test)]
pub(super) fn end<C: rdkafka::ClientContext>(client: &rdkafka::client::Client<C>, code: sys::rd_kafka_resp_err_t, reason: &CStr) {
    // SAFETY: the client lives, and the text is copied.
    unsafe { sys::rd_kafka_test_fatal_error(client.native_ptr(), code, reason.as_ptr()) };
}
