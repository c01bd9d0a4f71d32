use std::sync::Arc;

use crate::x402::{Protocol, Terms};
use crate::{
    Address, AgentName, Digest, Endpoint, OriginMatch, RequestId, ServiceName, UnixSeconds, Usd, WalletName,
    WorkflowName, transfer_with_authorization_digest,
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
    /// The version of x402 to answer in.
    pub protocol: Protocol,
    /// Which entry of `accepts` this is, from 0.
    pub offer_index: u32,
    /// The entry, byte for byte as the seller wrote it.
    pub accepted: Arc<str>,
    /// The seller's `resource` object, byte for byte.
    pub resource: Option<Arc<str>>,
    /// The seller's `extensions` object, byte for byte.
    pub extensions: Option<Arc<str>>,
    /// What is paid to whom.
    pub terms: Terms,
    /// The asset's EIP-712 domain separator, from our registry.
    pub domain: Digest,
    /// What the amount is worth.
    pub usd: Usd,
    /// The signature is void before this.
    pub valid_after: UnixSeconds,
    /// The signature is dead from this on.
    pub valid_before: UnixSeconds,
    /// Ours, drawn at random.
    pub nonce: [u8; 32],
}

impl Intent {
    /// The digest the wallet signs.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let (Address::Evm(from), Address::Evm(to)) = (self.wallet_address, self.terms.payee);
        transfer_with_authorization_digest(
            self.domain,
            (from, to),
            self.terms.amount,
            (self.valid_after, self.valid_before),
            self.nonce,
        )
    }

    /// For how long the signature lives, in seconds.
    #[must_use]
    pub fn valid_secs(&self, now: UnixSeconds) -> u64 {
        self.valid_before.0.saturating_sub(now.0)
    }
}
