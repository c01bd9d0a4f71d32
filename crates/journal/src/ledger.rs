//! The journal as the judge sees it, inside the transaction that records the answer.

use std::cell::RefCell;

use pursekeeper_core::ports::{Ledger, LedgerError, Prior};
use pursekeeper_core::{
    AgentName, Endpoint, Entry, Mode, Outcome, RequestId, Scope, Status, Subject, Totals, UnixSeconds,
};
use rusqlite::Connection;

use crate::outstanding::endpoint_key;
use crate::record::{Content, decode};
use crate::state::State;
use crate::{JournalError, store};

/// What one question may look at.
pub(crate) struct View<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) state: &'a State,
    pub(crate) now: UnixSeconds,
    /// The scopes that were asked about: their windows move on when the batch is durable.
    pub(crate) asked: &'a RefCell<Vec<Scope>>,
}

impl Ledger for View<'_> {
    fn totals(&self, scope: &Scope) -> Totals {
        self.asked.borrow_mut().push(scope.clone());
        self.state.totals(scope, self.now)
    }

    fn status(&self, subject: &Subject) -> Status {
        self.state.statuses.get(subject).copied().unwrap_or_default()
    }

    fn prior(&self, agent: &AgentName, id: &RequestId) -> Result<Option<Prior>, LedgerError> {
        prior(self.connection, agent, id).map_err(|error| LedgerError(Box::new(error)))
    }

    fn outstanding(&self, agent: &AgentName, endpoint: &Endpoint) -> u64 {
        let now = self.now.max(self.state.high_water());
        self.state.outstanding.count(&(agent.clone(), endpoint_key(endpoint)), now)
    }

    fn high_water_unix_ms(&self) -> u64 {
        self.state.tip.high_water_ms
    }
}

fn prior(connection: &Connection, agent: &AgentName, id: &RequestId) -> Result<Option<Prior>, JournalError> {
    let Some((seq, fingerprint, body)) = store::find_request(connection, agent, id)? else { return Ok(None) };
    let record = decode(&body)?;
    let permit = match record.content {
        Content::Entry(Entry::Payment(decision)) => match (decision.mode, decision.outcome) {
            (Mode::Enforce, Outcome::Permit(permit)) if record.seq == seq => Some(permit),
            (Mode::Enforce | Mode::Preview, Outcome::Permit(_) | Outcome::Deny { .. }) => None,
        },
        Content::Entry(Entry::Reissue(_) | Entry::Lifecycle(_)) | Content::Genesis(_) => None,
    };
    let permit = permit.filter(|permit| permit.intent.agent == *agent && permit.intent.request_id == *id);
    let wrong = || JournalError::damaged(format!("record {seq} is not the permit of request id `{id}`"));
    let intent = permit.ok_or_else(wrong)?.intent;
    Ok(Some(Prior { seq, fingerprint, intent }))
}
