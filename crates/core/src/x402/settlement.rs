use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::json::{JsonError, Node};
use crate::Claim;

/// Longest settlement header, in bytes as received.
pub const SETTLEMENT_LEN_MAX: usize = 16 * 1024;

/// Why a settlement header says nothing.
#[derive(Debug, thiserror::Error)]
pub enum SettlementError {
    /// Longer than [`SETTLEMENT_LEN_MAX`].
    #[error("the settlement is longer than {SETTLEMENT_LEN_MAX} bytes")]
    TooLarge,
    /// Not standard padded base64 of UTF-8.
    #[error("the settlement is not base64 of text: pass the PAYMENT-RESPONSE header exactly as received")]
    NotText,
    /// Not acceptable JSON.
    #[error("the settlement is {0}")]
    Json(#[from] JsonError),
    /// No `success`.
    #[error("`success` must be true or false")]
    Success,
}

impl Claim {
    /// Reads the value of a `PAYMENT-RESPONSE` (v2) or `X-PAYMENT-RESPONSE` (v1) header: the seller's words, which the
    /// agent passes on, and proof of nothing.
    ///
    /// # Errors
    /// [`SettlementError`] when it says nothing.
    pub fn from_settlement(header: &[u8]) -> Result<Self, SettlementError> {
        if header.len() > SETTLEMENT_LEN_MAX {
            return Err(SettlementError::TooLarge);
        }
        let json = STANDARD.decode(header).map_err(|_| SettlementError::NotText)?;
        let text = std::str::from_utf8(&json).map_err(|_| SettlementError::NotText)?;
        let root = Node::parse(text)?;
        let word = |key: &str| root.get(key).and_then(Node::as_str).filter(|word| !word.is_empty());
        match root.get("success").map(Node::raw) {
            Some("true") => Ok(Self::settled(word("transaction"))),
            Some("false") => Ok(Self::failed(word("errorReason").unwrap_or_default())),
            Some(_) | None => Err(SettlementError::Success),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Claim, SettlementError> {
        Claim::from_settlement(STANDARD.encode(json).as_bytes())
    }

    #[test]
    fn only_a_settlement_is_a_claim() {
        let wrong = [
            "",
            "{",
            "[]",
            "null",
            "{}",
            r#"{"success":"true"}"#,
            r#"{"success":1}"#,
            r#"{"success":true,"success":false}"#,
        ];
        for json in wrong {
            assert!(read(json).is_err(), "{json}");
        }
        assert!(matches!(Claim::from_settlement(b"{}"), Err(SettlementError::NotText)));
        let long = vec![b'a'; SETTLEMENT_LEN_MAX + 1];
        assert!(matches!(Claim::from_settlement(&long), Err(SettlementError::TooLarge)));
    }

    #[test]
    fn the_sellers_words_are_kept() {
        let table = [
            (r#"{"success":true,"transaction":"0xab","network":"base"}"#, Claim::settled(Some("0xab"))),
            (r#"{"success":true,"transaction":""}"#, Claim::settled(None)),
            (r#"{"success":false,"errorReason":"insufficient_funds"}"#, Claim::failed("insufficient_funds")),
            (r#"{"success":false}"#, Claim::failed("the seller gives no reason")),
        ];
        for (json, expected) in table {
            assert_eq!(read(json).unwrap(), expected, "{json}");
        }
    }
}
