//! The scenarios against overspending that need nothing but the real binary. `tests/overspend/run` runs all of them.

use pursekeeper_tests::overspend::{
    Race, edited_limit, lost_journal, lost_log, paid_again, race, relabelled_service, released_holds,
    renamed_workflow, restart, second_replica, swapped_journal,
};

#[test]
fn a_budget_is_not_overspent_by_many_at_once() {
    let many = Race { clients: 16, fit: 10, times: 10 };
    race(many, many.ceilings()[1]).check();
}

#[test]
fn a_restart_forgets_nothing() {
    restart().check();
}

#[test]
fn a_second_replica_does_not_start() {
    second_replica().check();
}

#[test]
fn a_lost_journal_is_no_fresh_budget() {
    lost_journal().check();
}

#[test]
fn a_lost_log_is_no_fresh_budget() {
    lost_log().check();
}

#[test]
fn a_swapped_journal_is_no_fresh_budget() {
    swapped_journal().check();
}

#[test]
fn an_edited_limit_forgets_nothing() {
    edited_limit().check();
}

#[test]
fn a_relabelled_service_is_the_same_payee() {
    relabelled_service().check();
}

#[test]
fn a_seller_that_asks_again_is_not_paid_again() {
    paid_again().check();
}

#[test]
fn a_renamed_workflow_is_the_same_workflow() {
    renamed_workflow().check();
}

#[test]
fn released_money_is_spent_once_more_and_not_twice() {
    released_holds().check();
}
