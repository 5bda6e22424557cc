//! Asking for topics' ids, which the rdkafka crate does not offer.

#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::ptr;
use std::slice;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::errors::{from_code, from_kafka, is_missing};
use crate::port::{BrokerError, TopicId};

/// How much longer than the request the answer is waited for: librdkafka itself says that the time was up.
const GRACE_MS: i32 = 1_000;

/// The ids of topics, in the order asked; `None` where there is no such topic, or the broker gives none. No topic is made by it.
pub(super) fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    timeout: Duration,
) -> Result<Vec<Option<TopicId>>, BrokerError> {
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    let names: Result<Vec<_>, _> = topics.iter().map(|topic| CString::new(*topic)).collect();
    let names = names.map_err(|error| from_kafka("naming a topic", &KafkaError::from(error)))?;
    // A time-out of zero would be an invalid one.
    let timeout_ms = timeout.as_millis().clamp(1, 60_000) as i32;
    let request = Request::new(client, &names, timeout_ms);
    // SAFETY: the client and the request's objects live until the answer has come or the queue is given back, after which nobody
    // waits for it; the call copies what it needs of the names and options.
    let event = unsafe {
        sys::rd_kafka_DescribeTopics(client.native_ptr(), request.names, request.options, request.queue);
        Event(sys::rd_kafka_queue_poll(request.queue, timeout_ms.saturating_add(GRACE_MS)))
    };
    let found = event.ids()?;
    Ok(topics.iter().map(|topic| found.get(*topic).copied()).collect())
}

/// What librdkafka wants for a question.
struct Request {
    names: *mut sys::rd_kafka_TopicCollection_t,
    options: *mut sys::rd_kafka_AdminOptions_t,
    queue: *mut sys::rd_kafka_queue_t,
}

impl Request {
    fn new<C: ClientContext>(client: &Client<C>, names: &[CString], timeout_ms: i32) -> Self {
        let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: the client lives, the names are copied, and all three objects are given back in `drop`. A time-out within
        // librdkafka's bounds is never refused.
        unsafe {
            let options = sys::rd_kafka_AdminOptions_new(
                client.native_ptr(),
                sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            );
            sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, ptr::null_mut(), 0);
            Self {
                names: sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()),
                options,
                queue: sys::rd_kafka_queue_new(client.native_ptr()),
            }
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // SAFETY: they are ours and used no more.
        unsafe {
            sys::rd_kafka_queue_destroy(self.queue);
            sys::rd_kafka_AdminOptions_destroy(self.options);
            sys::rd_kafka_TopicCollection_destroy(self.names);
        }
    }
}

/// An answer, or null where none came.
struct Event(*mut sys::rd_kafka_event_t);

impl Event {
    /// The ids by name.
    fn ids(&self) -> Result<HashMap<String, TopicId>, BrokerError> {
        let doing = "asking for the topics' ids";
        if self.0.is_null() {
            return Err(BrokerError::Unavailable(format!("{doing}: no answer")));
        }
        // SAFETY: the event is ours until it is dropped; texts, descriptions and ids belong to it and are copied before that.
        unsafe {
            let error = sys::rd_kafka_event_error(self.0);
            if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                let reason = CStr::from_ptr(sys::rd_kafka_event_error_string(self.0)).to_string_lossy();
                return Err(from_code(error.into(), format!("{doing}: {reason}")));
            }
            let result = sys::rd_kafka_event_DescribeTopics_result(self.0);
            let mut count = 0;
            let first = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            if result.is_null() || first.is_null() {
                return Ok(HashMap::new());
            }
            let mut ids = HashMap::new();
            for description in slice::from_raw_parts(first, count) {
                let name = CStr::from_ptr(sys::rd_kafka_TopicDescription_name(*description)).to_string_lossy();
                let error = sys::rd_kafka_TopicDescription_error(*description);
                if !error.is_null() {
                    let code: RDKafkaErrorCode = sys::rd_kafka_error_code(error).into();
                    match code {
                        RDKafkaErrorCode::NoError => {}
                        code if is_missing(code) => continue,
                        code => return Err(from_code(code, format!("{doing}: {name}: {code}"))),
                    }
                }
                let id = sys::rd_kafka_TopicDescription_topic_id(*description);
                if id.is_null() {
                    continue;
                }
                let high = sys::rd_kafka_Uuid_most_significant_bits(id) as u64;
                let low = sys::rd_kafka_Uuid_least_significant_bits(id) as u64;
                if let Some(id) = TopicId::from_bits(u128::from(high) << 64 | u128::from(low)) {
                    ids.insert(name.into_owned(), id);
                }
            }
            Ok(ids)
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: it is ours and used no more.
            unsafe { sys::rd_kafka_event_destroy(self.0) };
        }
    }
}
