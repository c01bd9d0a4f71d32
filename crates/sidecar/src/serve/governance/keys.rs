//! Acts that make, take in or hand out keys.
//!
//! A key is in the keystore before the act that speaks of it is recorded: until then nothing knows its address, so a crash
//! in between leaves a key that the same request finds again. A key that comes back is the other way round: the wallet is
//! suspended first.

use std::sync::Arc;

use pursekeeper_api::v1;
use pursekeeper_core::gate::{Answer, Ask, LifecycleAsk};
use pursekeeper_core::ports::{Policy as _, Verdict};
use pursekeeper_core::{
    Act, ActVerb, Address, Aim, Detail, PendingAct, Status as Standing, Subject, WalletName, WorkflowName,
};
use pursekeeper_custody::{CustodyError, Keystore, Passphrase, Recipient};
use pursekeeper_policy::Bundle;
use tonic::{Code, Status};

use super::super::convert::{self, fault};
use super::super::signer::mixed_up;
use super::{GovernanceService, Operator, patch};

/// A key that could not be made, taken in or handed out.
fn keyless(error: &CustodyError) -> Status {
    fault(Code::FailedPrecondition, "KEY_REFUSED", error)
}

impl GovernanceService {
    /// Makes a key for a wallet that is to be declared, or finds the one an interrupted request made.
    pub(super) async fn create(
        &self,
        operator: Operator,
        request: v1::CreateRequest,
    ) -> Result<v1::PendingResponse, Status> {
        let v1::CreateRequest { wallet, reason } = request;
        let (wallet, reason) = (convert::wallet_name(&wallet)?, convert::reason(reason)?);
        let make = |keystore: &Keystore, passphrase: &Passphrase| {
            let kept = keystore.list()?.into_iter().find(|(name, _)| *name == wallet);
            kept.map_or_else(|| keystore.create_wallet(&wallet, passphrase), |(_, address)| Ok(address))
        };
        self.add(operator, (ActVerb::Create, &wallet, reason), make).await
    }

    /// Takes in a key for a wallet that is to be declared.
    pub(super) async fn import(
        &self,
        operator: Operator,
        request: v1::ImportRequest,
    ) -> Result<v1::PendingResponse, Status> {
        let v1::ImportRequest { wallet, sealed_key, reason } = request;
        let (wallet, reason) = (convert::wallet_name(&wallet)?, convert::reason(reason)?);
        let make = |keystore: &Keystore, passphrase: &Passphrase| {
            keystore.import_delivery(&wallet, &sealed_key, &self.transport, None, passphrase)
        };
        self.add(operator, (ActVerb::Import, &wallet, reason), make).await
    }

    async fn add(
        &self,
        operator: Operator,
        (verb, wallet, reason): (ActVerb, &WalletName, String),
        make: impl FnOnce(&Keystore, &Passphrase) -> Result<Address, CustodyError>,
    ) -> Result<v1::PendingResponse, Status> {
        let _turn = self.changes.lock().await;
        let policy = self.gatehouse.policy();
        let act = |detail| operator.act(verb, Subject::Sidecar, detail, reason.clone());
        let waiting =
            self.waiting(|pending| pending.wallet == *wallet && matches!(pending.aim, Aim::Declare(_)));
        let address = match (waiting, policy.registry().wallets.get(wallet)) {
            (Some(pending), _) => pending.aim.address(),
            // Refused, with the record that belongs to it.
            (None, Some(declared)) => declared.address,
            (None, None) => match self.made(&policy, &act(Detail::None), make)? {
                Some(address) => address,
                None => return self.pend(act(Detail::None)).await,
            },
        };
        self.pend(act(Detail::NewKey { wallet: wallet.clone(), address })).await
    }

