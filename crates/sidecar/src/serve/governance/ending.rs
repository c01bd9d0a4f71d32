//! How a revocation ends: what voids its signatures is signed and kept, and the key is destroyed.
//!
//! The act is on disk before any of this begins. Whatever is interrupted is done again at the next start, and by the
//! keeper while the sidecar runs: signing is deterministic, keeping and destroying twice is like once.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pursekeeper_core::gate::{Answer, Ask, VoidAsk, Voids};
use pursekeeper_core::ports::Custody as _;
use pursekeeper_core::{Address, DecisionId, Signature, Subject};
use pursekeeper_custody::{CustodyError, Keystore, LocalCustody, Removal};
use tonic::Status;
use tracing::{info, warn};

use super::super::signer::mixed_up;
use super::super::{Gatehouse, Sidecar, convert};

/// Voids what was signed, and destroys keys.
#[derive(Clone)]
pub(in super::super) struct Endings {
    pub(super) gatehouse: Arc<Gatehouse>,
    pub(super) custody: Arc<LocalCustody>,
    pub(super) keystore: PathBuf,
    /// What was revoked by this process and is not voided yet.
    open: Arc<Mutex<BTreeSet<Subject>>>,
}

impl Endings {
    pub(in super::super) fn new(sidecar: &Sidecar) -> Self {
        Self {
            gatehouse: sidecar.gatehouse.clone(),
            custody: sidecar.custody.clone(),
            keystore: sidecar.config.keystore.dir.clone(),
            open: Arc::default(),
        }
    }

    fn open(&self) -> MutexGuard<'_, BTreeSet<Subject>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out a revocation that is recorded and in force, and says what became of the key if it is a wallet's. What
    /// cannot be done now, because the disk is full for instance, is left to the keeper: the revocation is none the less
    /// done. `had_key` says whether the wallet's key was here when the revocation was asked for: the keeper may be faster.
    pub(super) async fn carry_out(&self, act: DecisionId, subject: &Subject, had_key: bool) -> String {
        self.open().insert(subject.clone());
        let voided = self.void(act).await;
        if let Err(status) = &voided {
            warn!(%subject, status = status.message(), "what was revoked is not voided yet");
        } else {
            self.open().remove(subject);
        }
        let Subject::Wallet(address) = subject else { return String::new() };
        if let Err(status) = voided {
            // It still has to void what it signed.
            return format!("not destroyed yet: {}", status.message());
        }
        match tokio::task::block_in_place(|| self.destroy(*address)) {
            Ok(Removal::Removed) => "destroyed".to_owned(),
            Ok(Removal::Absent) if had_key => "destroyed".to_owned(),
            Ok(Removal::Absent) => "absent".to_owned(),
            Ok(Removal::ReadOnly) => "read-only".to_owned(),
            Err(error) => {
                warn!(%address, %error, "the key of a revoked wallet could not be destroyed");
                format!("not destroyed: {error}")
            }
        }
    }

    /// Signs and keeps what voids every signature that a recorded act is about. A wallet whose key is not here is left out.
    pub(super) async fn void(&self, act: DecisionId) -> Result<(), Status> {
        let mut after = 0;
        loop {
            let ask = Ask::Void(VoidAsk { act, after });
            let answer = self.gatehouse.pass(ask).await.map_err(|fault| convert::unanswered(&fault))?;
            let Voids { rights, next } = match answer {
                Answer::Voids(voids) => voids,
                Answer::Noted { .. } | Answer::Nothing(_) => return Ok(()),
                Answer::Authorized(_)
                | Answer::WouldSign { .. }
                | Answer::Denied { .. }
                | Answer::Acted { .. }
                | Answer::Changed { .. }
                | Answer::Reported { .. }
                | Answer::Resolved { .. } => return Err(mixed_up()),
            };
            let mut signed: Vec<(u64, Signature)> = Vec::with_capacity(rights.len());
            for (seq, right) in rights {
                match self.custody.sign(right) {
                    Ok(void) => {
                        self.gatehouse.note_signed(&void);
                        signed.push((seq, void.signature()));
                    }
                    Err(CustodyError::NoKey { .. }) => {}
                    Err(error) => return Err(convert::unsigned(&error)),
                }
            }
            let keep = || self.gatehouse.with_journal_mut(|journal| journal.keep_voids(&signed));
            tokio::task::block_in_place(keep).map_err(|error| convert::unkept(&error))?;
            match next {
                Some(seq) => after = seq,
                None => return Ok(()),
            }
        }
    }

    /// Whether a subject is a wallet whose key is here.
    pub(super) fn has_key(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Wallet(address) => self.custody.holds(*address),
            Subject::Agent(_) | Subject::Workflow(_) | Subject::Service(_) | Subject::Sidecar => false,
        }
    }

    /// Destroys this sidecar's copies of a key: the one in memory is wiped, the file removed where it can be.
    pub(super) fn destroy(&self, address: Address) -> Result<Removal, CustodyError> {
        let removal = Keystore::open(&self.keystore)?.destroy(address)?;
        let in_memory = self.custody.destroy(address);
        self.note_keys();
        info!(%address, ?removal, in_memory, "key destroyed");
        Ok(match (removal, in_memory) {
            (Removal::Absent, true) => Removal::Removed,
            (removal, _) => removal,
        })
    }

    /// Tells the gate which keys are here.
    pub(in super::super) fn note_keys(&self) {
        self.gatehouse.note_keys(self.custody.addresses().into_iter().collect());
    }

    /// Finishes every revocation that was recorded and not carried out to its end.
    pub(in super::super) async fn finish(&self) {
        let (id, revoked) = self.gatehouse.with_journal(|journal| (journal.id(), journal.revoked()));
        let kept = match Keystore::open(&self.keystore).and_then(|keystore| keystore.list()) {
            Ok(kept) => kept.into_iter().map(|(_, address)| address).collect(),
            Err(error) => {
                warn!(%error, "the keystore cannot be read, so what was revoked is not looked for in it");
                BTreeSet::new()
            }
        };
        let loaded: BTreeSet<Address> = self.custody.addresses().into_iter().collect();
        for (subject, seq) in revoked {
            if let Err(status) = self.void(DecisionId::new(id, seq)).await {
                warn!(%subject, status = status.message(), "what was revoked is not voided yet");
                continue;
            }
            self.open().remove(&subject);
            if let Subject::Wallet(address) = subject
                && (loaded.contains(&address) || kept.contains(&address))
                && let Err(error) = self.destroy(address)
            {
                warn!(%address, %error, "the key of a revoked wallet could not be destroyed");
            }
        }
    }

    /// Whether something that was revoked is not voided, or a key still in memory whose wallet was revoked.
    pub(in super::super) fn is_due(&self) -> bool {
        if !self.open().is_empty() {
            return true;
        }
        let loaded = self.custody.addresses();
        let revoked = self.gatehouse.with_journal(|journal| journal.revoked());
        let wallet = |subject: &Subject| match subject {
            Subject::Wallet(address) => loaded.contains(address),
            Subject::Agent(_) | Subject::Workflow(_) | Subject::Service(_) | Subject::Sidecar => false,
        };
        revoked.iter().any(|(subject, _)| wallet(subject))
    }
}
