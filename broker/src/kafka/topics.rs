//! Producing by topic handle.
//!
//! The rdkafka crate's `send` has librdkafka find the topic by its name for every record, from a string that it allocates. A
//! handle that is kept saves both.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::ptr;

use rdkafka::bindings as sys;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafka;

use crate::port::Outgoing;

/// The topics that a producer has written to. To be dropped before its producer.
pub(super) struct Topics {
    client: *mut RDKafka,
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
}

/// How long one look at a draining queue lasts.
const LOOK_MS: i32 = 1;

impl Topics {
    /// For a millisecond, has what is queued sent without waiting for fuller batches.
    ///
    /// The crate's `flush` does the same in steps of 100 ms.
    pub fn hurry(&self) {
        // SAFETY: the client lives. That time runs out is the rule: messages count until their reports were served.
        unsafe { sys::rd_kafka_flush(self.client, LOOK_MS) };
    }
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
    }
}
