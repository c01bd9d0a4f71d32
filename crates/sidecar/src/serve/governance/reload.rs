//! Putting another bundle in force while the sidecar runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use pursekeeper_api::v1;
use pursekeeper_core::gate::{Answer, Ask};
use pursekeeper_core::ports::Policy as _;
use pursekeeper_core::registry::Registry;
use pursekeeper_core::{
    ActVerb, Address, AssetId, BundleId, Detail, Digest, ReloadKind, ReloadResult, Status as Standing,
    Subject, Transition, WalletName,
};
use pursekeeper_custody::{CustodyError, Keystore, LocalCustody, Passphrase};
use pursekeeper_journal::{Holds, JournalError, Reader, SqliteJournal};
use pursekeeper_policy::{Bundle, BundleErrors, BundleOptions, Draft};
use tonic::{Code, Status};
use tracing::{info, warn};

use super::super::convert::{self, fault};
use super::super::reload;
use super::super::signer::mixed_up;
use super::{GovernanceService, Operator};
use crate::config::KeystoreConfig;

/// What is counted when what was read again is what was read before.
const UNCHANGED: &str = "unchanged";

/// Why a bundle is not put in force.
#[derive(Debug, thiserror::Error)]
pub enum BundleRefused {
    /// It is invalid.
    #[error(transparent)]
    Invalid(#[from] BundleErrors),
    /// It forgets what was spent before a rotation.
    #[error(
        "wallet `{wallet}` has the address {new} since it was rotated: write `was: [\"{old}\"]` beside it, or what the old address spent would be forgotten"
    )]
    Forgets {
        /// The wallet.
        wallet: WalletName,
        /// The address it has.
        new: Address,
        /// The address it had.
        old: Address,
    },
    /// It is older than what was in force.
    #[error(
        "the bundle {now}, but revision {before} was in force before: to bring old rules back, give them a `revision` of {before} or more in registry.yaml",
        now = names(*now)
    )]
    Older {
        /// The revision it names.
        now: Option<u64>,
        /// The highest that was in force.
        before: u64,
    },
    /// It would change what signatures are worth that are outside.
    #[error(
        "the decimals of {symbol} cannot change while {symbol} is held: wait until its holds are resolved"
    )]
    Decimals {
        /// What the asset is called.
        symbol: String,
    },
    /// A key does not fit it.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The journal could not be looked at.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Every address whose key a bundle wants, and the wallet it belongs to. What was revoked has no key.
pub(in super::super) fn expected(
    registry: &Registry,
    journal: &SqliteJournal,
) -> BTreeMap<Address, WalletName> {
    let revoked = journal.revoked();
    let dead = |address: &Address| revoked.iter().any(|(subject, _)| *subject == Subject::Wallet(*address));
    let addresses = registry.wallets.iter().flat_map(|(name, wallet)| {
        wallet.was.iter().chain([&wallet.address]).map(move |address| (*address, name.clone()))
    });
    addresses.filter(|(address, _)| !dead(address)).collect()
}

fn names(revision: Option<u64>) -> String {
    revision.map_or_else(|| "names no revision".to_owned(), |revision| format!("is revision {revision}"))
}

/// Whether a bundle may come after those that were in force: it is not older, and remembers every rotation that was
/// completed.
pub(in super::super) fn follows(bundle: &Bundle, journal: &SqliteJournal) -> Result<(), BundleRefused> {
    let now = bundle.bundle();
    if let Some(before) = journal.bundle().filter(|before| !now.may_follow(*before)) {
        let before = before.revision.unwrap_or_default();
        return Err(BundleRefused::Older { now: now.revision, before });
    }
    let registry = bundle.registry();
    let rotated: BTreeMap<Address, Address> = journal.rotated().into_iter().collect();
    forgotten(registry, &rotated).map_or(Ok(()), Err)
}

