//! What every engine behind [`Queue`](crate::Queue) must do, as tests that any engine can run.
//!
//! An engine implements [`Opener`] and passes it to [`contract!`](crate::contract!), which makes one
//! test of each function in `appends`, `claims`, `outcomes` and `operators`. The feature `test-util`
//! exports all of it for engines in other crates; `kit` also serves the tests of callers.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how a test fails")]

mod appends;
mod claims;
mod kit;
mod operators;
mod outcomes;

pub use appends::*;
pub use claims::*;
pub use kit::*;
pub use operators::*;
pub use outcomes::*;

/// Makes one test of each rule of the contract for an engine.
#[macro_export]
macro_rules! contract {
    ($opener:expr; $($rule:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let opener = $opener;
                $crate::contract::within($crate::contract::$rule(&opener)).await;
            }
        )*
    };
    ($opener:expr) => {
        $crate::contract!($opener;
            a_request_without_events_stores_nothing
            a_repetition_gets_the_id_of_the_first_event
            an_id_may_come_with_several_contents
            a_repetition_is_within_the_window_of_its_request
            concurrent_repetitions_are_stored_once
            concurrent_appends_are_all_delivered_once
            an_event_is_found_by_its_id
            deliveries_come_in_order_and_once
            each_target_gets_its_own_events
            a_target_keeps_its_number_and_a_new_one_starts_empty
            a_claim_waits_for_work
            an_untried_claim_skips_retries
            a_cancelled_claim_loses_no_delivery
            an_expired_lease_returns_the_delivery_unless_extended
            a_retry_returns_when_it_is_due
            a_waiting_delivery_returns_without_counting_an_attempt
            a_digest_settles_its_deliveries_and_its_window_survives_a_restart
            a_released_delivery_is_unchanged
            dead_letters_are_kept_with_their_reason
            settling_an_unclaimed_delivery_changes_nothing
            outcomes_survive_a_restart
            a_closed_queue_refuses_every_call
            expired_deliveries_become_one_dead_letter
            a_held_target_delivers_nothing_until_resumed
            a_target_held_as_broken_is_probed_with_what_was_never_tried
            a_dead_letter_can_be_replayed_or_dropped
            a_range_of_dead_letters_is_replayed_whole_or_one_by_one
            skipping_gives_up_retries_too
            what_waits_can_be_dropped_one_by_one
            all_that_waits_can_be_dropped
            what_waits_can_be_moved_to_another_target
            many_deliveries_are_moved_in_order_and_once
            every_target_of_the_store_has_its_name
            fate_reports_every_target_of_an_event
        );
    };
}
