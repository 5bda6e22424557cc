//! Who gets which partition: even shares, and as few moves as possible.

use std::collections::{BTreeMap, BTreeSet};

use crate::port::TopicPartition;

/// A member of a group, by its number.
pub(super) type MemberId = u64;

/// Shares `partitions` evenly (shares differ by one at most) among the members, each of whom keeps what it owns as far as
/// its share allows. The same input gives the same result.
pub(super) fn share(
    partitions: &[TopicPartition],
    owned: &BTreeMap<MemberId, BTreeSet<TopicPartition>>,
) -> BTreeMap<MemberId, BTreeSet<TopicPartition>> {
    if owned.is_empty() {
        return BTreeMap::new();
    }
    let mut free: BTreeSet<&TopicPartition> = partitions.iter().collect();
    let mut held: Vec<(MemberId, Vec<&TopicPartition>)> = owned
        .iter()
        .map(|(member, theirs)| (*member, theirs.iter().filter(|partition| free.remove(partition)).collect()))
        .collect();
    // Those who own most get the larger shares, so that fewest partitions move.
    held.sort_by_key(|(member, theirs)| (std::cmp::Reverse(theirs.len()), *member));
    let (least, larger_shares) = (partitions.len() / held.len(), partitions.len() % held.len());
    let share_of = |rank: usize| least + usize::from(rank < larger_shares);
    for (rank, (_, theirs)) in held.iter_mut().enumerate() {
        free.extend(theirs.drain(share_of(rank).min(theirs.len())..));
    }
    let mut free = free.into_iter();
    held.into_iter()
        .enumerate()
        .map(|(rank, (member, mut theirs))| {
            let missing = share_of(rank) - theirs.len();
            theirs.extend(free.by_ref().take(missing));
            (member, theirs.into_iter().cloned().collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions(count: u32) -> Vec<TopicPartition> {
        (0..count).map(|i| TopicPartition::new("t", i)).collect()
    }

    fn members(owned: &[&[u32]]) -> BTreeMap<MemberId, BTreeSet<TopicPartition>> {
        let set = |theirs: &&[u32]| theirs.iter().map(|i| TopicPartition::new("t", *i)).collect();
        owned
            .iter()
            .enumerate()
            .map(|(member, theirs)| (member as u64, set(theirs)))
            .collect()
    }

    #[test]
    fn a_newcomer_takes_its_share_and_no_more() {
        assert_eq!(
            share(&partitions(4), &members(&[&[0, 1, 2, 3], &[]])),
            members(&[&[0, 1], &[2, 3]])
        );
        assert_eq!(
            share(&partitions(4), &members(&[&[0, 1], &[2, 3], &[]])),
            members(&[&[0, 1], &[2], &[3]])
        );
    }

    #[test]
    fn what_a_member_left_behind_is_shared_out() {
        assert_eq!(
            share(&partitions(5), &members(&[&[3], &[0, 1]])),
            members(&[&[3, 4], &[0, 1, 2]])
        );
    }

    #[test]
    fn more_members_than_partitions_leave_some_idle() {
        assert_eq!(share(&partitions(1), &members(&[&[], &[0], &[]])), members(&[&[], &[0], &[]]));
        assert_eq!(share(&partitions(2), &members(&[])), members(&[]));
    }
}