/// The first address that a wallet had and its declaration does not name any more, however long ago that was. `rotated` says
/// which address each one replaced.
fn forgotten(registry: &Registry, rotated: &BTreeMap<Address, Address>) -> Option<BundleRefused> {
    registry.wallets.iter().find_map(|(wallet, declared)| {
        let mut seen = BTreeSet::from([declared.address]);
        let mut before = rotated.get(&declared.address);
        while let Some(old) = before.copied().filter(|old| seen.insert(*old)) {
            if !declared.was.contains(&old) {
                return Some(BundleRefused::Forgets { wallet: wallet.clone(), new: declared.address, old });
            }
            before = rotated.get(&old);
        }
        None
    })
}

/// The assets whose decimals would change.
fn changed_decimals(before: &Registry, after: &Registry) -> Vec<(AssetId, String)> {
    let differs = |(id, old): &(&AssetId, &pursekeeper_core::Asset)| {
        after.assets.get(*id).is_some_and(|new| new.decimals() != old.decimals())
    };
    let changed = before.assets.iter().filter(differs);
    changed.map(|(id, asset)| (id.clone(), asset.symbol().to_owned())).collect()
}

/// Whether any money of an asset is bound.
fn is_held(journal: &Path, asset: &AssetId) -> Result<bool, JournalError> {
    let reader = Reader::open(journal)?;
    let mut after = 0;
    loop {
        let page = reader.holds(Holds::UnresolvedOn(&asset.network), after, usize::MAX)?;
        let Some(last) = page.last() else { return Ok(false) };
        after = last.seq;
        if page.iter().any(|hold| hold.permit.intent.terms.asset == *asset) {
            return Ok(true);
        }
    }
}

/// A bundle that can be put in force, and its keys.
struct Ready {
    bundle: Bundle,
    keys: LocalCustody,
    expected: BTreeMap<Address, WalletName>,
}

fn prepare(draft: &Draft, before: &Bundle, service: &GovernanceService) -> Result<Ready, BundleRefused> {
    let config = &service.config;
    let bundle = Bundle::from_draft(draft, BundleOptions { dev: config.dev })?;
    for (asset, symbol) in changed_decimals(before.registry(), bundle.registry()) {
        if is_held(&config.journal, &asset)? {
            return Err(BundleRefused::Decimals { symbol });
        }
    }
    let expected = service.gatehouse.with_journal(|journal| {
        follows(&bundle, journal)?;
        Ok::<_, BundleRefused>(expected(bundle.registry(), journal))
    })?;
    let KeystoreConfig { dir, passphrase_file } = &config.keystore;
    let keys = Keystore::open(dir)?.load_expected(&Passphrase::from_file(passphrase_file)?, &expected)?;
    Ok(Ready { bundle, keys, expected })
}

/// A bundle that is in force, and what followed from it.
pub(in super::super) struct InForce {
    bundle: BundleId,
    /// Whether it was in force before.
    unchanged: bool,
    completed: Vec<v1::PendingAct>,
    notes: Vec<String>,
}

/// Why a bundle is not in force, or not all that follows from it.
pub(in super::super) enum NotInForce {
    /// It is not to be; the one before is.
    Refused(BundleRefused),
    /// Something of this sidecar does not work now.
    Fault(Status),
}

impl InForce {
    /// What is in force and what followed from it.
    pub(in super::super) fn in_words(&self) -> String {
        let Self { bundle, unchanged: _, completed, notes } = self;
        let completed =
            completed.iter().map(|act| format!("{} of wallet `{}` is complete", act.verb, act.wallet));
        let all = std::iter::once(format!("bundle {bundle} is in force"));
        all.chain(completed).chain(notes.iter().cloned()).collect::<Vec<_>>().join("; ")
    }
}

