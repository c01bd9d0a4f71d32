//! Voiding a signature that was handed out and not used yet.

use alloy_primitives::B256;
use alloy_sol_types::{SolCall as _, sol};

use crate::{
    Address, AssetId, Digest, EvmAddress, Intent, Signature, TransferMethod, WalletName,
    cancel_authorization_digest,
};

sol! {
    /// EIP-3009.
    function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s);
}

/// An EIP-3009 `CancelAuthorization`: whoever hands it to the token voids the payment with this nonce, if nobody settled it
/// before. It moves no money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// The wallet whose signature is voided.
    pub wallet: WalletName,
    /// That wallet's address.
    pub authorizer: Address,
    /// The token.
    pub asset: AssetId,
    /// The token's EIP-712 domain separator, from the permit.
    pub domain: Digest,
    /// The nonce of the payment.
    pub nonce: [u8; 32],
}

impl Cancellation {
    /// What voids a payment; nothing when only a transaction of the wallet itself could.
    #[must_use]
    pub fn of(intent: &Intent) -> Option<Self> {
        match intent.terms.method {
            TransferMethod::Eip3009 => Some(Self {
                wallet: intent.wallet.clone(),
                authorizer: intent.wallet_address,
                asset: intent.terms.asset.clone(),
                domain: intent.domain,
                nonce: intent.nonce,
            }),
            TransferMethod::Permit2 => None,
        }
    }

    /// The digest the wallet signs.
    #[must_use]
    pub fn digest(&self) -> Digest {
        cancel_authorization_digest(self.domain, self.evm(), self.nonce)
    }

    /// The data of a transaction to the token that hands it in.
    #[must_use]
    pub fn calldata(&self, signature: Signature) -> Vec<u8> {
        let Signature::Evm([scalars @ .., v]) = signature;
        let (r, s) = scalars.split_at(32);
        let call = cancelAuthorizationCall {
            authorizer: self.evm().to_alloy(),
            nonce: B256::from(self.nonce),
            v,
            r: B256::from_slice(r),
            s: B256::from_slice(s),
        };
        call.abi_encode()
    }

    fn evm(&self) -> EvmAddress {
        let Address::Evm(evm) = self.authorizer;
        evm
    }
}
