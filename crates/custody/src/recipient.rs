use std::fmt;

use age::x25519;

use crate::CustodyError;

/// Somebody who can open what is sealed for them: the public key of an age X25519 identity, `age1…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    text: String,
    key: x25519::Recipient,
}

impl Recipient {
    /// Reads the `age1…` that `age-keygen` prints. Recipients of other kinds, of plugins and of SSH are refused.
    ///
    /// # Errors
    ///
    /// [`CustodyError::NotRecipient`] for every other text.
    pub fn parse(text: &str) -> Result<Self, CustodyError> {
        let key: x25519::Recipient = text.parse().map_err(|_| CustodyError::NotRecipient)?;
        let recipient = Self::from(key);
        if recipient.is_degenerate() { Err(CustodyError::NotRecipient) } else { Ok(recipient) }
    }

    /// The recipient as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What age encrypts for.
    pub(crate) fn as_age(&self) -> &x25519::Recipient {
        &self.key
    }

    /// Whether everybody shares a secret with this public key, because it is one of the few points of low order
    /// (RFC 7748, section 6.1). Nobody has the identity of one, and age panics when it is to encrypt for it.
    fn is_degenerate(&self) -> bool {
        let Ok((_, bytes)) = bech32::decode(&self.text) else { return true };
        let Ok(point) = <[u8; 32]>::try_from(bytes) else { return true };
        // Every secret is a multiple of eight, and eight times each of these points is zero: one secret tells.
        x25519_dalek::x25519([1; 32], point) == [0; 32]
    }
}

impl From<x25519::Recipient> for Recipient {
    fn from(key: x25519::Recipient) -> Self {
        Self { text: key.to_string(), key }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use age::secrecy::ExposeSecret as _;
    use bech32::{Bech32, Hrp};

    use super::*;

    fn encode(bytes: &[u8]) -> String {
        bech32::encode::<Bech32>(Hrp::parse("age").unwrap(), bytes).unwrap()
    }

    fn refused(text: &str) {
        assert!(matches!(Recipient::parse(text), Err(CustodyError::NotRecipient)), "{text}");
    }

    #[test]
    fn text_that_is_no_x25519_recipient_is_refused_without_quoting_it() {
        let identity = x25519::Identity::generate();
        let good = identity.to_public().to_string();
        let secret = identity.to_string();
        let secret = secret.expose_secret();
        for text in [
            "",
            "age1",
            secret,
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN",
            "age1yubikey1q2w7u3vpya839jxxuq8g0sedh3d740d4xvn639sqhr95ejj8vu3hyfumptt",
            &good[..61],
            &format!("{good} "),
            &format!("{good}q"),
            &good.replacen("age1", "agf1", 1),
            &encode(&[9; 31]),
            &encode(&[9; 33]),
        ] {
            refused(text);
        }
        assert!(!CustodyError::NotRecipient.to_string().contains(secret));
        assert_eq!(Recipient::parse(&good).unwrap().as_str(), good);
        assert_eq!(Recipient::parse(&good).unwrap().to_string(), good);
    }

    #[test]
    fn a_recipient_that_everybody_shares_a_secret_with_is_refused() {
        // The points of low order (https://cr.yp.to/ecdh.html#validate): zero, one, two of order eight, and p - 1, p
        // and p + 1 for p = 2^255 - 19; each with and without the topmost bit, which is not looked at.
        let near_p = |low: u8| {
            let mut point = [0xff; 32];
            (point[0], point[31]) = (low, 0x7f);
            point
        };
        let hex = |text: &str| <[u8; 32]>::try_from(hex::decode(text).unwrap()).unwrap();
        let mut one = [0; 32];
        one[0] = 1;
        for point in [
            [0; 32],
            one,
            hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
            hex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
            near_p(0xec),
            near_p(0xed),
            near_p(0xee),
        ] {
            let mut high = point;
            high[31] |= 0x80;
            refused(&encode(&point));
            refused(&encode(&high));
        }
    }
}
