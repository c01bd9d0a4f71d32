//! The calls and events of tokens and of Permit2, as bytes.

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

mod permit2 {
    alloy_sol_types::sol! {
        /// One bit for each nonce that is spent: its upper 248 bits name the word, its lower 8 the bit.
        function nonceBitmap(address owner, uint256 word) external view returns (uint256);
        /// The owner voids the nonces in `mask`. A payment that spends one says nothing.
        event UnorderedNonceInvalidation(address indexed owner, uint256 word, uint256 mask);
    }
}

/// The first topic of EIP-3009's `AuthorizationUsed`.
pub(super) const AUTHORIZATION_USED: [u8; 32] = token::AuthorizationUsed::SIGNATURE_HASH.0;
/// The first topic of EIP-3009's `AuthorizationCanceled`.
pub(super) const AUTHORIZATION_CANCELED: [u8; 32] = token::AuthorizationCanceled::SIGNATURE_HASH.0;
/// The first topic of ERC-20's `Transfer`.
pub(super) const TRANSFER: [u8; 32] = token::Transfer::SIGNATURE_HASH.0;

/// The first topic of Permit2's `UnorderedNonceInvalidation`.
pub(super) const UNORDERED_NONCE_INVALIDATION: [u8; 32] =
    permit2::UnorderedNonceInvalidation::SIGNATURE_HASH.0;

/// Whether an authorization was used or cancelled.
pub(super) fn authorization_state(authorizer: EvmAddress, nonce: [u8; 32]) -> Vec<u8> {
    token::authorizationStateCall { authorizer: alloy(authorizer), nonce: nonce.into() }.abi_encode()
}

/// The word of Permit2's bitmap with the bit of a nonce.
pub(super) fn nonce_bitmap(owner: EvmAddress, nonce: [u8; 32]) -> Vec<u8> {
    permit2::nonceBitmapCall { owner: alloy(owner), word: word_of(nonce) }.abi_encode()
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

/// Whether one word of Permit2's bitmap has the bit of a nonce.
pub(super) fn has_bit(bytes: &[u8], nonce: [u8; 32]) -> Option<bool> {
    let word = U256::from_be_bytes(<[u8; 32]>::try_from(bytes).ok()?);
    let [.., bit] = nonce;
    Some(word.bit(usize::from(bit)))
}

/// Whether the data of an `UnorderedNonceInvalidation` voids a nonce: a word's number, and a mask of its bits.
pub(super) fn voids(data: &[u8], nonce: [u8; 32]) -> Option<bool> {
    let (word, mask) = data.split_at_checked(32)?;
    let word = U256::from_be_bytes(<[u8; 32]>::try_from(word).ok()?);
    has_bit(mask, nonce).map(|bit| bit && word == word_of(nonce))
}

/// One word that is an amount.
pub(super) fn amount(bytes: &[u8]) -> Option<Amount> {
    let word = U256::from_be_bytes(<[u8; 32]>::try_from(bytes).ok()?);
    Amount::parse(&word.to_string()).ok()
}

/// Which word of Permit2's bitmap has the bit of a nonce.
fn word_of(nonce: [u8; 32]) -> U256 {
    U256::from_be_bytes(nonce).wrapping_shr(8)
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

    /// Against numbers computed elsewhere, with viem from Permit2's verified contract.
    #[test]
    fn permit2_is_asked_for_the_word_of_the_nonce() {
        let hex = |bytes: &[u8]| hex::encode(bytes);
        assert_eq!(
            hex(&UNORDERED_NONCE_INVALIDATION),
            "3704902f963766a4e561bbaab6e6cdc1b1dd12f6e9e99648da8843b3f46b918d"
        );
        let mut nonce = [0xab; 32];
        nonce[31] = 9;
        let call = nonce_bitmap(EvmAddress::from_bytes([1; 20]), nonce);
        let (owner, word) = (format!("{}{}", "00".repeat(12), "01".repeat(20)), "ab".repeat(31));
        assert_eq!(hex(&call), format!("4fe02b44{owner}00{word}"));
    }

    #[test]
    fn a_nonce_is_one_bit_of_its_word() {
        let nonce = |bit: u8| [[7; 31].as_slice(), &[bit]].concat().try_into().unwrap();
        let mask = |bit: usize| (U256::from(1).wrapping_shl(bit)).to_be_bytes::<32>();
        for bit in [0, 1, 7, 8, 127, 128, 255] {
            let nonce = nonce(bit);
            for other in 0..=255 {
                assert_eq!(has_bit(&mask(other), nonce), Some(other == usize::from(bit)), "{other} {bit}");
            }
            assert_eq!((has_bit(&[0; 32], nonce), has_bit(&[0xff; 32], nonce)), (Some(false), Some(true)));
            // The word of another nonce, or a mask without the bit, voids another.
            let word: [u8; 32] = word_of(nonce).to_be_bytes();
            assert_eq!(word, [[0].as_slice(), &[7; 31]].concat().as_slice());
            let all = [word, [0xff; 32]].concat();
            assert_eq!(voids(&all, nonce), Some(true));
            assert_eq!(voids(&[word, mask(usize::from(bit))].concat(), nonce), Some(true));
            assert_eq!(voids(&[word, mask(usize::from(bit ^ 1))].concat(), nonce), Some(false));
            assert_eq!(voids(&[[0; 32], [0xff; 32]].concat(), nonce), Some(false));
            for bad in [&all[..0], &all[..32], &all[..63], &[all.as_slice(), &[0]].concat()] {
                assert_eq!(voids(bad, nonce), None, "{bad:?}");
            }
        }
        for bad in [vec![], vec![1], vec![0xff; 31], vec![0xff; 33], vec![0xff; 64]] {
            assert_eq!(has_bit(&bad, [0; 32]), None, "{bad:?}");
        }
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
