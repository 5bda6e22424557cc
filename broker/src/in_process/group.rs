//! Membership of a group, from the member's side.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::coordinator::{Coordinator, Step};
use super::state::{Shared, State};
use super::sticky::MemberId;
use crate::lease::Lease;
use crate::port::{BrokerError, Committed, Group, GroupOptions, Membership, Rebalance, TopicPartition};

pub(super) struct InProcessGroup {
    shared: Arc<Shared>,
    options: GroupOptions,
    member: MemberId,
    held: BTreeSet<TopicPartition>,
    /// The step that waits for its completion.
    step: Option<Rebalance>,
    /// When it last joined because another member had taken its name, by the broker's clock.
    renewed: Option<Duration>,
    left: bool,
    lease: Arc<Lease>,
}

impl InProcessGroup {
    pub fn join(shared: Arc<Shared>, options: GroupOptions) -> Self {
        let lease = Arc::new(Lease::new(options.session_timeout, shared.clock()));
        let mut group = Self {
            shared,
            options,
            member: 0,
            held: BTreeSet::new(),
            step: None,
            renewed: None,
            left: false,
            lease,
        };
        let shared = group.shared.clone();
        group.rejoin(&mut shared.lock());
        group
    }

    fn rejoin(&mut self, state: &mut State) {
        let (now, options) = (self.shared.now(), &self.options);
        self.member = self
            .shared
            .with_group(state, &options.group, |group, state| group.join(options, now, state));
        self.shared.regrouped.notify_all();
    }

    /// One look at the coordinator: the step to take, and else how long nothing can happen by itself.
    fn look(&mut self, state: &mut State) -> (Option<Rebalance>, Option<Duration>) {
        let (now, member) = (self.shared.now(), self.member);
        let (alive, step, next_expiry) = self.shared.with_group(state, &self.options.group, |group, state| {
            let generation = group.generation_of(member);
            group.expire(now, state);
            let alive = group.touch(member, now);
            let step = if alive { group.next_step(member) } else { None };
            if group.generation_of(member) != generation {
                self.shared.regrouped.notify_all();
            }
            (alive, step, group.next_expiry(now))
        });
        if !alive {
            return self.begin_anew(state, now);
        }
        self.lease.renew(now);
        let step = step.map(|step| match step {
            Step::Revoke(partitions) => Rebalance::Revoked(partitions),
            Step::Assign(partitions) => Rebalance::Assigned(partitions),
        });
        (step, next_expiry)
    }

    /// No member any more: the session has ended, or another member has taken the name. Two members of the same name fence
    /// each other, so that one of them joins again once in a session at most.
    fn begin_anew(&mut self, state: &mut State, now: Duration) -> (Option<Rebalance>, Option<Duration>) {
        let (options, groups) = (&self.options, &state.groups);
        let group = groups.get(&options.group);
        let taken = options
            .member
            .as_deref()
            .zip(group)
            .and_then(|(name, group)| group.named(name));
        let since = self.renewed.map(|at| now.saturating_sub(at));
        let again = match (taken, since) {
            (Some(_), Some(since)) if since <= options.session_timeout => options.session_timeout - since,
            _ => {
                self.renewed = taken.map(|_| now);
                self.rejoin(state);
                Duration::ZERO
            }
        };
        let lost: Vec<_> = std::mem::take(&mut self.held).into_iter().collect();
        let step = (!lost.is_empty()).then_some(Rebalance::Lost(lost));
        (step, Some(again))
    }

    /// A sign of life.
    fn touch(&self, state: &mut State) {
        let now = self.shared.now();
        let is_member = self
            .shared
            .with_group(state, &self.options.group, |group, _| group.touch(self.member, now));
        if is_member {
            self.lease.renew(now);
        }
    }

    fn on_coordinator<R>(&self, act: impl FnOnce(&mut Coordinator) -> R) -> R {
        self.shared
            .with_group(&mut self.shared.lock(), &self.options.group, |group, _| act(group))
    }

