//! The EIP-712 structures we sign, and no others.

use alloy_primitives::{B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct, sol};

use crate::{Address, Amount, AssetId, ChainId, Digest, EvmAddress, UnixSeconds};

mod structs {
    use super::sol;

    sol! {
        /// EIP-3009.
        struct TransferWithAuthorization {
            address from;
            address to;
            uint256 value;
            uint256 validAfter;
            uint256 validBefore;
            bytes32 nonce;
        }
    }
}

/// The EIP-712 domain separator of a token contract.
#[must_use]
pub fn domain_separator(asset: &AssetId, name: &str, version: &str) -> Digest {
    let Address::Evm(contract) = asset.address;
    let chain_id = match &asset.network {
        ChainId::Eip155(id) => Some(U256::from(*id)),
        ChainId::Other(_) => None,
    };
    let domain = Eip712Domain::new(
        Some(name.to_owned().into()),
        Some(version.to_owned().into()),
        chain_id,
        Some(contract.to_alloy()),
        None,
    );
    Digest(domain.separator().0)
}

/// The digest a wallet signs for an EIP-3009 transfer, in the domain with this separator.
#[must_use]
pub fn transfer_with_authorization_digest(
    domain: Digest,
    (from, to): (EvmAddress, EvmAddress),
    value: Amount,
    (valid_after, valid_before): (UnixSeconds, UnixSeconds),
    nonce: [u8; 32],
) -> Digest {
    let message = structs::TransferWithAuthorization {
        from: from.to_alloy(),
        to: to.to_alloy(),
        value: value.to_u256(),
        validAfter: U256::from(valid_after.0),
        validBefore: U256::from(valid_before.0),
        nonce: B256::from(nonce),
    };
    let mut preimage = [0u8; 66];
    let (prefix, rest) = preimage.split_at_mut(2);
    let (separator, hash) = rest.split_at_mut(32);
    prefix.copy_from_slice(&[0x19, 0x01]);
    separator.copy_from_slice(&domain.0);
    hash.copy_from_slice(message.eip712_hash_struct().as_slice());
    Digest(alloy_primitives::keccak256(preimage).0)
}
