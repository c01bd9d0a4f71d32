use std::sync::Arc;

use crate::x402::{Protocol, Scheme, Terms};
use crate::{
    Address, AgentName, Amount, Digest, Endpoint, OriginMatch, PermitWitness, RequestId, ServiceName,
    TransferMethod, UnixSeconds, Usd, WalletName, WorkflowName, permit_digest,
    permit_witness_transfer_from_digest, transfer_with_authorization_digest,
};

/// One payment, exactly as it is judged, recorded and signed.
///
/// Everything that ends up in the signature or the payload is here; nothing is parsed or looked up again afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The agent's own id for the request.
    pub request_id: RequestId,
    /// Who asks.
    pub agent: AgentName,
    /// The task it is for.
    pub workflow: WorkflowName,
    /// The wallet that pays.
    pub wallet: WalletName,
    /// That wallet's address.
    pub wallet_address: Address,
    /// The service the payment is booked under; none when the endpoint is in no service of the workflow.
    pub service: Option<ServiceName>,
    /// The call being paid for: a claim.
    pub endpoint: Endpoint,
    /// How the seller's `resource.url` relates to it.
    pub origin: OriginMatch,
    /// What asks for the signature.
    pub demand: Demand,
    /// What is paid to whom.
    pub terms: Terms,
    /// The EIP-712 domain separator of the contract that checks the signature: the asset's, from our registry, or Permit2's.
    pub domain: Digest,
    /// What the amount is worth.
    pub usd: Usd,
    /// The signature is void before this.
    pub valid_after: UnixSeconds,
    /// The signature is dead from this on.
    pub valid_before: UnixSeconds,
    /// Drawn at random by us, unless an app that builds the typed data itself chose it.
    pub nonce: [u8; 32],
    /// The allowance that is granted together with the payment, if one is.
    pub allowance: Option<Allowance>,
}

/// What asks for a signature, and so in which form it is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// One entry of a seller's 402: the answer is an x402 payload.
    Offer(Offered),
    /// An app that builds the typed data itself: the answer is the signature alone.
    TypedData,
}

/// The entry of a 402 that is paid, and what is echoed to the seller, byte for byte as it wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The version of x402 to answer in.
    pub protocol: Protocol,
    /// Which entry of `accepts` this is, from 0.
    pub index: u32,
    /// The entry.
    pub accepted: Arc<str>,
    /// The `resource` object.
    pub resource: Option<Arc<str>>,
    /// The `extensions` object.
    pub extensions: Option<Arc<str>>,
}

/// An EIP-2612 permit by which Permit2 may move exactly the amount of one payment, until that payment's signature is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The asset's EIP-712 domain separator, from our registry.
    pub domain: Digest,
    /// The wallet's next nonce in the token, as the agent read it. A wrong one is a permit that does nothing.
    pub nonce: Amount,
}

impl Intent {
    /// The digest the wallet signs for the payment.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let valid = (self.valid_after, self.valid_before);
        payment_digest(self.domain, self.wallet_address, &self.terms, valid, self.nonce)
    }

    /// The digest the wallet signs to grant this payment an allowance.
    #[must_use]
    pub fn digest_of(&self, allowance: Allowance) -> Digest {
        let Allowance { domain, nonce } = allowance;
        let Address::Evm(owner) = self.wallet_address;
        permit_digest(domain, owner, self.terms.amount, nonce, self.deadline())
    }

    /// The last second in which Permit2 takes the signature, where an EIP-3009 token takes it only before
    /// [`Intent::valid_before`].
    #[must_use]
    pub fn deadline(&self) -> UnixSeconds {
        deadline(self.valid_before)
    }

    /// For how long the signature lives, in seconds.
    #[must_use]
    pub fn valid_secs(&self, now: UnixSeconds) -> u64 {
        self.valid_before.0.saturating_sub(now.0)
    }

    /// The entry of a 402 that is paid, if it is one.
    #[must_use]
    pub fn offered(&self) -> Option<&Offered> {
        match &self.demand {
            Demand::Offer(offered) => Some(offered),
            Demand::TypedData => None,
        }
    }
}

/// The digest a wallet signs for a payment, in the domain of the contract that checks it.
pub(crate) fn payment_digest(
    domain: Digest,
    from: Address,
    terms: &Terms,
    (valid_after, valid_before): (UnixSeconds, UnixSeconds),
    nonce: [u8; 32],
) -> Digest {
    let (Address::Evm(from), Address::Evm(to)) = (from, terms.payee);
    let Address::Evm(token) = terms.asset.address;
    let witness = match (terms.scheme, terms.method) {
        (Scheme::Exact, TransferMethod::Eip3009) => {
            let valid = (valid_after, valid_before);
            return transfer_with_authorization_digest(domain, (from, to), terms.amount, valid, nonce);
        }
        (Scheme::Exact, TransferMethod::Permit2) => PermitWitness::Exact { to },
        (Scheme::Upto { facilitator: Address::Evm(facilitator) }, _) => {
            PermitWitness::Upto { to, facilitator }
        }
    };
    let valid = (valid_after, deadline(valid_before));
    permit_witness_transfer_from_digest(domain, (token, terms.amount), witness, valid, nonce)
}

fn deadline(valid_before: UnixSeconds) -> UnixSeconds {
    valid_before.minus(1)
}