    fn generation(&self, group: &Coordinator) -> Result<u64, BrokerError> {
        group.generation_of(self.member).ok_or_else(|| {
            BrokerError::Fenced(format!(
                "{} is no longer a member of {}",
                self.options.client_id, self.options.group
            ))
        })
    }
}

impl Group for InProcessGroup {
    fn poll(&mut self, timeout: Duration) -> Result<Option<Rebalance>, BrokerError> {
        if self.left {
            return Err(BrokerError::Fatal("the group was left".to_owned()));
        }
        let started = Instant::now();
        let shared = self.shared.clone();
        let mut state = shared.lock();
        loop {
            if self.step.is_some() {
                self.touch(&mut state);
                return Ok(self.step.clone());
            }
            let (step, nothing_for) = self.look(&mut state);
            if step.is_some() {
                self.step = step;
                return Ok(self.step.clone());
            }
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            // Expiry is strict, hence a little longer than until the session ends.
            let wait = nothing_for.map_or(left, |until| left.min(until + Duration::from_millis(1)));
            shared.regrouped.wait_for(&mut state, wait);
        }
    }

    fn complete(&mut self, step: &Rebalance) -> Result<(), BrokerError> {
        if self.step.as_ref() != Some(step) {
            return Err(BrokerError::Fatal("there is no such step to complete".to_owned()));
        }
        self.step = None;
        match step {
            Rebalance::Assigned(partitions) => self.held.extend(partitions.iter().cloned()),
            Rebalance::Revoked(partitions) => {
                self.held.retain(|held| !partitions.contains(held));
                self.on_coordinator(|group| group.release(self.member, partitions));
                self.shared.regrouped.notify_all();
            }
            Rebalance::Lost(_) => {}
        }
        self.touch(&mut self.shared.lock());
        Ok(())
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        self.held.iter().cloned().collect()
    }

    fn committed(&mut self, of: &[TopicPartition], timeout: Duration) -> Result<Vec<Option<Committed>>, BrokerError> {
        let started = Instant::now();
        let shared = self.shared.clone();
        let mut state = shared.lock();
        loop {
            shared.expire_transactions(&mut state);
            let now = shared.now();
            let found = shared.with_group(&mut state, &self.options.group, |group, _| {
                shared.expire_offsets_of(group, now);
                match of.iter().find(|partition| group.offsets.is_pending(partition)) {
                    Some(pending) => Err(pending.clone()),
                    None => Ok(of.iter().map(|partition| group.offsets.get(partition)).collect()),
                }
            });
            let pending = match found {
                Ok(offsets) => return Ok(offsets),
                Err(pending) => pending,
            };
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Err(BrokerError::Unavailable(format!(
                    "an open transaction holds the offset of {pending} in {}",
                    self.options.group
                )));
            }
            let wait = shared.until_time_out(&state, left);
            shared.regrouped.wait_for(&mut state, wait);
        }
    }

    fn commit(&mut self, offsets: &[(TopicPartition, Committed)]) -> Result<(), BrokerError> {
        let now = self.shared.now();
        self.on_coordinator(|group| {
            self.generation(group)?;
            group.offsets.commit(offsets, now);
            Ok(())
        })
    }

    fn membership(&self) -> Result<Membership, BrokerError> {
        let generation = self.on_coordinator(|group| self.generation(group))?;
        Ok(Membership::InProcess {
            group: self.options.group.clone(),
            member: self.member,
            generation,
        })
    }

    fn lease(&mut self) -> Result<Arc<Lease>, BrokerError> {
        Ok(self.lease.clone())
    }

    fn leave(&mut self) -> Result<(), BrokerError> {
        self.left = true;
        self.held.clear();
        self.shared
            .with_group(&mut self.shared.lock(), &self.options.group, |group, state| {
                group.leave(self.member, state);
            });
        self.shared.regrouped.notify_all();
        Ok(())
    }
}
