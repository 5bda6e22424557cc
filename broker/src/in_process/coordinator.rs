//! One group: its members, who owns what, and the committed offsets.
//!
//! Partitions move in the cooperative way: a membership change sets new *targets*; a member whose target lost partitions is
//! told to give them up; only when it has done so are they free, and the next poll of the member whose target has them
//! takes them.
//!
//! ```text
//!   target of A shrinks        A: complete()             target of B has it
//!   owned by A ──────► Revoked ──────► free, generation+1 ──────► Assigned to B
//!       └── session expired ─────────► free, generation+1 (A is notified: Lost)
//! ```
//!
//! The generation goes up at each membership change and whenever partitions became free, so that a commit which was
//! prepared before a partition moved is always refused after it has.
//!
//! A *static* member has a name. Who joins with the name of a member takes its place, partitions and all: nothing moves, the
//! generation stays, and the former holder of the name is no member any more. Its place is kept until the session ends,
//! unless it leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::catalog::Catalog;
use super::offsets::Offsets;
use super::sticky::{self, MemberId};
use crate::port::{BrokerError, GroupOptions, Membership, TopicPartition};

#[derive(Default)]
pub(super) struct Coordinator {
    generation: u64,
    next_member: MemberId,
    members: BTreeMap<MemberId, Member>,
    pub offsets: Offsets,
}

struct Member {
    client_id: String,
    /// A static member's name.
    name: Option<String>,
    topics: Vec<String>,
    session_timeout: Duration,
    seen: Duration,
    owned: BTreeSet<TopicPartition>,
    /// What it owns by its name, and has not been assigned in a step yet.
    inherited: BTreeSet<TopicPartition>,
    target: BTreeSet<TopicPartition>,
}

/// A step that a member must take.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Revoke(Vec<TopicPartition>),
    Assign(Vec<TopicPartition>),
}

impl Coordinator {
    pub fn join(&mut self, options: &GroupOptions, now: Duration, catalog: &Catalog) -> MemberId {
        self.next_member += 1;
        let id = self.next_member;
        let former = options.member.as_deref().and_then(|name| self.named(name));
        let former = former.and_then(|former| self.members.remove(&former));
        let (owned, target) = match &former {
            Some(former) => (former.owned.clone(), former.target.clone()),
            None => (BTreeSet::new(), BTreeSet::new()),
        };
        let member = Member {
            client_id: options.client_id.clone(),
            name: options.member.clone(),
            topics: options.topics.clone(),
            session_timeout: options.session_timeout,
            seen: now,
            inherited: owned.clone(),
            owned,
            target,
        };
        self.members.insert(id, member);
        if former.is_none_or(|former| former.topics != options.topics) {
            self.change(catalog);
        }
        id
    }

    /// The static member of this name.
    pub fn named(&self, name: &str) -> Option<MemberId> {
        let mut members = self.members.iter();
        members
            .find(|(_, member)| member.name.as_deref() == Some(name))
            .map(|(id, _)| *id)
    }

    /// It gives up its membership, a static one as well.
    pub fn leave(&mut self, member: MemberId, catalog: &Catalog) {
        if self.members.remove(&member).is_some() {
            self.change(catalog);
        }
    }

    /// Removes the members whose sessions have expired.
    pub fn expire(&mut self, now: Duration, catalog: &Catalog) {
        self.remove_where(|member| now.saturating_sub(member.seen) > member.session_timeout, catalog);
    }

    pub fn expire_named(&mut self, client_id: &str, catalog: &Catalog) -> usize {
        self.remove_where(|member| member.client_id == client_id, catalog)
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
        self.pass_on(id);
        let member = self.members.get(&id)?;
        let revoke: Vec<_> = member.owned.difference(&member.target).cloned().collect();
        if !revoke.is_empty() {
            return Some(Step::Revoke(revoke));
        }
        let taken = |partition: &TopicPartition| self.members.values().any(|other| other.owned.contains(partition));
        let free = |partition: &&TopicPartition| member.inherited.contains(*partition) || !taken(partition);
        let assign: Vec<_> = member.target.iter().filter(free).cloned().collect();
        if assign.is_empty() {
            return None;
        }
        let member = self.members.get_mut(&id)?;
        member.owned.extend(assign.iter().cloned());
        member.inherited.clear();
        Some(Step::Assign(assign))
    }

    /// What a member inherited and is not to keep goes on without a step: it never knew of it.
    fn pass_on(&mut self, id: MemberId) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let passing: Vec<_> = member.inherited.difference(&member.target).cloned().collect();
        for partition in &passing {
            member.inherited.remove(partition);
        }
        if !passing.is_empty() {
            self.release(id, &passing);
        }
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

    /// Refuses a membership that is no longer that of a member at the present generation.
    pub fn check_membership(&self, membership: &Membership) -> Result<(), BrokerError> {
        let Membership::InProcess {
            group,
            member,
            generation,
        } = membership
        else {
            return Err(BrokerError::Fatal("not a membership of a group of this broker".to_owned()));
        };
        match self.generation_of(*member) {
            Some(current) if current == *generation => Ok(()),
            Some(current) => Err(BrokerError::Fenced(format!(
                "{group} is at generation {current}, not {generation}"
            ))),
            None => Err(BrokerError::Fenced(format!("{group} has no member {member} any more"))),
        }
    }

    /// Shares the partitions anew, if that changes anything: to be called when members or topics changed.
    pub fn rebalance(&mut self, catalog: &Catalog) {
        let Some(first) = self.members.values().next() else { return };
        // Members of a group subscribe to the same topics; the oldest decides if an update rolls through.
        let partitions = catalog.partitions_of(&first.topics);
        let owned = self.members.iter().map(|(id, member)| (*id, member.owned.clone())).collect();
        for (id, target) in sticky::share(&partitions, &owned) {
            if let Some(member) = self.members.get_mut(&id) {
                member.target = target;
            }
        }
    }

    fn change(&mut self, catalog: &Catalog) {
        self.generation += 1;
        self.rebalance(catalog);
    }

    fn remove_where(&mut self, gone: impl Fn(&Member) -> bool, catalog: &Catalog) -> usize {
        let before = self.members.len();
        self.members.retain(|_, member| !gone(member));
        let removed = before - self.members.len();
        if removed > 0 {
            self.change(catalog);
        }
        removed
    }
}
