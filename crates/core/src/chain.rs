use std::fmt;
use std::sync::Arc;

/// A blockchain network, named by its CAIP-2 identifier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChainId {
    /// An EVM chain, `eip155:<decimal>`.
    Eip155(u64),
    /// A network of another family. Named so that it can be refused by name; nothing signs for it yet.
    Other(Arc<str>),
}

/// Why a text is not a [`ChainId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainIdError {
    /// Not `namespace:reference` as CAIP-2 defines it.
    #[error("not a CAIP-2 network such as `eip155:8453`")]
    NotCaip2,
    /// `eip155` with a reference that is not a canonical decimal within 64 bits.
    #[error("an eip155 network needs a plain decimal chain id, such as `eip155:8453`")]
    NotDecimal,
}

/// x402 v1 names and the chains they mean.
const V1_NAMES: [(&str, u64); 20] = [
    ("ethereum", 1),
    ("sepolia", 11_155_111),
    ("base", 8453),
    ("base-sepolia", 84532),
    ("polygon", 137),
    ("polygon-amoy", 80002),
    ("avalanche", 43114),
    ("avalanche-fuji", 43113),
    ("iotex", 4689),
    ("sei", 1329),
    ("sei-testnet", 1328),
    ("peaq", 3338),
    ("story", 1514),
    ("educhain", 41923),
    ("abstract", 2741),
    ("abstract-testnet", 11124),
    ("celo", 42220),
    ("megaeth", 4326),
    ("monad", 143),
    ("flare", 14),
];

impl ChainId {
    /// Reads a CAIP-2 identifier; `eip155` strictly with a canonical decimal reference.
    ///
    /// # Errors
    /// [`ChainIdError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, ChainIdError> {
        let (namespace, reference) = text.split_once(':').ok_or(ChainIdError::NotCaip2)?;
        let namespace_ok = (3..=8).contains(&namespace.len())
            && namespace.bytes().all(|b| b == b'-' || b.is_ascii_lowercase() || b.is_ascii_digit());
        let reference_ok = (1..=32).contains(&reference.len())
            && reference.bytes().all(|b| b == b'-' || b == b'_' || b.is_ascii_alphanumeric());
        if !namespace_ok || !reference_ok {
            return Err(ChainIdError::NotCaip2);
        }
        if namespace != "eip155" {
            return Ok(Self::Other(text.into()));
        }
        let canonical = reference.bytes().all(|b| b.is_ascii_digit()) && !reference.starts_with('0');
        let id = canonical.then(|| reference.parse().ok()).flatten().ok_or(ChainIdError::NotDecimal)?;
        Ok(Self::Eip155(id))
    }

    /// The chain an x402 v1 network name means, if it is a known one.
    #[must_use]
    pub fn from_v1_name(name: &str) -> Option<Self> {
        V1_NAMES.iter().find(|(known, _)| *known == name).map(|(_, id)| Self::Eip155(*id))
    }

    /// The name x402 v1 has for this chain, if it has one.
    #[must_use]
    pub fn v1_name(&self) -> Option<&'static str> {
        match self {
            Self::Eip155(id) => V1_NAMES.iter().find(|(_, known)| known == id).map(|(name, _)| *name),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eip155(id) => write!(f, "eip155:{id}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_caip2_is_a_network() {
        for text in ["", ":", "base", "eip155:", "eip155:1 ", "EIP155:1", "ei:1", "eip155:1:2", "eip155:１"]
        {
            assert_eq!(ChainId::parse(text), Err(ChainIdError::NotCaip2), "{text:?}");
        }
        for text in ["eip155:0", "eip155:01", "eip155:0x1", "eip155:-1", "eip155:99999999999999999999"] {
            assert_eq!(ChainId::parse(text), Err(ChainIdError::NotDecimal), "{text:?}");
        }
        for text in ["eip155:8453", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"] {
            assert_eq!(ChainId::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn v1_names_are_exact() {
        assert_eq!(ChainId::from_v1_name("base-sepolia"), Some(ChainId::Eip155(84532)));
        assert_eq!(ChainId::from_v1_name("Base"), None);
    }
}
