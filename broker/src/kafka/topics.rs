//! Producing by topic handle, and reports by batch.
//!
//! The rdkafka crate's `send` has librdkafka find the topic by its name for every record, from a string that it allocates. A
//! handle that is kept saves both. Its `poll` hands each record's report to a callback, with a reference count and the topic's
//! name checked anew; here a batch, which is of one partition, is told of once.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::ptr;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings as sys;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafka;

use super::native;
use super::reports::Reports;
use crate::port::Outgoing;

/// How long one look at a draining queue lasts.
const LOOK_MS: i32 = 1;

/// The topics that a producer has written to. To be dropped before its producer.
pub(super) struct Topics {
    client: *mut RDKafka,
    events: *mut sys::rd_kafka_queue_t,
    known: Vec<(String, *mut sys::rd_kafka_topic_t)>,
}

// SAFETY: librdkafka's handles may be used from any thread.
unsafe impl Send for Topics {}

impl Topics {
    /// # Safety
    ///
    /// The client must live until this is dropped.
    pub unsafe fn of(client: *mut RDKafka) -> Self {
        Self {
            client,
            // SAFETY: the client lives; the handle is given back in `drop`.
            events: unsafe { sys::rd_kafka_queue_get_main(client) },
            known: Vec::new(),
        }
    }

    fn handle(&mut self, name: &str) -> Result<*mut sys::rd_kafka_topic_t, KafkaError> {
        if let Some((_, handle)) = self.known.iter().find(|(known, _)| known == name) {
            return Ok(*handle);
        }
        let text = CString::new(name).map_err(KafkaError::from)?;
        // SAFETY: the client lives, the name ends with a zero byte and is copied.
        let handle = unsafe { sys::rd_kafka_topic_new(self.client, text.as_ptr(), ptr::null_mut()) };
        if handle.is_null() {
            return Err(KafkaError::MessageProduction(RDKafkaErrorCode::InvalidTopic));
        }
        self.known.push((name.to_owned(), handle));
        Ok(handle)
    }

    /// Queues a record without headers. Its bytes are copied.
    pub fn produce(&mut self, record: &Outgoing<'_>) -> Result<(), KafkaError> {
        debug_assert!(record.headers.is_empty());
        let topic = self.handle(record.topic)?;
        let (key, key_len) = pointer(record.key);
        let (value, value_len) = pointer(record.value);
        // SAFETY: the handle and the client live, both byte ranges are copied before the call returns, and each argument has
        // the type that its tag says.
        let error = unsafe {
            use sys::rd_kafka_vtype_t as tag;
            sys::rd_kafka_producev(
                self.client,
                tag::RD_KAFKA_VTYPE_RKT,
                topic,
                tag::RD_KAFKA_VTYPE_PARTITION,
                record.partition.map_or(-1, |partition| partition as i32),
                tag::RD_KAFKA_VTYPE_MSGFLAGS,
                sys::RD_KAFKA_MSG_F_COPY,
                tag::RD_KAFKA_VTYPE_VALUE,
                value,
                value_len,
                tag::RD_KAFKA_VTYPE_KEY,
                key,
                key_len,
                tag::RD_KAFKA_VTYPE_TIMESTAMP,
                record.timestamp_ms,
                tag::RD_KAFKA_VTYPE_END,
            )
        };
        if error == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            Ok(())
        } else {
            Err(KafkaError::MessageProduction(error.into()))
        }
    }

    /// For a millisecond, has what is queued sent without waiting for fuller batches.
    ///
    /// The crate's `flush` does the same in steps of 100 ms.
    pub fn hurry(&self) {
        // SAFETY: the client lives. That time runs out is the rule: messages count until their reports were served.
        unsafe { sys::rd_kafka_flush(self.client, LOOK_MS) };
    }

    /// Waits up to `timeout` for something to tell, and tells it. Returns whether there was something.
    pub fn serve(&self, timeout: Duration, reports: &Reports) -> bool {
        // SAFETY: the event is ours until we destroy it, and nothing in it is used after that.
        unsafe {
            let event = sys::rd_kafka_queue_poll(self.events, timeout.as_millis() as i32);
            if event.is_null() {
                return false;
            }
            match sys::rd_kafka_event_type(event) {
                sys::RD_KAFKA_EVENT_DR => tell_reports(event, reports),
                sys::RD_KAFKA_EVENT_ERROR => {
                    let reason = CStr::from_ptr(sys::rd_kafka_event_error_string(event)).to_string_lossy();
                    let error = KafkaError::Global(sys::rd_kafka_event_error(event).into());
                    reports.error(error, reason.trim());
                }
                sys::RD_KAFKA_EVENT_LOG => native::tell_log(event, |level, facility, text| reports.log(level, facility, text)),
                _ => {}
            }
            sys::rd_kafka_event_destroy(event);
        }
        true
    }
}

/// Tells of the records of a report: mostly of one partition, and with rising offsets.
///
/// # Safety
///
/// The event is a delivery report.
unsafe fn tell_reports(event: *mut sys::rd_kafka_event_t, reports: &Reports) {
    let mut last: Option<&sys::rd_kafka_message_t> = None;
    let tell = |message: &sys::rd_kafka_message_t| {
        // SAFETY: a message keeps its topic alive, and a topic its name.
        let topic = unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(message.rkt)) }.to_string_lossy();
        match message.err {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {
                reports.written(&topic, message.partition, message.offset);
            }
            error => reports.refused(&topic, error.into()),
        }
    };
    // SAFETY: the messages live as long as their event.
    while let Some(message) = unsafe { sys::rd_kafka_event_message_next(event).as_ref() } {
        let goes_on = |last: &&sys::rd_kafka_message_t| {
            let same = message.rkt == last.rkt && message.partition == last.partition;
            same && message.err == last.err && message.offset > last.offset
        };
        if let Some(last) = last.filter(|last| !goes_on(last)) {
            tell(last);
        }
        last = Some(message);
    }
    last.into_iter().for_each(tell);
}

/// Nothing is null; what is empty is not.
fn pointer(bytes: Option<&[u8]>) -> (*mut std::ffi::c_void, usize) {
    bytes.map_or((ptr::null_mut(), 0), |bytes| (bytes.as_ptr() as *mut _, bytes.len()))
}

impl Drop for Topics {
    fn drop(&mut self) {
        // SAFETY: each handle is ours and used no more; the client still lives.
        self.known
            .drain(..)
            .for_each(|(_, handle)| unsafe { sys::rd_kafka_topic_destroy(handle) });
        // SAFETY: as above.
        unsafe { sys::rd_kafka_queue_destroy(self.events) };
    }
}
