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

        /// EIP-3009.
        struct CancelAuthorization {
            address authorizer;
            bytes32 nonce;
        }

        /// EIP-2612.
        struct Permit {
            address owner;
            address spender;
            uint256 value;
            uint256 nonce;
            uint256 deadline;
        }
    }

    /// Permit2, with the witness of x402's `exact`.
    pub(super) mod exact {
        use super::sol;

        sol! {
            struct TokenPermissions {
                address token;
                uint256 amount;
            }

            struct Witness {
                address to;
                uint256 validAfter;
            }

            struct PermitWitnessTransferFrom {
                TokenPermissions permitted;
                address spender;
                uint256 nonce;
                uint256 deadline;
                Witness witness;
            }
        }
    }

    /// Permit2, with the witness of x402's `upto`.
    pub(super) mod upto {
        use super::sol;

        sol! {
            struct TokenPermissions {
                address token;
                uint256 amount;
            }

            struct Witness {
                address to;
                address facilitator;
                uint256 validAfter;
            }

            struct PermitWitnessTransferFrom {
                TokenPermissions permitted;
                address spender;
                uint256 nonce;
                uint256 deadline;
                Witness witness;
            }
        }
    }
}

/// The Permit2 contract, at one address on every network.
pub const PERMIT2: EvmAddress =
    EvmAddress::from_bytes(alloy_primitives::hex!("000000000022D473030F116dDEE9F6B43aC78BA3"));
/// The x402 contract that settles `exact` payments through Permit2.
pub const EXACT_PROXY: EvmAddress =
    EvmAddress::from_bytes(alloy_primitives::hex!("402085c248EeA27D92E8b30b2C58ed07f9E20001"));
/// The x402 contract that settles `upto` payments through Permit2.
pub const UPTO_PROXY: EvmAddress =
    EvmAddress::from_bytes(alloy_primitives::hex!("4020A4f3b7b90ccA423B9fabCc0CE57C6C240002"));

/// What a Permit2 signature binds besides token, amount, nonce and deadline. Each kind is settled by its own contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermitWitness {
    /// The whole amount goes to `to`.
    Exact {
        /// Who receives.
        to: EvmAddress,
    },
    /// At most the amount goes to `to`; only `facilitator` may settle, and chooses how much.
    Upto {
        /// Who receives.
        to: EvmAddress,
        /// Who settles.
        facilitator: EvmAddress,
    },
}

/// The EIP-712 domain separator of Permit2 on a network. It has no version.
#[must_use]
pub fn permit2_domain_separator(network: &ChainId) -> Digest {
    let domain = Eip712Domain::new(
        Some("Permit2".into()),
        None,
        chain_number(network),
        Some(PERMIT2.to_alloy()),
        None,
    );
    Digest(domain.separator().0)
}

/// The EIP-712 domain separator of a token contract.
#[must_use]
pub fn domain_separator(asset: &AssetId, name: &str, version: &str) -> Digest {
    let Address::Evm(contract) = asset.address;
    let domain = Eip712Domain::new(
        Some(name.to_owned().into()),
        Some(version.to_owned().into()),
        chain_number(&asset.network),
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
    signed_digest(domain, message.eip712_hash_struct())
}

/// The digest a wallet signs to void an EIP-3009 authorization that was not used yet.
#[must_use]
pub fn cancel_authorization_digest(domain: Digest, authorizer: EvmAddress, nonce: [u8; 32]) -> Digest {
    let message =
        structs::CancelAuthorization { authorizer: authorizer.to_alloy(), nonce: B256::from(nonce) };
    signed_digest(domain, message.eip712_hash_struct())
}

/// The digest a wallet signs for an EIP-2612 permit by which Permit2, and nobody else, may move `value`.
#[must_use]
pub fn permit_digest(
    domain: Digest,
    owner: EvmAddress,
    value: Amount,
    nonce: Amount,
    deadline: UnixSeconds,
) -> Digest {
    let message = structs::Permit {
        owner: owner.to_alloy(),
        spender: PERMIT2.to_alloy(),
        value: value.to_u256(),
        nonce: nonce.to_u256(),
        deadline: U256::from(deadline.0),
    };
    signed_digest(domain, message.eip712_hash_struct())
}

/// The digest a wallet signs for a transfer through Permit2. The spender is the contract of the witness.
#[must_use]
pub fn permit_witness_transfer_from_digest(
    domain: Digest,
    (token, amount): (EvmAddress, Amount),
    witness: PermitWitness,
    (valid_after, deadline): (UnixSeconds, UnixSeconds),
    nonce: [u8; 32],
) -> Digest {
    let (token, amount) = (token.to_alloy(), amount.to_u256());
    let (valid_after, deadline) = (U256::from(valid_after.0), U256::from(deadline.0));
    let nonce = U256::from_be_bytes(nonce);
    let hash = match witness {
        PermitWitness::Exact { to } => structs::exact::PermitWitnessTransferFrom {
            permitted: structs::exact::TokenPermissions { token, amount },
            spender: EXACT_PROXY.to_alloy(),
            nonce,
            deadline,
            witness: structs::exact::Witness { to: to.to_alloy(), validAfter: valid_after },
        }
        .eip712_hash_struct(),
        PermitWitness::Upto { to, facilitator } => structs::upto::PermitWitnessTransferFrom {
            permitted: structs::upto::TokenPermissions { token, amount },
            spender: UPTO_PROXY.to_alloy(),
            nonce,
            deadline,
            witness: structs::upto::Witness {
                to: to.to_alloy(),
                facilitator: facilitator.to_alloy(),
                validAfter: valid_after,
            },
        }
        .eip712_hash_struct(),
    };
    signed_digest(domain, hash)
}

fn chain_number(network: &ChainId) -> Option<U256> {
    match network {
        ChainId::Eip155(id) => Some(U256::from(*id)),
        ChainId::Other(_) => None,
    }
}

/// EIP-712: `keccak256("\x19\x01" ‖ domain separator ‖ hash of the struct)`.
fn signed_digest(domain: Digest, hash_struct: B256) -> Digest {
    let mut preimage = [0u8; 66];
    let (prefix, rest) = preimage.split_at_mut(2);
    let (separator, hash) = rest.split_at_mut(32);
    prefix.copy_from_slice(&[0x19, 0x01]);
    separator.copy_from_slice(&domain.0);
    hash.copy_from_slice(hash_struct.as_slice());
    Digest(alloy_primitives::keccak256(preimage).0)
}
