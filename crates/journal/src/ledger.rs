//! The journal as the judge sees it, inside the transaction that records the answer.

use std::cell::RefCell;

use pursekeeper_core::ports::{Hold, Ledger, LedgerError, PastSignIn, Prior, Used};
use pursekeeper_core::{
    Act, Address, AgentName, Amount, AssetId, BundleId, ClockMark, Credit, Endpoint, Entry, Mode, Moment,
    Outcome, PayeeState, PendingAct, Permit, RepeatKey, RequestId, Reviewed, Scope, ServiceName,
    SignInIntent, SignInOutcome, Status, Subject, Totals, UnixSeconds, Usd,
};
use rusqlite::Connection;

use crate::credit::{CreditKey, credit_of_sign_in};
use crate::outstanding::endpoint_key;
use crate::record::{Content, decode};
use crate::retention::has_left;
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

    fn status(&self, names: &[Subject]) -> Status {
        self.state.status(names)
    }

    fn prior(&self, agent: &AgentName, id: &RequestId) -> Result<Option<Prior>, LedgerError> {
        prior(self.connection, agent, id).map_err(|error| LedgerError(Box::new(error)))
    }

    fn nonce_used(&self, wallet: Address, nonce: [u8; 32]) -> Result<bool, LedgerError> {
        store::has_nonce(self.connection, wallet, nonce).map_err(|error| LedgerError(Box::new(error)))
    }

    fn held_alike(&self, wallet: Address, asset: &AssetId, amount: Amount) -> Result<Vec<Hold>, LedgerError> {
        held_alike(self.connection, wallet, asset, amount).map_err(|error| LedgerError(Box::new(error)))
    }

    fn outstanding(&self, agent: &AgentName, endpoint: &Endpoint) -> u64 {
        let now = self.now.max(self.state.high_water());
        self.state.outstanding.count(&(agent.clone(), endpoint_key(endpoint)), now)
    }

    fn bound_since(&self, scope: &Scope, since: UnixSeconds) -> Usd {
        self.state.bound_since(scope, since)
    }

    fn hold(&self, seq: u64) -> Result<Option<Hold>, LedgerError> {
        hold(self.connection, seq).map_err(|error| LedgerError(Box::new(error)))
    }

    fn sign_in(&self, seq: u64) -> Result<Option<PastSignIn>, LedgerError> {
        let found = || {
            let Some(intent) = sign_in(self.connection, seq)? else { return Ok(None) };
            Ok(Some(PastSignIn { intent, claims: store::count_claims(self.connection, seq)? }))
        };
        found().map_err(|error: JournalError| LedgerError(Box::new(error)))
    }

    fn recorded_lately(&self, key: &RepeatKey, at: Moment) -> u32 {
        self.state.repeats.recorded(key, at)
    }

    fn credit(&self, wallet: Address, service: &ServiceName) -> Credit {
        self.state.credit_at(wallet, service)
    }

    fn payee(&self, services: &[ServiceName], payee: Address) -> Option<PayeeState> {
        self.state.payees.state(services, payee)
    }

    fn pending_payees(&self, services: &[ServiceName]) -> usize {
        self.state.payees.pending_len(services)
    }

    fn bundle(&self) -> Option<BundleId> {
        self.state.lives.bundle()
    }

    fn reviewed(&self) -> Reviewed {
        self.state.lives.reviewed()
    }

    fn pending_acts(&self) -> Vec<PendingAct> {
        self.state.lives.pending().cloned().collect()
    }

    fn draining(&self) -> Vec<Subject> {
        self.state.draining()
    }

    fn has_backup(&self, wallet: Address) -> bool {
        self.state.lives.backup(wallet).is_some()
    }

    fn exposed(
        &self,
        names: &[Subject],
        now: UnixSeconds,
        page: (u64, usize),
    ) -> Result<Vec<Hold>, LedgerError> {
        exposed(self.connection, names, now, page).map_err(|error| LedgerError(Box::new(error)))
    }

    fn act(&self, seq: u64) -> Result<Option<Act>, LedgerError> {
        let act = act(self.connection, seq).map_err(|error| LedgerError(Box::new(error)))?;
        Ok(act.map(|(_, act)| act))
    }

    fn clock(&self) -> ClockMark {
        self.state.clock()
    }
}

/// A subject's signatures that can still be settled.
pub(crate) fn exposed(
    connection: &Connection,
    names: &[Subject],
    now: UnixSeconds,
    page: (u64, usize),
) -> Result<Vec<Hold>, JournalError> {
    let seqs = store::exposed(connection, names, now, page)?;
    let holds: Result<Vec<Option<Hold>>, JournalError> =
        seqs.into_iter().map(|seq| hold(connection, seq)).collect();
    Ok(holds?.into_iter().flatten().collect())
}

