//! Tries to make the real binary sign more than its ceilings allow, and counts what it signed without believing it.
//!
//! What was spent is measured twice and never taken from the product's own totals: from the signed payments that reached
//! a client ([`Witness`]), and, stricter, from every hold in the journal ([`Books`]). Both are compared with the ceilings
//! the harness itself wrote into the registry ([`Rules`]).

mod books;
mod client;
mod edits;
mod journals;
mod race;
mod restarts;
mod rules;
mod scene;
mod tally;
mod witness;

pub use books::{Books, Hold};
pub use client::{Client, Outcome, pay};
pub use edits::{edited_limit, paid_again, relabelled_service, released_holds, renamed_workflow};
pub use journals::{lost_journal, lost_log, swapped_journal};
pub use race::{Race, race};
pub use restarts::{restart, second_replica};
pub use rules::{Ceiling, Limit, PRICE, Rules};
pub use scene::Scene;
pub use tally::{Extent, Random, Tally, dollars};
pub use witness::{Released, Witness};
