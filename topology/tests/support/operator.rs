//! What an operator does to a group.

use std::time::Duration;

use broker::{Broker, Committed, GroupOptions, TopicPartition};

/// Sets a group's offset as an operator's tool does while the group is empty: without metadata.
pub fn set_offset(broker: &dyn Broker, group: &str, place: TopicPartition, offset: i64) {
    let options = GroupOptions {
        group: group.to_owned(),
        topics: Vec::new(),
        client_id: "an operator".to_owned(),
        member: None,
        session_timeout: Duration::from_secs(60),
    };
    let mut group = broker.group(options).unwrap();
    let committed = Committed {
        offset,
        metadata: String::new(),
    };
    group.commit(&[(place, committed)]).unwrap();
    group.leave().unwrap();
}
