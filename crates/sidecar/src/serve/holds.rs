//! Holds, read outside the gate over connections of their own.

use std::path::{Path, PathBuf};

use pursekeeper_api::v1;
use pursekeeper_core::ports::Hold;
use pursekeeper_core::{ChainId, DecisionId, HoldState};
use pursekeeper_journal::{Holds, JournalError, RECORDS_PER_READ_MAX, Reader};
use tonic::{Code, Status};

use super::convert::{self, fault};

/// Holds in one answer, when nobody says how many.
const HOLDS_PER_ANSWER: usize = 100;

/// The journal's holds.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    path: PathBuf,
}

impl Ledger {
    pub(super) fn new(journal: &Path) -> Self {
        Self { path: journal.to_owned() }
    }

    /// A page of holds, each with what agents claim about it.
    pub(super) async fn list(&self, request: v1::ListHoldsRequest) -> Result<Vec<v1::Hold>, Status> {
        let v1::ListHoldsRequest { state, after_seq, limit } = request;
        let known = [HoldState::Held.as_str(), "settled", HoldState::Released.as_str()];
        if !state.is_empty() && !known.contains(&state.as_str()) {
            let message = format!("`state` is one of {}, or empty", known.join(", "));
            return Err(fault(Code::InvalidArgument, "MALFORMED_STATE", message));
        }
        let limit = match usize::try_from(limit).unwrap_or(RECORDS_PER_READ_MAX) {
            0 => HOLDS_PER_ANSWER,
            limit => limit.min(RECORDS_PER_READ_MAX),
        };
        self.read(move |reader| {
            let which = if state.is_empty() { Holds::All } else { Holds::InState(&state) };
            let holds = reader.holds(which, after_seq, limit)?.into_iter();
            holds.map(|hold| Ok(convert::hold(reader.id(), hold.clone(), reader.claims(hold.seq)?))).collect()
        })
        .await
    }

    /// The hold of one decision.
    pub(super) async fn get(&self, decision_id: &str) -> Result<Hold, Status> {
        let unknown = || {
            let message = "no such payment was signed: list them with `pursekeeper hold list`";
            fault(Code::NotFound, "DECISION_UNKNOWN", message)
        };
        let id = DecisionId::parse(decision_id).map_err(|_| unknown())?;
        let found = self.read(move |reader| {
            Ok(if DecisionId::new(reader.id(), id.seq) == id { reader.hold(id.seq)? } else { None })
        });
        found.await?.ok_or_else(unknown)
    }

    /// What is still held on a network, after a record.
    pub(super) async fn unresolved(
        &self,
        network: ChainId,
        after_seq: u64,
        limit: usize,
    ) -> Result<Vec<Hold>, Status> {
        self.read(move |reader| reader.holds(Holds::UnresolvedOn(&network), after_seq, limit)).await
    }

    /// Reads what `read` does, over a connection of its own.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, Status> {
        let path = self.path.clone();
        let unreadable =
            |error: &dyn std::fmt::Display| fault(Code::Unavailable, "JOURNAL_UNREADABLE", error);
        let read = tokio::task::spawn_blocking(move || read(&Reader::open(&path)?));
        read.await.map_err(|error| unreadable(&error))?.map_err(|error| unreadable(&error))
    }
}
