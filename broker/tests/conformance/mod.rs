//! One suite for every broker: what the engine relies on, and nothing that only one of them happens to do.
//!
//! Each test takes a broker and makes topics, groups and ids of its own, so that they run side by side on one server. A new
//! broker gets all of them by one call of `conformance!`: those that need the port alone, and those that need a hand beside
//! it ([`world::Setup`]).

pub mod groups;
pub mod hammer;
pub mod offsets;
pub mod open;
pub mod reading;
pub mod topics;
pub mod transactions;
pub mod world;

/// Makes a test of each function of the suite, on the broker that the expression gives.
#[macro_export]
macro_rules! conformance {
    ($broker:expr, $setup:expr) => {
        $crate::conformance! { @ $setup;
            setup_topics as topics: [
                deleted_under_its_reader_and_made_anew,
                they_are_listed_while_they_are_there,
            ];
            setup_offsets as offsets: [are_pending_while_their_transaction_is_open, tell_what_became_of_a_commit];
            setup_open as open: [one_that_takes_too_long_is_aborted_and_its_producer_fenced];
        }
        $crate::conformance! { @ $broker;
            topics as topics: [
                created_once_and_verified,
                existing_ones_of_others_are_accepted,
                cleanup_policies_are_told_apart,
                settings_are_given_and_verified,
                partitions_are_added,
                they_say_how_long_they_keep_tombstones,
                a_null_key_needs_no_partition,
                records_are_deleted_up_to_an_offset,
                ids_tell_topics_apart,
            ];
            transactions as transactions: [
                atomic_and_invisible_until_committed,
                a_newer_producer_fences_the_older,
                an_abandoned_one_leaves_nothing,
                empty_ones_commit,
                a_record_too_large_is_refused,
                many_in_a_row,
            ];
            offsets as offsets: [
                commit_with_the_transaction,
                keep_their_metadata,
                of_topics_outside_the_subscription,
                are_refused_at_a_stale_generation,
                are_refused_without_membership,
                plain_commits_hold,
            ];
            groups as groups: [
                a_second_member_takes_half_and_the_first_keeps_the_rest,
                a_step_is_told_until_it_is_completed,
                leaving_hands_over,
                a_member_with_a_name_that_leaves_hands_over,
                a_member_with_a_name_is_back_at_once,
                leaving_amid_a_step_hands_over,
                membership_outlives_a_rebalance_that_moves_nothing,
                many_members_come_and_go,
                a_named_member_that_is_back_gets_its_partitions,
                a_name_is_its_latest_members,
            ];
            open_transactions as open: [
                what_lies_behind_one_waits,
                several_lie_between_each_other,
                a_crashed_producers_stays_until_its_successor_comes,
            ];
            reading as reading: [
                records_come_back_whole,
                keys_go_where_java_puts_them,
                latest_means_from_now_on,
                ends_lie_behind_aborted_records,
                an_end_hides_nothing_that_was_committed,
                a_replay_shows_each_record_once_and_what_is_added,
                an_end_is_told_again_after_more,
                an_offset_beyond_the_end_is_an_error,
                nothing_comes_after_an_unassign,
                a_slot_is_free_for_reuse,
                a_paused_slot_is_silent_and_loses_nothing,
                a_pause_at_the_end_loses_nothing,
                bounds_stop_at_an_open_transaction,
                a_time_has_the_first_offset_that_is_no_older,
                a_time_is_found_among_what_is_committed,
            ];
            hammer as hammer: [money_is_conserved];
        }
    };
    (@ $broker:expr; $($module:ident as $of:ident: [$($test:ident),* $(,)?];)*) => {
        $(mod $module {
            use super::*;
            $(#[test] fn $test() { $crate::conformance::$of::$test($broker); })*
        })*
    };
}
