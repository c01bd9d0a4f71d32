use sha2::{Digest as _, Sha256};

use crate::x402::{Payload, PayloadError};
use crate::{Address, DecisionId, Digest, Signable, Signature, Warning};

/// The right to one signature: a permit the gate decided and the journal confirmed.
///
/// There is no way to make one outside the gate:
///
/// ```compile_fail,E0451
/// use pursekeeper_core::{DecisionId, Signable, gate::Authorized};
/// fn forge(what: Signable, decision_id: DecisionId) -> Authorized {
///     Authorized { what, warnings: Vec::new(), decision_id }
/// }
/// ```
///
/// ```compile_fail,E0624
/// use pursekeeper_core::{DecisionId, Signable, gate::Authorized};
/// fn forge(what: Signable, decision_id: DecisionId) -> Authorized {
///     Authorized::new(what, Vec::new(), decision_id)
/// }
/// ```
///
/// no way to keep one for later:
///
/// ```compile_fail,E0599
/// fn twice(right: pursekeeper_core::gate::Authorized) -> pursekeeper_core::gate::Authorized {
///     right.clone()
/// }
/// ```
///
/// and signing takes it away:
///
/// ```compile_fail,E0382
/// use pursekeeper_core::{gate::Authorized, ports::Custody};
/// fn sign_twice<C: Custody>(custody: &C, right: Authorized) {
///     let _ = custody.sign(right);
///     let _ = custody.sign(right);
/// }
/// ```
///
/// A decision alone, not yet recorded, does not sign:
///
/// ```compile_fail,E0308
/// use pursekeeper_core::{Decision, ports::Custody};
/// fn unrecorded<C: Custody>(custody: &C, decision: Decision) {
///     let _ = custody.sign(decision);
/// }
/// ```
#[derive(Debug)]
pub struct Authorized {
    what: Signable,
    warnings: Vec<Warning>,
    decision_id: DecisionId,
}

/// A signature together with what it signs.
///
/// It comes only from an [`Authorized`]:
///
/// ```compile_fail,E0451
/// use pursekeeper_core::{DecisionId, Signable, Signature, gate::Signed};
/// fn forge(what: Signable, decision_id: DecisionId, signature: Signature) -> Signed {
///     Signed { what, warnings: Vec::new(), decision_id, signature, allowance: None }
/// }
/// ```
pub struct Signed {
    what: Signable,
    warnings: Vec<Warning>,
    decision_id: DecisionId,
    signature: Signature,
    allowance: Option<Signature>,
}

impl Authorized {
    // INVARIANT: called by the gate only, with what `Journal::commit` returned.
    pub(super) fn new(what: Signable, warnings: Vec<Warning>, decision_id: DecisionId) -> Self {
        Self { what, warnings, decision_id }
    }

    /// Whose key signs.
    #[must_use]
    pub fn wallet_address(&self) -> Address {
        self.what.wallet_address()
    }

    /// What was authorised.
    #[must_use]
    pub fn what(&self) -> &Signable {
        &self.what
    }

    /// Which limits are near.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The record of the permit.
    #[must_use]
    pub fn decision_id(&self) -> DecisionId {
        self.decision_id
    }

    /// Spends the right: has `sign` make each signature that belongs to it, with the key of the address it is given.
    ///
    /// # Errors
    /// Whatever `sign` returns; then nothing is signed.
    pub fn signed_by<E>(self, sign: impl Fn(Address, Digest) -> Result<Signature, E>) -> Result<Signed, E> {
        let Self { what, warnings, decision_id } = self;
        let address = what.wallet_address();
        let signature = sign(address, what.digest())?;
        let allowance = what.allowance_digest().map(|digest| sign(address, digest)).transpose()?;
        Ok(Signed { what, warnings, decision_id, signature, allowance })
    }
}

impl Signed {
    /// What was signed.
    #[must_use]
    pub fn what(&self) -> &Signable {
        &self.what
    }

    /// Which limits are near.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The record of the permit.
    #[must_use]
    pub fn decision_id(&self) -> DecisionId {
        self.decision_id
    }

    /// The signature.
    #[must_use]
    pub fn signature(&self) -> Signature {
        self.signature
    }

    /// SHA-256 of each signature that was made: what the record keeps of it.
    pub fn hashes(&self) -> impl Iterator<Item = Digest> {
        let hash = |Signature::Evm(bytes): Signature| Digest(Sha256::digest(bytes).into());
        [Some(self.signature), self.allowance].into_iter().flatten().map(hash)
    }

    /// The payment as it is sent; nothing when this answers no 402.
    ///
    /// # Errors
    /// [`PayloadError`] when the intent was damaged.
    pub fn payload(&self) -> Option<Result<Payload, PayloadError>> {
        match &self.what {
            Signable::Payment(intent) => {
                let offered = intent.offered()?;
                Some(Payload::new(intent, offered, self.signature, self.allowance))
            }
            Signable::SignIn(_) | Signable::Allowance(..) | Signable::Cancellation(_) => None,
        }
    }
}
