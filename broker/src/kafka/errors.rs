//! librdkafka's error codes, by what the caller can do.

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::port::{BrokerError, TopicPartition};

/// Maps an error of a call; `doing` says what was being done.
pub(super) fn from_kafka(doing: &str, error: &KafkaError) -> BrokerError {
    let text = format!("{doing}: {error}");
    match error {
        // The text of a transaction's error says more than its code.
        KafkaError::Transaction(inner) if inner.is_retriable() => BrokerError::Unavailable(text),
        KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) | KafkaError::Nul(_) => BrokerError::Fatal(text),
        KafkaError::AdminOp(code) => from_code(*code, text),
        _ => match error.rdkafka_error_code() {
            Some(code) => from_code(code, text),
            None => BrokerError::Fatal(text),
        },
    }
}

/// Maps an error of a client's call. Once a fatal error has ended the client, its calls only say that one did, at whatever
/// moment that was; the client says which.
pub(super) fn from_client<C: ClientContext>(client: &Client<C>, doing: &str, error: &KafkaError) -> BrokerError {
    ended(client, doing).unwrap_or_else(|| from_kafka(doing, error))
}

/// The fatal error that has ended a client, if one has.
pub(super) fn ended<C: ClientContext>(client: &Client<C>, doing: &str) -> Option<BrokerError> {
    let (code, text) = client.fatal_error()?;
    Some(from_code(code, format!("{doing}: {text}")))
}

/// Maps an error code.
pub(super) fn from_code(code: Code, text: String) -> BrokerError {
    if is_fence(code) {
        BrokerError::Fenced(text)
    } else if is_transient(code) {
        BrokerError::Unavailable(text)
    } else if matches!(
        code,
        Code::MessageSizeTooLarge | Code::InvalidRecord | Code::InvalidMessageSize
    ) {
        BrokerError::Refused(text)
    } else {
        BrokerError::Fatal(text)
    }
}

/// Somebody newer has taken over, or the coordinator has dropped the transaction, which comes to the same.
pub(super) fn is_fence(code: Code) -> bool {
    matches!(
        code,
        Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::FencedInstanceId
            | Code::FencedMemberEpoch
            | Code::StaleMemberEpoch
            | Code::ProducerFenced
            | Code::Fenced
            | Code::InvalidProducerEpoch
            | Code::InvalidProducerIdMapping
            | Code::InvalidTransactionalState
            | Code::UnknownProducerId
            | Code::OutOfOrderSequenceNumber
            | Code::GaplessGuarantee
            | Code::AssignmentLost
    )
}

/// There is no such topic or partition.
pub(super) fn is_missing(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition
    )
}

/// The error of a partition that is not there.
pub(super) fn missing(partition: &TopicPartition, text: &str) -> BrokerError {
    let (topic, number) = (partition.topic.to_string(), partition.partition);
    BrokerError::Topic {
        topic,
        reason: format!("partition {number}: {text}"),
    }
}

/// The broker is away, slow, or busy with a change: the same again may well succeed.
pub(super) fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::MessageTimedOut
            | Code::RequestTimedOut
            | Code::WaitingForCoordinator
            | Code::WaitCache
            | Code::InProgress
            | Code::PreviousInProgress
            | Code::Retry
            | Code::QueueFull
            | Code::Conflict
            | Code::NodeUpdate
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::ReplicaNotAvailable
            | Code::BrokerNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotController
            | Code::RebalanceInProgress
            | Code::ConcurrentTransactions
            | Code::TransactionCoordinatorFenced
            | Code::UnstableOffsetCommit
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::KafkaStorageError
            | Code::OffsetNotAvailable
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::ThrottlingQuotaExceeded
    )
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::producer::{BaseProducer, Producer};
    use rdkafka::types::RDKafkaRespErr;

    use super::super::native::end;
    use super::*;

    #[test]
    fn codes_say_what_to_do() {
        let check = |code, wanted: fn(&BrokerError) -> bool| {
            let error = from_kafka("x", &KafkaError::ConsumerCommit(code));
            assert!(wanted(&error), "{code:?} became {error:?}");
        };
        check(Code::IllegalGeneration, |error| matches!(error, BrokerError::Fenced(_)));
        check(Code::UnknownMemberId, |error| matches!(error, BrokerError::Fenced(_)));
        check(Code::RebalanceInProgress, |error| {
            matches!(error, BrokerError::Unavailable(_))
        });
        check(Code::MessageSizeTooLarge, |error| matches!(error, BrokerError::Refused(_)));
        check(Code::TopicAuthorizationFailed, |error| matches!(error, BrokerError::Fatal(_)));
    }

    /// The call was on its way when something else of the client, such as a heartbeat, was told.
    #[test]
    fn a_call_of_a_client_that_has_ended_says_what_ended_it() {
        let producer: BaseProducer = ClientConfig::new().create().unwrap();
        let client = producer.client();
        let late = KafkaError::ConsumerCommit(Code::Fatal);
        let error = from_client(client, "committing", &late);
        assert!(matches!(error, BrokerError::Fatal(_)), "nothing has ended it: {error:?}");
        end(
            client,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID,
            c"another of this name",
        );
        let error = from_client(client, "committing", &late);
        assert!(
            matches!(&error, BrokerError::Fenced(text) if text.contains("another of this name")),
            "{error:?}"
        );
    }
}
