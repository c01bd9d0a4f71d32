//! A journal in memory: the port's contract in the plainest words, for tests of the gate and of policies.
//!
//! It keeps every entry and derives everything else by looking at all of them, so that there is nothing to keep in
//! step. The real journal is tested on its own.

use std::collections::BTreeMap;

use pursekeeper_core::ports::{Journal, Ledger, LedgerError, Prior, Recorded};
use pursekeeper_core::{
    AgentName, DecisionId, Endpoint, Entry, JournalId, Moment, Permit, RequestId, Scope, Status, Subject,
    Totals, UnixSeconds, Window,
};

/// A journal in memory.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    /// Everything recorded, in order.
    pub entries: Vec<Entry>,
    /// What was spent before the first entry, and never ages.
    pub spent_before: BTreeMap<Scope, Totals>,
    /// The latest wall clock of a record from before the first entry.
    pub high_water_before_ms: u64,
    /// Whether the next commit fails, as on a full disk.
    pub full: bool,
}

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The ledger could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// [`MemoryJournal::full`].
    #[error("full")]
    Full,
}

/// What a decision sees: the journal and the batch so far.
struct View<'a> {
    journal: &'a MemoryJournal,
    batch: Vec<Entry>,
    now: UnixSeconds,
}

impl Journal for MemoryJournal {
    type Error = MemoryError;

    fn commit<A>(
        &mut self,
        at: Moment,
        asks: &[A],
        mut decide: impl FnMut(&A, &dyn Ledger) -> Result<Entry, LedgerError>,
    ) -> Result<Vec<Recorded>, MemoryError> {
        let mut view = View { journal: self, batch: Vec::new(), now: at.unix_seconds() };
        for ask in asks {
            let entry = decide(ask, &view)?;
            view.batch.push(entry);
        }
        let View { batch, .. } = view;
        // Decided but not on disk: the worst moment to fail.
        if self.full {
            return Err(MemoryError::Full);
        }
        let first = self.next_seq();
        self.entries.extend(batch.iter().cloned());
        Ok((first..).zip(batch).map(|(seq, entry)| Recorded { decision_id: Self::id(seq), entry }).collect())
    }
}

impl MemoryJournal {
    fn id(seq: u64) -> DecisionId {
        DecisionId::new(JournalId([0xaa; 16]), seq)
    }

    fn next_seq(&self) -> u64 {
        u64::try_from(self.entries.len()).unwrap().saturating_add(1)
    }
}

impl View<'_> {
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.journal.entries.iter().chain(&self.batch)
    }

    fn permits(&self) -> impl Iterator<Item = &Permit> {
        self.entries().filter_map(Entry::binding_permit)
    }
}

impl Ledger for View<'_> {
    fn totals(&self, scope: &Scope) -> Totals {
        let mut totals = self.journal.spent_before.get(scope).copied().unwrap_or_default();
        for permit in self.permits().filter(|permit| is_about(permit, scope)) {
            let lengths = Window::ROLLING.iter().map(|(_, secs)| *secs).chain([u64::MAX]);
            for (at, secs) in lengths.enumerate() {
                if self.now < permit.held_until.plus(secs) {
                    let (usd, payments) =
                        (totals.usd.get_mut(at).unwrap(), totals.payments.get_mut(at).unwrap());
                    *usd = usd.checked_add(permit.intent.usd).unwrap();
                    *payments = payments.checked_add(1).unwrap();
                }
            }
        }
        totals
    }

    fn status(&self, subject: &Subject) -> Status {
        let act = |entry: &Entry| match entry {
            Entry::Lifecycle(decision) => {
                let done = decision.denial.is_none() && decision.act.subject == *subject;
                done.then(|| decision.act.verb.status())
            }
            Entry::Payment(_) | Entry::Reissue(_) => None,
        };
        self.entries().filter_map(act).last().unwrap_or_default()
    }

    fn prior(&self, agent: &AgentName, id: &RequestId) -> Result<Option<Prior>, LedgerError> {
        let found = (1..).zip(self.entries()).find_map(|(seq, entry)| {
            let permit = entry.binding_permit()?;
            let Entry::Payment(decision) = entry else { return None };
            let same = permit.intent.agent == *agent && permit.intent.request_id == *id;
            same.then(|| Prior { seq, fingerprint: decision.fingerprint, intent: permit.intent.clone() })
        });
        Ok(found)
    }

    fn outstanding(&self, agent: &AgentName, endpoint: &Endpoint) -> u64 {
        let live = self.permits().filter(|permit| {
            permit.held_until > self.now
                && permit.intent.agent == *agent
                && permit.intent.endpoint == *endpoint
        });
        u64::try_from(live.count()).unwrap()
    }

    fn high_water_unix_ms(&self) -> u64 {
        let recorded = self.entries().map(|entry| entry.at().unix_ms).max().unwrap_or(0);
        recorded.max(self.journal.high_water_before_ms)
    }
}

fn is_about(permit: &Permit, scope: &Scope) -> bool {
    let intent = &permit.intent;
    match scope {
        Scope::Agent(name) => intent.agent == *name,
        Scope::Workflow(name) => intent.workflow == *name,
        Scope::Wallet(address) => intent.wallet_address == *address,
        Scope::Service(name) => intent.service.as_ref() == Some(name),
        Scope::Payee(address) => intent.terms.payee == *address,
    }
}
