//! What happens without anybody asking: expired workflows, drained wallets, revocations that were interrupted.

use std::sync::Arc;

use pursekeeper_core::gate::Ask;
use pursekeeper_core::ports::Policy as _;
use pursekeeper_core::registry::Registry;
use pursekeeper_core::{Status, Subject, UnixSeconds, WorkflowName};
use pursekeeper_journal::SqliteJournal;
use tracing::warn;

use super::super::Gatehouse;
use super::ending::Endings;

/// Looks, every now and then, whether something follows from bundle, time and records.
pub(in super::super) struct Keeper {
    pub(in super::super) gatehouse: Arc<Gatehouse>,
    pub(in super::super) endings: Endings,
}

impl Keeper {
    /// Records what follows, and finishes what was interrupted. Costs a look when nothing does.
    pub(in super::super) async fn round(&self) {
        if self.gatehouse.problem().is_some() {
            return;
        }
        if self.is_due()
            && let Err(fault) = self.gatehouse.pass(Ask::Transition).await
        {
            warn!(%fault, "what follows from bundle and time is not recorded yet");
        }
        if self.endings.is_due() {
            self.endings.finish().await;
        }
    }

    /// Whether the gate may have something to record. It judges that itself: this only keeps it from being asked in vain.
    fn is_due(&self) -> bool {
        let policy = self.gatehouse.policy();
        let now = self.gatehouse.now().unix_seconds();
        self.gatehouse.with_journal(|journal| {
            journal.bundle() != Some(policy.bundle())
                || !journal.draining().is_empty()
                || has_old_address(policy.registry(), journal)
                || has_idle_wallet(policy.registry(), journal, now)
        })
    }
}

/// Whether a wallet that could sign serves ended workflows only.
fn has_idle_wallet(registry: &Registry, journal: &SqliteJournal, now: UnixSeconds) -> bool {
    let status = |subject: &Subject| journal.status(&registry.subjects(subject));
    registry.wallets.values().any(|wallet| {
        wallet.workflows.iter().all(|name| has_ended(registry, journal, name, now))
            && status(&Subject::Wallet(wallet.address)) == Status::Active
    })
}

/// Whether an address that was rotated away has not ended.
fn has_old_address(registry: &Registry, journal: &SqliteJournal) -> bool {
    let mut was = registry.wallets.values().flat_map(|wallet| &wallet.was);
    was.any(|address| journal.status(&[Subject::Wallet(*address)]) == Status::Suspended)
}

/// Whether a workflow's rights are over.
pub(in super::super) fn has_ended(
    registry: &Registry,
    journal: &SqliteJournal,
    name: &WorkflowName,
    now: UnixSeconds,
) -> bool {
    let subject = Subject::Workflow(name.clone());
    let declared = registry.declared(&subject, now).unwrap_or(Status::Suspended);
    let expires = registry.workflows.get(name).and_then(|workflow| workflow.expires);
    let decided = journal.status(&registry.subjects(&subject));
    expires.is_some_and(|expires| now >= expires) || declared.strictest(decided).is_ended()
}
