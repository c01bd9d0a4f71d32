use std::fmt;

use crate::ChainId;

/// An account or contract address on some family of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A 20-byte EVM address.
    Evm(EvmAddress),
}

/// A 20-byte EVM address, shown with its EIP-55 checksum.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EvmAddress([u8; 20]);

/// Why a text is not an [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not `0x` and forty hexadecimal digits.
    #[error("not an EVM address: write `0x` and 40 hexadecimal digits")]
    NotEvm,
    /// Mixed case that is not the EIP-55 checksum: most likely a typing error.
    #[error(
        "the upper and lower case do not match the EIP-55 checksum: copy the address again, or write it all in lower case"
    )]
    Checksum,
    /// A family of networks whose addresses are not understood.
    #[error("addresses of this network are not supported")]
    Family,
}

impl Address {
    /// Reads an address of the family `chain` belongs to.
    ///
    /// # Errors
    /// [`AddressError`] when the text is no address there.
    pub fn parse(chain: &ChainId, text: &str) -> Result<Self, AddressError> {
        match chain {
            ChainId::Eip155(_) => EvmAddress::parse(text).map(Self::Evm),
            ChainId::Other(_) => Err(AddressError::Family),
        }
    }
}

impl EvmAddress {
    /// The address nobody has.
    pub const ZERO: Self = Self([0; 20]);

    /// From its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 20] {
        self.0
    }

    /// Reads `0x` and forty hexadecimal digits: all lower case, all upper case, or with a correct EIP-55 checksum.
    ///
    /// # Errors
    /// [`AddressError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let digits = text.strip_prefix("0x").ok_or(AddressError::NotEvm)?;
        let mut bytes = [0; 20];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| AddressError::NotEvm)?;
        let address = Self(bytes);
        let has = |test: fn(&u8) -> bool| digits.as_bytes().iter().any(test);
        let mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
        if mixed && address.to_string() != text {
            return Err(AddressError::Checksum);
        }
        Ok(address)
    }

    pub(crate) fn to_alloy(self) -> alloy_primitives::Address {
        alloy_primitives::Address::from(self.0)
    }
}

impl From<EvmAddress> for Address {
    fn from(address: EvmAddress) -> Self {
        Self::Evm(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evm(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for EvmAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_alloy().to_checksum_buffer(None).as_str())
    }
}

impl fmt::Debug for EvmAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_evm_addresses_with_a_right_checksum_are_read() {
        let good = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";
        for text in [
            "",
            "0x",
            "036CbD53842c5426634e7929541eC2318f3dCF7e",
            "0X036cbd53842c5426634e7929541ec2318f3dcf7e",
        ] {
            assert_eq!(EvmAddress::parse(text), Err(AddressError::NotEvm), "{text:?}");
        }
        assert_eq!(EvmAddress::parse(&good.replace("Cb", "cB")), Err(AddressError::Checksum));
        for text in [good.to_owned(), good.to_lowercase(), format!("0x{}", good[2..].to_uppercase())] {
            assert_eq!(EvmAddress::parse(&text).unwrap().to_string(), good);
        }
        let solana = ChainId::parse("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp").unwrap();
        assert_eq!(Address::parse(&solana, good), Err(AddressError::Family));
    }
}
