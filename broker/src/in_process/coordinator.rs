//! One group: its members, who owns what, and the committed offsets.
//!
//! Partitions move in the cooperative way: a membership change sets new *targets*; a member whose target lost partitions is
//! told to give them up; only when it has done so are they free, and the next poll of the member whose target has them
//! takes them.
//!
//! ```text
//!   target of A shrinks        A: complete()             target of B has it
//!   owned by A ──────► Revoked ──────► free, generation+1 ──────► Assigned to B
//!       └── session expired ─────────► free, generation+1 (A is told: Lost)
//! ```
//!
//! The generation goes up at each membership change and whenever partitions became free, so that a commit which was
//! prepared before a partition moved is always refused after it has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hashbrown::HashMap;

use super::state::State;
use super::sticky::{self, MemberId};
use crate::port::{Committed, TopicPartition};

#[derive(Default)]
pub(super) struct Coordinator {
    generation: u64,
    next_member: MemberId,
    members: BTreeMap<MemberId, Member>,
    offsets: HashMap<TopicPartition, Committed>,
}

struct Member {
    client_id: String,
    topics: Vec<String>,
    session_timeout: Duration,
    seen: Duration,
    owned: BTreeSet<TopicPartition>,
    target: BTreeSet<TopicPartition>,
}

/// A step that a member must take.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Revoke(Vec<TopicPartition>),
    Assign(Vec<TopicPartition>),
}

impl Coordinator {
    pub fn join(
        &mut self,
        client_id: &str,
        topics: &[String],
        session_timeout: Duration,
        now: Duration,
        state: &State,
    ) -> MemberId {
        self.next_member += 1;
        let member = Member {
            client_id: client_id.to_owned(),
            topics: topics.to_vec(),
            session_timeout,
            seen: now,
            owned: BTreeSet::new(),
            target: BTreeSet::new(),
        };
        self.members.insert(self.next_member, member);
        self.change(state);
        self.next_member
    }

    /// Whether it was a member.
    pub fn leave(&mut self, member: MemberId, state: &State) -> bool {
        let was = self.members.remove(&member).is_some();
        if was {
            self.change(state);
        }
        was
    }

    /// Removes the members whose sessions have expired.
    pub fn expire(&mut self, now: Duration, state: &State) {
        self.remove_where(|member| now.saturating_sub(member.seen) > member.session_timeout, state);
    }

    pub fn expire_named(&mut self, client_id: &str, state: &State) -> usize {
        self.remove_where(|member| member.client_id == client_id, state)
    }

    /// How long until the next session expires, if nobody shows a sign of life.
    pub fn next_expiry(&self, now: Duration) -> Option<Duration> {
        self.members
            .values()
            .map(|member| (member.seen + member.session_timeout).saturating_sub(now))
            .min()
    }

    /// Notes a sign of life; false if the member has expired.
    pub fn touch(&mut self, member: MemberId, now: Duration) -> bool {
        self.members.get_mut(&member).map(|member| member.seen = now).is_some()
    }

    /// The next step of a member. Partitions that it is assigned are its own from here on.
    pub fn next_step(&mut self, id: MemberId) -> Option<Step> {
        let member = self.members.get(&id)?;
        let revoke: Vec<_> = member.owned.difference(&member.target).cloned().collect();
        if !revoke.is_empty() {
            return Some(Step::Revoke(revoke));
        }
        let taken = |partition: &TopicPartition| self.members.values().any(|other| other.owned.contains(partition));
        let assign: Vec<_> = member.target.iter().filter(|partition| !taken(partition)).cloned().collect();
        if assign.is_empty() {
            return None;
        }
        self.members.get_mut(&id)?.owned.extend(assign.iter().cloned());
        Some(Step::Assign(assign))
    }

    /// A member has given up partitions.
    pub fn release(&mut self, id: MemberId, partitions: &[TopicPartition]) {
        if let Some(member) = self.members.get_mut(&id) {
            partitions.iter().for_each(|partition| {
                member.owned.remove(partition);
            });
            self.generation += 1;
        }
    }

    /// The generation, if this is a member.
    pub fn generation_of(&self, member: MemberId) -> Option<u64> {
        self.members.contains_key(&member).then_some(self.generation)
    }

    pub fn committed(&self, of: &TopicPartition) -> Option<Committed> {
        self.offsets.get(of).cloned()
    }

    pub fn commit(&mut self, offsets: &[(TopicPartition, Committed)]) {
        self.offsets.extend(offsets.iter().cloned());
    }

    /// Shares the partitions anew, if that changes anything: to be called when members or topics changed.
    pub fn rebalance(&mut self, state: &State) {
        let Some(first) = self.members.values().next() else { return };
        // Members of a group subscribe to the same topics; the oldest decides if an update rolls through.
        let partitions = state.partitions_of(&first.topics);
        let owned = self.members.iter().map(|(id, member)| (*id, member.owned.clone())).collect();
        for (id, target) in sticky::share(&partitions, &owned) {
            if let Some(member) = self.members.get_mut(&id) {
                member.target = target;
            }
        }
    }

    fn change(&mut self, state: &State) {
        self.generation += 1;
        self.rebalance(state);
    }

    fn remove_where(&mut self, gone: impl Fn(&Member) -> bool, state: &State) -> usize {
        let before = self.members.len();
        self.members.retain(|_, member| !gone(member));
        let removed = before - self.members.len();
        if removed > 0 {
            self.change(state);
        }
        removed
    }
}
