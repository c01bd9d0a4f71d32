//! Ethereum JSON-RPC values, read strictly: what a lenient reader guesses, two readers guess differently.
//!
//! <https://ethereum.github.io/execution-apis/>

use pursekeeper_core::UnixSeconds;
use serde::Deserialize;

use super::question::Block;

/// A number: `0x` and the shortest hexadecimal form that fits 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Quantity(pub(super) u64);

/// Exactly `N` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Fixed<const N: usize>(pub(super) [u8; N]);

/// Any number of bytes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Bytes(pub(super) Vec<u8>);

/// Of a block, what we use.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct RawBlock {
    number: Quantity,
    hash: Fixed<32>,
    timestamp: Quantity,
}

/// A log, in a list of logs or in a receipt.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Log {
    pub(super) address: Fixed<20>,
    pub(super) topics: Vec<Fixed<32>>,
    pub(super) data: Bytes,
    pub(super) block_number: Quantity,
    pub(super) block_hash: Fixed<32>,
    pub(super) transaction_hash: Fixed<32>,
    pub(super) log_index: Quantity,
    pub(super) removed: bool,
}

/// Of a receipt, what we use.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receipt {
    pub(super) transaction_hash: Fixed<32>,
    pub(super) block_number: Quantity,
    pub(super) block_hash: Fixed<32>,
    pub(super) status: Quantity,
    pub(super) logs: Vec<Log>,
}

/// A number as a node wants it.
pub(super) fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

/// Bytes as a node wants them.
pub(super) fn bytes(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

impl From<RawBlock> for Block {
    fn from(raw: RawBlock) -> Self {
        let RawBlock { number: Quantity(number), hash: Fixed(hash), timestamp: Quantity(timestamp) } = raw;
        Self { number, hash, timestamp: UnixSeconds(timestamp) }
    }
}

impl TryFrom<String> for Quantity {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.strip_prefix("0x").ok_or("a quantity without 0x")?;
        let canonical = digits == "0" || !(digits.is_empty() || digits.starts_with('0'));
        // `from_str_radix` would take a sign.
        if !canonical || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err("a quantity that is not plain hexadecimal");
        }
        u64::from_str_radix(digits, 16).map(Self).map_err(|_| "a quantity of more than 64 bits")
    }
}

impl<const N: usize> TryFrom<String> for Fixed<N> {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.strip_prefix("0x").ok_or("bytes without 0x")?;
        let mut bytes = [0; N];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| "bytes of another length or not hexadecimal")?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Bytes {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.strip_prefix("0x").ok_or("bytes without 0x")?;
        hex::decode(digits).map(Self).map_err(|_| "bytes that are not hexadecimal")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_quantities_are_numbers() {
        for text in [
            "",
            "0x",
            "1",
            "0x01",
            "0x00",
            "0x-1",
            "0x+1",
            "0X1",
            "0x 1",
            "0x1g",
            "1x0",
            "0x10000000000000000",
        ] {
            assert!(Quantity::try_from(text.to_owned()).is_err(), "{text:?}");
        }
        for (text, number) in [("0x0", 0), ("0xff", 255), ("0xFF", 255), ("0xffffffffffffffff", u64::MAX)] {
            assert_eq!(Quantity::try_from(text.to_owned()), Ok(Quantity(number)));
        }
        assert!(serde_json::from_str::<Quantity>("1").is_err(), "a JSON number is none");
        assert!(serde_json::from_str::<Quantity>("null").is_err());
    }

    #[test]
    fn bytes_have_the_length_asked_for() {
        for text in ["", "0x", "0x1", "0x123", "0xzz00", "1234", "0x123456"] {
            assert!(Fixed::<2>::try_from(text.to_owned()).is_err(), "{text:?}");
        }
        assert_eq!(Fixed::<2>::try_from("0x12aB".to_owned()), Ok(Fixed([0x12, 0xab])));
        assert_eq!(Bytes::try_from("0x".to_owned()), Ok(Bytes(Vec::new())));
        assert!(Bytes::try_from("0x1".to_owned()).is_err());
    }

    #[test]
    fn a_log_needs_every_field_once() {
        let hash = format!("0x{}", "11".repeat(32));
        let log = format!(
            r#"{{"address":"0x{}","topics":[],"data":"0x","blockNumber":"0x1","blockHash":"{hash}","transactionHash":"{hash}","logIndex":"0x0","removed":false}}"#,
            "22".repeat(20)
        );
        assert!(serde_json::from_str::<Log>(&log).is_ok());
        for (from, to) in [
            (r#","removed":false"#, ""),
            (r#""removed":false"#, r#""removed":null"#),
            (r#""removed":false"#, r#""removed":false,"removed":false"#),
            (r#""blockNumber":"0x1""#, r#""blockNumber":null"#),
            (r#""topics":[]"#, r#""topics":["0x1"]"#),
        ] {
            let bad = log.replace(from, to);
            assert_ne!(bad, log);
            assert!(serde_json::from_str::<Log>(&bad).is_err(), "{bad}");
        }
    }
}
