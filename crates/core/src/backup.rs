//! Who may open the backup of a wallet.

use std::fmt;
use std::sync::Arc;

use bech32::Bech32;
use bech32::primitives::decode::CheckedHrpstring;

/// What an age recipient of the kind X25519 begins with (C2SP age, "The X25519 recipient type").
const PREFIX: &str = "age";
/// Bytes of an X25519 public key.
const KEY_LEN: usize = 32;

/// Why a text is not a [`BackupRecipient`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an age recipient: write the line that `age-keygen` prints, `age1…`")]
pub struct BackupRecipientError(String);

/// The public half of an age identity (X25519), as `age-keygen` prints it: whoever has the other half opens the backup.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupRecipient(Arc<str>);

impl BackupRecipient {
    /// Reads a recipient. Its checksum must be right.
    ///
    /// # Errors
    /// [`BackupRecipientError`] for anything else, a secret identity included.
    pub fn parse(text: &str) -> Result<Self, BackupRecipientError> {
        let decoded = CheckedHrpstring::new::<Bech32>(text).ok();
        let is_key = |decoded: &CheckedHrpstring<'_>| {
            decoded.hrp().as_str() == PREFIX && decoded.byte_iter().count() == KEY_LEN
        };
        let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        match decoded.filter(is_key) {
            Some(_) if lower => Ok(Self(text.into())),
            // A secret that was pasted by mistake must not be repeated in an error.
            Some(_) | None => Err(BackupRecipientError(text.chars().take(8).chain("…".chars()).collect())),
        }
    }

    /// The recipient as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BackupRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the specification's own examples.
    const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

    #[test]
    fn only_a_public_key_with_its_checksum_is_a_recipient() {
        let upper = RECIPIENT.to_uppercase();
        let typo = RECIPIENT.replace("zvky", "zvkx");
        let secret = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
        for wrong in ["", "age1", "ssh-ed25519 AAAA", &upper, &typo, secret, &RECIPIENT[..61]] {
            let error = BackupRecipient::parse(wrong).unwrap_err().to_string();
            assert!(!error.contains("GFPYYSJZ"), "{error}");
        }
        assert_eq!(BackupRecipient::parse(RECIPIENT).unwrap().as_str(), RECIPIENT);
    }
}