    /// Makes a key that is to replace a wallet's, or finds the one an interrupted request made.
    pub(super) async fn rotate(
        &self,
        operator: Operator,
        request: v1::LifecycleRequest,
    ) -> Result<v1::PendingResponse, Status> {
        let _turn = self.changes.lock().await;
        let policy = self.gatehouse.policy();
        let (subject, reason) = convert::lifecycle(request, policy.registry())?;
        let (old, wallet) = self.wallet(&policy, &subject)?;
        let act = |detail| operator.act(ActVerb::Rotate, subject.clone(), detail, reason.clone());
        let waiting =
            self.waiting(|pending| matches!(pending.aim, Aim::Replace { old: from, .. } if from == old));
        let new = match waiting {
            Some(pending) => Some(pending.aim.address()),
            // Refused, with the record that belongs to it, and without a key that nobody will use.
            None if self.is_over(&policy, old) => None,
            None => self.made(&policy, &act(Detail::None), |keystore, passphrase| {
                let known = |address: Address| policy.registry().wallet_of(address).is_some();
                let revoked = self.gatehouse.with_journal(|journal| journal.revoked());
                let dead = |address| revoked.iter().any(|(subject, _)| *subject == Subject::Wallet(address));
                let mut kept = keystore.list()?.into_iter();
                let spare =
                    kept.find(|(name, address)| *name == wallet && !known(*address) && !dead(*address));
                spare.map_or_else(
                    || keystore.create_successor(&wallet, passphrase),
                    |(_, address)| Ok(address),
                )
            })?,
        };
        self.pend(act(new.map_or(Detail::None, Detail::Successor))).await
    }

    /// Gives a wallet to other workflows.
    pub(super) async fn reassign(
        &self,
        operator: Operator,
        request: v1::ReassignRequest,
    ) -> Result<v1::PendingResponse, Status> {
        let v1::ReassignRequest { wallet, workflows, reason } = request;
        let subject = Some(v1::Subject { kind: "wallet".to_owned(), name: wallet });
        let policy = self.gatehouse.policy();
        let (subject, reason) =
            convert::lifecycle(v1::LifecycleRequest { subject, reason }, policy.registry())?;
        let names = workflows.iter().map(|name| WorkflowName::parse(name));
        let names = names.collect::<Result<_, _>>().map_err(|error| convert::bad_name(&error))?;
        self.pend(operator.act(ActVerb::Reassign, subject, Detail::Workflows(names), reason)).await
    }

    /// Hands out a wallet's key, encrypted for its recovery teams. That it leaves is on disk before it does.
    pub(super) async fn backup(
        &self,
        operator: Operator,
        request: v1::LifecycleRequest,
    ) -> Result<v1::BackupResponse, Status> {
        use v1::backup_response::Result as Outcome;
        let policy = self.gatehouse.policy();
        let (subject, reason) = convert::lifecycle(request, policy.registry())?;
        let (address, wallet) = self.wallet(&policy, &subject)?;
        let act = operator.act(ActVerb::Backup, subject, Detail::None, reason);
        // What is refused is recorded; what is permitted and cannot be done must not be: a backup would be believed in.
        if !self.custody.holds(address) && !self.is_refused(&policy, &act) {
            return Err(keyless(&CustodyError::NoKey { address }));
        }
        let (decision_id, done) = match self.done(act).await? {
            Ok(done) => done,
            Err(denied) => return Ok(v1::BackupResponse { result: Some(Outcome::Denied(denied)) }),
        };
        let Detail::Recipients(recipients) = done.detail else { return Err(mixed_up()) };
        let readers = recipients.iter().map(|recipient| Recipient::parse(recipient.as_str()));
        let readers: Vec<Recipient> = readers.collect::<Result<_, _>>().map_err(|error| keyless(&error))?;
        let age_file = self.custody.backup(address, &wallet, &readers).map_err(|error| keyless(&error))?;
        Ok(v1::BackupResponse {
            result: Some(Outcome::Backup(v1::WalletBackup {
                decision_id,
                wallet: wallet.to_string(),
                address: address.to_string(),
                age_file,
                recipients: recipients.iter().map(ToString::to_string).collect(),
            })),
        })
    }

