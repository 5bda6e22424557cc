//! librdkafka's error codes, by what the caller can do.

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
}
