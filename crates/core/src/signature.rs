use std::fmt;

/// A signature as it goes on the wire. Which key made it is not assumed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// secp256k1, 65 bytes `r‖s‖v`, low s, v ∈ {27, 28}.
    Evm([u8; 65]),
}

impl fmt::Display for Signature {
    /// `0x` and the bytes in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evm(bytes) => write!(f, "0x{}", hex::encode(bytes)),
        }
    }
}