    /// Takes a wallet's key back in. The wallet is suspended before the key is here.
    pub(super) async fn recover(
        &self,
        operator: Operator,
        request: v1::RecoverRequest,
    ) -> Result<v1::LifecycleResponse, Status> {
        let v1::RecoverRequest { wallet, sealed_key, reason } = request;
        let _turn = self.changes.lock().await;
        let policy = self.gatehouse.policy();
        let subject = Some(v1::Subject { kind: "wallet".to_owned(), name: wallet });
        let (subject, reason) =
            convert::lifecycle(v1::LifecycleRequest { subject, reason }, policy.registry())?;
        let (address, wallet) = self.wallet(&policy, &subject)?;
        let act = operator.act(ActVerb::Recover, subject, Detail::None, reason);
        // A key that is another one, or not for us, must not suspend a wallet that is well.
        if !self.is_refused(&policy, &act) {
            let found = self.transport.address_in(&sealed_key, &wallet).map_err(|error| keyless(&error))?;
            if found != address {
                return Err(keyless(&CustodyError::OtherKey { expected: address, found }));
            }
        }
        let response = self.pass(act).await?;
        if matches!(response.result, Some(v1::lifecycle_response::Result::Done(_))) {
            let take = |keystore: &Keystore, passphrase: &Passphrase| {
                let from = &self.transport;
                keystore.import_delivery(&wallet, &sealed_key, from, Some(address), passphrase)?;
                keystore.load_address(passphrase, address)
            };
            if let Some(key) = self.with_keystore(take)? {
                self.custody.adopt(key);
            }
            self.endings.note_keys();
        }
        Ok(response)
    }

    /// Whether the policies forbid an act, or its wallet was revoked.
    fn is_refused(&self, policy: &Bundle, act: &Act) -> bool {
        let verdict = policy.decide_act(act, self.gatehouse.now().unix_seconds());
        matches!(verdict, Verdict::Deny(..)) || self.decided(&act.subject) == Standing::Revoked
    }

    /// Whether a wallet's address is revoked, drains or was replaced: then no key replaces its key.
    fn is_over(&self, policy: &Bundle, address: Address) -> bool {
        let standing = self.decided(&Subject::Wallet(address));
        matches!(standing, Standing::Draining | Standing::Revoked)
            || policy.registry().wallet_at(address).is_none()
    }

    /// Has `make` make a key, unless the policies forbid the act: then nothing is made, and the refusal is recorded by
    /// whoever asked.
    fn made(
        &self,
        policy: &Bundle,
        act: &Act,
        make: impl FnOnce(&Keystore, &Passphrase) -> Result<Address, CustodyError>,
    ) -> Result<Option<Address>, Status> {
        match policy.decide_act(act, self.gatehouse.now().unix_seconds()) {
            Verdict::Deny(..) => Ok(None),
            Verdict::Permit(_) => self.with_keystore(make).map(Some),
        }
    }

    fn with_keystore<T>(
        &self,
        work: impl FnOnce(&Keystore, &Passphrase) -> Result<T, CustodyError>,
    ) -> Result<T, Status> {
        let open = || {
            let keystore = Keystore::open(&self.keys.dir)?;
            let passphrase = Passphrase::from_file(&self.keys.passphrase_file)?;
            work(&keystore, &passphrase)
        };
        // Deriving a key takes a tenth of a second.
        tokio::task::block_in_place(open).map_err(|error| keyless(&error))
    }

    /// The wallet a subject is, by its address and its name.
    pub(super) fn wallet(
        &self,
        policy: &Arc<Bundle>,
        subject: &Subject,
    ) -> Result<(Address, WalletName), Status> {
        let Subject::Wallet(address) = subject else {
            return Err(fault(
                Code::InvalidArgument,
                "MALFORMED_SUBJECT",
                "only a wallet has a key: name a wallet",
            ));
        };
        let unknown =
            || fault(Code::NotFound, "SUBJECT_UNKNOWN", format!("no wallet `{address}` in registry.yaml"));
        let (name, _) = policy.registry().wallet_of(*address).ok_or_else(unknown)?;
        Ok((*address, name.clone()))
    }