/// The operator's act in record `seq` and when it was done, if there is one that was permitted.
pub(crate) fn act(connection: &Connection, seq: u64) -> Result<Option<(Moment, Act)>, JournalError> {
    if i64::try_from(seq).is_err() {
        return Ok(None);
    }
    let Some(body) = store::find_record(connection, seq)? else { return Ok(None) };
    let record = decode(&body)?;
    Ok(match record.content {
        Content::Entry(Entry::Lifecycle(lifecycle)) if record.seq == seq => {
            lifecycle.denial.is_none().then_some((lifecycle.at, lifecycle.act))
        }
        Content::Entry(_) | Content::Genesis(_) => None,
    })
}

/// The permit in record `seq` and what became of its money.
pub(crate) fn hold(connection: &Connection, seq: u64) -> Result<Option<Hold>, JournalError> {
    // What SQLite cannot number is no record: whoever asks for it gets the answer for none.
    if i64::try_from(seq).is_err() {
        return Ok(None);
    }
    let Some((body, state)) = store::find_permit(connection, seq)? else { return Ok(None) };
    let wrong = || JournalError::damaged(format!("record {seq} has a hold and is no permit"));
    let (at, permit) = permit(&body, seq)?.ok_or_else(wrong)?;
    Ok(Some(Hold { seq, at, permit, state, claims: store::count_claims(connection, seq)? }))
}

fn held_alike(
    connection: &Connection,
    wallet: Address,
    asset: &AssetId,
    amount: Amount,
) -> Result<Vec<Hold>, JournalError> {
    let seqs = store::held_alike(connection, (wallet, &asset.network), amount)?;
    let holds: Vec<Option<Hold>> =
        seqs.into_iter().map(|seq| hold(connection, seq)).collect::<Result<_, _>>()?;
    Ok(holds.into_iter().flatten().filter(|hold| hold.permit.intent.terms.asset == *asset).collect())
}

/// The binding permit that a record is, if it is one and stands at `seq`, and when it was given.
fn permit(body: &[u8], seq: u64) -> Result<Option<(UnixSeconds, Permit)>, JournalError> {
    let record = decode(body)?;
    Ok(match record.content {
        Content::Entry(Entry::Payment(decision)) => match (decision.mode, decision.outcome) {
            (Mode::Enforce, Outcome::Permit(permit)) if record.seq == seq => {
                Some((record.time.unix_seconds(), *permit))
            }
            (Mode::Enforce | Mode::Preview, Outcome::Permit(_) | Outcome::Deny { .. }) => None,
        },
        Content::Entry(
            Entry::Reissue(_)
            | Entry::Lifecycle(_)
            | Entry::Report(_)
            | Entry::Evidence(_)
            | Entry::SignIn(_)
            | Entry::Transition(_)
            | Entry::Signatures(_)
            | Entry::Unauthenticated(_)
            | Entry::Repeated(_)
            | Entry::Reload(_),
        )
        | Content::Genesis(_) => None,
    })
}

fn prior(connection: &Connection, agent: &AgentName, id: &RequestId) -> Result<Option<Prior>, JournalError> {
    let Some((seq, fingerprint)) = store::find_request(connection, agent, id)? else { return Ok(None) };
    let wrong = || JournalError::damaged(format!("record {seq} is not the permit of request id `{id}`"));
    let used = match hold(connection, seq)? {
        Some(Hold { permit, state, .. }) => {
            let intent = permit.intent;
            let same = intent.agent == *agent && intent.request_id == *id;
            same.then(|| Used::Payment(Box::new(intent), state))
        }
        None => sign_in(connection, seq)?
            .filter(|intent| intent.agent == *agent && intent.request_id == *id)
            .map(|intent| Used::SignIn(Box::new(intent))),
    };
    let used = match used {
        None if store::find_record(connection, seq)?.is_none() && has_left(connection, seq)? => {
            Some(Used::Archived)
        }
        used => used,
    };
    Ok(Some(Prior { seq, fingerprint, used: used.ok_or_else(wrong)? }))
}

/// The credit that the payment or sign-in permitted in record `seq` is booked under, if it is booked under a service.
pub(crate) fn credit_key(connection: &Connection, seq: u64) -> Result<Option<CreditKey>, JournalError> {
    if let Some(row) = store::find_hold(connection, seq)? {
        return Ok(row.credit);
    }
    let wrong = || JournalError::damaged(format!("record {seq} permits neither a payment nor a sign-in"));
    sign_in(connection, seq)?.as_ref().map(credit_of_sign_in).ok_or_else(wrong)
}

/// The sign-in that record `seq` permits, if it permits one.
pub(crate) fn sign_in(connection: &Connection, seq: u64) -> Result<Option<SignInIntent>, JournalError> {
    // As for a hold, what SQLite cannot number is no record.
    if i64::try_from(seq).is_err() {
        return Ok(None);
    }
    let Some(body) = store::find_record(connection, seq)? else { return Ok(None) };
    let record = decode(&body)?;
    Ok(match record.content {
        Content::Entry(Entry::SignIn(decision)) if record.seq == seq => match decision.outcome {
            SignInOutcome::Permit(permit) => Some(permit.intent),
            SignInOutcome::Deny { .. } => None,
        },
        Content::Entry(_) | Content::Genesis(_) => None,
    })
}