impl From<BundleRefused> for NotInForce {
    fn from(refused: BundleRefused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Status> for NotInForce {
    fn from(status: Status) -> Self {
        Self::Fault(status)
    }
}

impl GovernanceService {
    /// Reads the bundle again as an operator wants it, and puts it in force if it is valid.
    pub(super) async fn reload(
        &self,
        operator: Operator,
        request: v1::SidecarRequest,
    ) -> Result<v1::ReloadResponse, Status> {
        use v1::reload_response::Result as Outcome;
        let reason = convert::reason(request.reason)?;
        let _turn = self.changes.lock().await;
        let act = operator.act(ActVerb::Reload, Subject::Sidecar, Detail::None, reason);
        let decision_id = match self.done(act).await? {
            Ok((decision_id, _)) => decision_id,
            Err(denied) => return Ok(v1::ReloadResponse { result: Some(Outcome::Denied(denied)) }),
        };
        let draft = tokio::task::block_in_place(|| Draft::read(&self.config.policies));
        let put = match draft {
            Ok(draft) => self.put_in_force(&draft).await,
            Err(errors) => Err(NotInForce::Refused(errors.into())),
        };
        let (kind, metrics) = (ReloadKind::Bundle, self.gatehouse.metrics());
        let InForce { bundle, unchanged, completed, mut notes } = match put {
            Ok(in_force) => in_force,
            Err(NotInForce::Fault(status)) => return Err(status),
            Err(NotInForce::Refused(refused)) => {
                warn!(%refused, "the bundle in force stays");
                metrics.reloaded(kind, ReloadResult::Refused.as_str());
                self.reloads.note(kind, Some(refused.to_string()));
                return Err(fault(Code::FailedPrecondition, "BUNDLE_REFUSED", refused));
            }
        };
        metrics.reloaded(kind, if unchanged { UNCHANGED } else { ReloadResult::Applied.as_str() });
        metrics.loaded(kind, self.gatehouse.now().unix_seconds());
        self.reloads.note(kind, None);
        notes.extend(tokio::task::block_in_place(|| self.cast_shadow()));
        let (bundle_digest, bundle_revision) = (bundle.digest.to_string(), bundle.revision);
        let done = v1::Reloaded { decision_id, bundle_digest, unchanged, completed, notes, bundle_revision };
        Ok(v1::ReloadResponse { result: Some(Outcome::Done(done)) })
    }

    /// Reads the shadow bundle again. A bad one keeps nothing from coming into force, for it is in force nowhere.
    fn cast_shadow(&self) -> Option<String> {
        let dir = self.config.shadow_policies.as_ref()?;
        let (kind, metrics) = (ReloadKind::Shadow, self.gatehouse.metrics());
        let options = BundleOptions { dev: self.config.dev };
        let cast = Draft::read(dir).and_then(|draft| reload::cast(&self.gatehouse, &draft, options));
        match cast {
            Ok((shadow, unchanged)) => {
                let result = if unchanged { UNCHANGED } else { ReloadResult::Applied.as_str() };
                metrics.reloaded(kind, result);
                metrics.loaded(kind, self.gatehouse.now().unix_seconds());
                self.reloads.note(kind, None);
                Some(format!("the shadow bundle is {shadow}"))
            }
            Err(errors) => {
                metrics.reloaded(kind, ReloadResult::Refused.as_str());
                self.reloads.note(kind, Some(errors.to_string()));
                Some(format!("the shadow bundle is refused, the one before stays: {errors}"))
            }
        }
    }

    /// Puts a bundle in force that changed on disk, without anybody asking.
    pub(in super::super) async fn follow(&self, draft: &Draft) -> Result<InForce, NotInForce> {
        let _turn = self.changes.lock().await;
        self.put_in_force(draft).await
    }

    /// The digest of the bundle in force.
    pub(in super::super) fn bundle(&self) -> Digest {
        self.gatehouse.policy().digest()
    }

    /// Puts a bundle in force with all that follows from it. Nobody else changes keys or bundle meanwhile.
    async fn put_in_force(&self, draft: &Draft) -> Result<InForce, NotInForce> {
        let before = self.gatehouse.policy();
        let Ready { bundle, keys, expected } = tokio::task::block_in_place(|| prepare(draft, &before, self))?;
        let unchanged = bundle.digest() == before.digest();
        let waiting = self.pending_acts().await?;
        let missing =
            expected.iter().filter(|(address, _)| !keys.holds(**address) && !self.custody.holds(**address));
        let mut notes: Vec<String> = missing
            .map(|(address, name)| {
                format!("wallet `{name}` signs nothing: there is no key for {address}: bring it back with `pursekeeper wallet recover`")
            })
            .collect();
        notes.extend(bundle.warnings().iter().map(ToString::to_string));
        // Keys first: a wallet that is declared and whose key is here may sign from the next decision on.
        self.custody.adopt(keys);
        self.endings.note_keys();
        let id = bundle.bundle();
        self.gatehouse.set_policy(Arc::new(bundle));
        let answer =
            self.gatehouse.pass(Ask::Transition).await.map_err(|fault| convert::unanswered(&fault))?;
        // Whatever came before this in the same batch may have recorded it already.
        match answer {
            Answer::Changed { transition, .. } => notes.extend(changes(&transition)),
            Answer::Noted { .. } | Answer::Nothing(_) => {}
            Answer::Authorized(_)
            | Answer::WouldSign { .. }
            | Answer::Denied { .. }
            | Answer::Acted { .. }
            | Answer::Voids(_)
            | Answer::Reported { .. }
            | Answer::Resolved { .. } => return Err(mixed_up().into()),
        }
        self.forget_unnamed(&expected);
        let still = self.gatehouse.with_journal(|journal| journal.pending_acts());
        let completed: Vec<v1::PendingAct> = waiting
            .into_iter()
            .filter(|act| {
                !still.iter().any(|pending| act.decision_id.ends_with(&format!("-{}", pending.seq)))
            })
            .collect();
        info!(bundle = %id, unchanged, completed = completed.len(), "bundle in force");
        Ok(InForce { bundle: id, unchanged, completed, notes })
    }

    /// Wipes keys that the registry does not name: they are under no ceiling. A revoked wallet's key still has to void what
    /// it signed, and ends with that.
    fn forget_unnamed(&self, expected: &BTreeMap<Address, WalletName>) {
        for address in self.custody.addresses().into_iter().filter(|address| !expected.contains_key(address))
        {
            if self.decided(&Subject::Wallet(address)) != Standing::Revoked {
                self.custody.destroy(address);
            }
        }
        self.endings.note_keys();
    }
}

/// The statuses that changed, one sentence each.
fn changes(transition: &Transition) -> impl Iterator<Item = String> {
    transition.statuses.iter().map(|change| {
        format!(
            "{} `{}` is {}: {}",
            change.subject.kind(),
            change.subject,
            change.status,
            change.cause.as_str()
        )
    })
}

#[cfg(test)]
mod tests {
    use pursekeeper_core::EvmAddress;
    use pursekeeper_policy::STARTER_REGISTRY;

    use super::*;

    fn address(byte: u8) -> Address {
        EvmAddress::from_bytes([byte; 20]).into()
    }

    #[test]
    fn a_bundle_may_forget_no_address_that_a_wallet_had() {
        let bundle = Bundle::from_parts(STARTER_REGISTRY, &[], BundleOptions { dev: true }).unwrap();
        // The third address replaced the second, and that one the first.
        let rotated = BTreeMap::from([(address(3), address(2)), (address(2), address(1))]);
        let check = |now: u8, was: &[u8]| {
            let mut registry = bundle.registry().clone();
            let wallet = registry.wallets.values_mut().next().unwrap();
            (wallet.address, wallet.was) = (address(now), was.iter().copied().map(address).collect());
            match forgotten(&registry, &rotated) {
                None => None,
                Some(BundleRefused::Forgets { old, .. }) => Some(old),
                Some(other) => panic!("{other}"),
            }
        };
        assert_eq!(check(3, &[]), Some(address(2)));
        assert_eq!(check(3, &[1]), Some(address(2)));
        assert_eq!(check(3, &[2]), Some(address(1)), "also what was replaced long ago");
        assert_eq!(check(3, &[1, 2]), None);
        assert_eq!(check(2, &[]), Some(address(1)));
        assert_eq!(check(4, &[]), None, "another key is another wallet");
    }
}