    fn waiting(&self, is: impl Fn(&PendingAct) -> bool) -> Option<PendingAct> {
        self.gatehouse.with_journal(|journal| journal.pending_acts().into_iter().find(is))
    }

    /// Has an act judged that completes once the registry contains it. One that waits already is answered as it is.
    async fn pend(&self, act: Act) -> Result<v1::PendingResponse, Status> {
        use v1::pending_response::Result as Outcome;
        let (decision_id, act) = match self.done(act).await? {
            Ok(done) => done,
            Err(denied) => return Ok(v1::PendingResponse { result: Some(Outcome::Denied(denied)) }),
        };
        let pending = self.pending_acts().await?;
        let mine = pending.into_iter().find(|pending| pending.decision_id == decision_id);
        // Complete already: the registry says so, and the keeper was faster.
        let mine = mine.unwrap_or_else(|| v1::PendingAct {
            decision_id,
            verb: act.verb.as_str().to_owned(),
            operator: act.operator.to_string(),
            reason: act.reason,
            ..v1::PendingAct::default()
        });
        Ok(v1::PendingResponse { result: Some(Outcome::Pending(mine)) })
    }

    /// The acts the registry does not contain yet, with what to write into it.
    pub(super) async fn pending_acts(&self) -> Result<Vec<v1::PendingAct>, Status> {
        let policy = self.gatehouse.policy();
        let waiting = self.gatehouse.with_journal(|journal| journal.pending_acts());
        let read = self.holds.read(move |reader| {
            let of = |pending: &PendingAct| {
                let act = reader.act(pending.seq)?;
                Ok(act.map(|(at, act)| shown(policy.registry(), reader.id(), pending, at, &act)))
            };
            waiting.iter().map(of).collect::<Result<Vec<_>, pursekeeper_journal::JournalError>>()
        });
        Ok(read.await?.into_iter().flatten().collect())
    }

    /// Has an act judged that is about no status. What was done, with its record, or the refusal.
    pub(super) async fn done(&self, act: Act) -> Result<Result<(String, Act), v1::Denied>, Status> {
        Self::tell(&act);
        let answer = self.gatehouse.pass(Ask::Lifecycle(LifecycleAsk { act })).await;
        match answer.map_err(|fault| convert::unanswered(&fault))? {
            Answer::Acted { decision_id, act, .. } => Ok(Ok((decision_id.to_string(), *act))),
            Answer::Denied { decision_id, denial, offers } => {
                Ok(Err(convert::denied(decision_id, denial, offers)))
            }
            Answer::Authorized(_)
            | Answer::WouldSign { .. }
            | Answer::Changed { .. }
            | Answer::Voids(_)
            | Answer::Reported { .. }
            | Answer::Resolved { .. }
            | Answer::Noted { .. }
            | Answer::Nothing(_) => Err(mixed_up()),
        }
    }
}

/// A pending act as it is shown.
fn shown(
    registry: &pursekeeper_core::registry::Registry,
    journal: pursekeeper_core::JournalId,
    pending: &PendingAct,
    at: pursekeeper_core::Moment,
    act: &Act,
) -> v1::PendingAct {
    let (replaces, workflows) = match &pending.aim {
        Aim::Declare(_) => (String::new(), Vec::new()),
        Aim::Replace { old, new: _ } => (old.to_string(), Vec::new()),
        Aim::Serve(_, names) => (String::new(), names.iter().map(ToString::to_string).collect()),
    };
    v1::PendingAct {
        decision_id: pursekeeper_core::DecisionId::new(journal, pending.seq).to_string(),
        verb: act.verb.as_str().to_owned(),
        wallet: pending.wallet.to_string(),
        address: pending.aim.address().to_string(),
        replaces,
        workflows,
        registry_patch: patch::of(registry, pending),
        time_unix_ms: at.unix_ms,
        operator: act.operator.to_string(),
        reason: act.reason.clone(),
    }
}
