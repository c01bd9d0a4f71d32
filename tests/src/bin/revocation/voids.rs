//! What a token makes of a message that voids a payment.

use alloy_primitives::keccak256;
use pursekeeper_api::v1;
use pursekeeper_core::{Address, AssetId, ChainId, EvmAddress, domain_separator};
use pursekeeper_tests::{USDC, signer_of};

/// EIP-3009's type.
const TYPE: &str = "CancelAuthorization(address authorizer,bytes32 nonce)";

/// Whether the token would take it: the wallet whose signature it voids has signed it.
pub(crate) fn is_valid(cancellation: &v1::Cancellation) -> bool {
    let address = Address::Evm(EvmAddress::parse(USDC).unwrap());
    let asset = AssetId { network: ChainId::parse(&cancellation.network).unwrap(), address };
    let authorizer = EvmAddress::parse(&cancellation.authorizer).unwrap();
    let nonce = hex::decode(cancellation.nonce.strip_prefix("0x").unwrap()).unwrap();
    let fields = [&keccak256(TYPE).0[..], &[0; 12], &authorizer.to_bytes(), &nonce].concat();
    let domain = domain_separator(&asset, "USDC", "2");
    let digest = keccak256([&[0x19, 0x01][..], &domain.0, &keccak256(fields).0].concat());
    signer_of(digest.0, &cancellation.signature) == cancellation.authorizer
}
