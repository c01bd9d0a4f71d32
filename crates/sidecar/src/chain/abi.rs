//! The calls and events of a token, as bytes.

use alloy_primitives::U256;
use alloy_sol_types::{SolCall as _, SolEvent as _};
use pursekeeper_core::{Amount, EvmAddress};

mod token {
    alloy_sol_types::sol! {
        /// EIP-3009.
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
        /// ERC-20.
        function balanceOf(address account) external view returns (uint256);
        /// EIP-3009.
        event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
        /// EIP-3009.
        event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);
        /// ERC-20.
        event Transfer(address indexed from, address indexed to, uint256 value);
    }
}

/// The first topic of EIP-3009's `AuthorizationUsed`.
pub(super) const AUTHORIZATION_USED: [u8; 32] = token::AuthorizationUsed::SIGNATURE_HASH.0;
/// The first topic of EIP-3009's `AuthorizationCanceled`.
pub(super) const AUTHORIZATION_CANCELED: [u8; 32] = token::AuthorizationCanceled::SIGNATURE_HASH.0;
/// The first topic of ERC-20's `Transfer`.
pub(super) const TRANSFER: [u8; 32] = token::Transfer::SIGNATURE_HASH.0;

/// Whether an authorization was used or cancelled.
pub(super) fn authorization_state(authorizer: EvmAddress, nonce: [u8; 32]) -> Vec<u8> {
    token::authorizationStateCall { authorizer: alloy(authorizer), nonce: nonce.into() }.abi_encode()
}

/// What a wallet holds.
pub(super) fn balance_of(wallet: EvmAddress) -> Vec<u8> {
    token::balanceOfCall { account: alloy(wallet) }.abi_encode()
}

/// An address as a topic.
pub(super) fn topic(address: EvmAddress) -> [u8; 32] {
    alloy(address).into_word().0
}

/// One word that is exactly 0 or 1.
pub(super) fn flag(bytes: &[u8]) -> Option<bool> {
    let word = U256::from_be_bytes(<[u8; 32]>::try_from(bytes).ok()?);
    match word.try_into() {
        Ok(0u8) => Some(false),
        Ok(1u8) => Some(true),
        Ok(2..) | Err(_) => None,
    }
}

/// One word that is an amount.
pub(super) fn amount(bytes: &[u8]) -> Option<Amount> {
    let word = U256::from_be_bytes(<[u8; 32]>::try_from(bytes).ok()?);
    Amount::parse(&word.to_string()).ok()
}

fn alloy(address: EvmAddress) -> alloy_primitives::Address {
    address.to_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against numbers computed elsewhere: USDC's verified contract and the EIP.
    #[test]
    fn selectors_and_topics_are_the_ones_on_chain() {
        let hex = |bytes: &[u8]| hex::encode(bytes);
        assert_eq!(
            hex(&AUTHORIZATION_USED),
            "98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5"
        );
        assert_eq!(
            hex(&AUTHORIZATION_CANCELED),
            "1cdd46ff242716cdaa72d159d339a485b3438398348d68f09d7c8c0a59353d81"
        );
        assert_eq!(hex(&TRANSFER), "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
        let call = authorization_state(EvmAddress::from_bytes([1; 20]), [2; 32]);
        assert_eq!(hex(&call), format!("e94a0102{}{}{}", "00".repeat(12), "01".repeat(20), "02".repeat(32)));
        assert_eq!(
            hex(&balance_of(EvmAddress::from_bytes([1; 20]))),
            format!("70a08231{}{}", "00".repeat(12), "01".repeat(20))
        );
    }

    #[test]
    fn only_whole_words_are_values() {
        let word = |last: u8| [[0; 31].as_slice(), &[last]].concat();
        assert_eq!((flag(&word(0)), flag(&word(1)), flag(&word(2))), (Some(false), Some(true), None));
        for bad in [vec![], vec![1], vec![0; 31], vec![0; 33], vec![0; 64], [vec![1], vec![0; 31]].concat()] {
            assert_eq!(flag(&bad), None, "{bad:?}");
        }
        assert_eq!(amount(&[0; 31]), None);
        assert_eq!(amount(&word(7)), Amount::parse("7").ok());
        assert!(amount(&[0xff; 32]).is_some());
    }
}
