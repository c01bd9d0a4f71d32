//! What the records say about payees, compared with the table of them.

use std::collections::BTreeMap;

use pursekeeper_core::{Address, Entry, PendingPayee, ServiceName};
use rusqlite::Connection;

use super::VerifyError;
use super::tables::wrong;
use crate::load::each_payee;
use crate::payees::Standing;

/// What the table must say, as far as the records have been read.
#[derive(Default)]
pub(super) struct Payees(BTreeMap<(ServiceName, Address), Standing>);

impl Payees {
    /// A refusal may leave a payee to the operators, and an act accept one. The first of each counts.
    pub(super) fn follow(&mut self, seq: u64, entry: &Entry) {
        if let Some(PendingPayee { service, payee }) = entry.pending_payee() {
            let standing = self.0.entry((service.clone(), *payee)).or_default();
            standing.pending.get_or_insert(seq);
        }
        if let Some((service, payee)) = entry.accepted_payee() {
            let standing = self.0.entry((service.clone(), payee)).or_default();
            standing.accepted.get_or_insert(seq);
        }
    }

    pub(super) fn compare(mut self, connection: &Connection) -> Result<(), VerifyError> {
        let mut wrong_row = None;
        each_payee(connection, |service, payee, found| {
            let named = (service, payee);
            if self.0.remove(&named) != Some(found) {
                wrong_row.get_or_insert((named, found));
            }
        })?;
        let missing = self.0.into_iter().next();
        match wrong_row
            .map(|row| (row, "is not what the records say"))
            .or(missing.map(|row| (row, "is missing")))
        {
            None => Ok(()),
            Some((((service, payee), Standing { pending, accepted }), how)) => {
                Err(wrong("payee", pending.or(accepted), format!("`{payee}` of service `{service}` {how}")))
            }
        }
    }
}
