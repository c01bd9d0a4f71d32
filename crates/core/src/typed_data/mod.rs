//! EIP-712 typed data that an app built itself: the structures we sign, read field by field, and no others.
//!
//! Nothing of the text is signed. What is read here is judged like an offer, and the digest is computed anew from what
//! was judged.

mod fields;

#[cfg(test)]
mod tests;

use sha2::{Digest as _, Sha256};

use crate::x402::{JsonError, OfferRefusal, Scheme, Terms};
use crate::{
    Address, Amount, AssetId, ChainId, DenyCode, Digest, EXACT_PROXY, EvmAddress, PERMIT2, TransferMethod,
    UPTO_PROXY, UnixSeconds, domain_separator, permit_digest, permit2_domain_separator,
};

use crate::intent::payment_digest;
use crate::quote::quoted;
use fields::{Reader, Shape};

/// Longest typed data, in bytes as received.
pub const TYPED_DATA_LEN_MAX: usize = 16 * 1024;

/// Typed data, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypedData {
    /// A payment.
    Payment(TypedPayment),
    /// An EIP-2612 permit for Permit2.
    Permit(TypedPermit),
}

/// A payment as an app wants it signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedPayment {
    /// Whose signature it has to be, where the structure says so.
    pub from: Option<Address>,
    /// What is paid to whom.
    pub terms: Terms,
    /// The asset's EIP-712 name and version, where the structure is of the asset's domain.
    pub asset_domain: Option<(String, String)>,
    /// Void before this.
    pub valid_after: UnixSeconds,
    /// Dead from this on.
    pub valid_before: UnixSeconds,
    /// The app's own.
    pub nonce: [u8; 32],
}

/// An allowance as an app wants it signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedPermit {
    /// Whose signature it has to be.
    pub owner: Address,
    /// The token.
    pub asset: AssetId,
    /// Its EIP-712 name and version, as the app says.
    pub asset_domain: (String, String),
    /// How much Permit2 may move.
    pub value: Amount,
    /// The owner's next nonce in the token.
    pub nonce: Amount,
    /// The last second in which the token takes it.
    pub deadline: UnixSeconds,
}

/// Why typed data is malformed. Nothing is judged and nothing is signed.
#[derive(Debug, thiserror::Error)]
pub enum TypedDataError {
    /// Longer than [`TYPED_DATA_LEN_MAX`].
    #[error("the typed data is longer than {TYPED_DATA_LEN_MAX} bytes")]
    TooLarge,
    /// Not acceptable JSON.
    #[error("the typed data is {0}")]
    Json(#[from] JsonError),
    /// A field is missing or wrong.
    #[error("`{path}` {problem}")]
    Field {
        /// Where, such as `message.value`.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// A field of a structure: its name and type.
type Field = (&'static str, &'static str);

const TRANSFER: Shape = Shape {
    primary: "TransferWithAuthorization",
    structs: &[(
        "TransferWithAuthorization",
        &[
            ("from", "address"),
            ("to", "address"),
            ("value", "uint256"),
            ("validAfter", "uint256"),
            ("validBefore", "uint256"),
            ("nonce", "bytes32"),
        ],
    )],
    domain: ASSET_DOMAIN,
};
const PERMIT: Shape = Shape {
    primary: "Permit",
    structs: &[(
        "Permit",
        &[
            ("owner", "address"),
            ("spender", "address"),
            ("value", "uint256"),
            ("nonce", "uint256"),
            ("deadline", "uint256"),
        ],
    )],
    domain: ASSET_DOMAIN,
};
const EXACT: Shape = Shape {
    primary: "PermitWitnessTransferFrom",
    structs: &[
        ("PermitWitnessTransferFrom", PERMIT_WITNESS),
        ("TokenPermissions", TOKEN_PERMISSIONS),
        ("Witness", &[("to", "address"), ("validAfter", "uint256")]),
    ],
    domain: PERMIT2_DOMAIN,
};
const UPTO: Shape = Shape {
    primary: "PermitWitnessTransferFrom",
    structs: &[
        ("PermitWitnessTransferFrom", PERMIT_WITNESS),
        ("TokenPermissions", TOKEN_PERMISSIONS),
        ("Witness", &[("to", "address"), ("facilitator", "address"), ("validAfter", "uint256")]),
    ],
    domain: PERMIT2_DOMAIN,
};
const PERMIT_WITNESS: &[Field] = &[
    ("permitted", "TokenPermissions"),
    ("spender", "address"),
    ("nonce", "uint256"),
    ("deadline", "uint256"),
    ("witness", "Witness"),
];
const TOKEN_PERMISSIONS: &[Field] = &[("token", "address"), ("amount", "uint256")];
const ASSET_DOMAIN: &[Field] =
    &[("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address")];
const PERMIT2_DOMAIN: &[Field] =
    &[("name", "string"), ("chainId", "uint256"), ("verifyingContract", "address")];

impl TypedData {
    /// Reads typed data as `eth_signTypedData_v4` takes it. What is well-formed and nothing we sign is a refusal.
    ///
    /// # Errors
    /// [`TypedDataError`] when it is malformed.
    pub fn read(json: &str) -> Result<Result<Self, OfferRefusal>, TypedDataError> {
        if json.len() > TYPED_DATA_LEN_MAX {
            return Err(TypedDataError::TooLarge);
        }
        let reader = Reader::parse(json)?;
        for (shape, read) in [
            (&TRANSFER, transfer as fn(&Reader<'_>) -> _),
            (&PERMIT, permit),
            (&EXACT, permit2_exact),
            (&UPTO, permit2_upto),
        ] {
            if reader.has_shape(shape)? {
                return read(&reader);
            }
        }
        Ok(Err(refusal(format!("{} is no structure that is signed here", quoted(reader.primary()?)))))
    }
}

impl TypedData {
    /// The digest the app would have signed, in the domain it named: what makes two texts the same request.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Payment(TypedPayment { from, terms, asset_domain, valid_after, valid_before, nonce }) => {
                let domain = match asset_domain {
                    Some((name, version)) => domain_separator(&terms.asset, name, version),
                    None => permit2_domain_separator(&terms.asset.network),
                };
                // Without a `from` the payer is no part of what is signed.
                let from = from.unwrap_or(Address::Evm(EvmAddress::ZERO));
                payment_digest(domain, from, terms, (*valid_after, *valid_before), *nonce)
            }
            Self::Permit(TypedPermit {
                owner,
                asset,
                asset_domain: (name, version),
                value,
                nonce,
                deadline,
            }) => {
                let Address::Evm(owner) = *owner;
                permit_digest(domain_separator(asset, name, version), owner, *value, *nonce, *deadline)
            }
        }
    }
}

/// The id of a request for a signature over typed data: the same data is the same request, however it is written. What is
/// refused anyway goes by its text.
#[must_use]
pub fn request_id(content: &Result<TypedData, OfferRefusal>, json: &str) -> String {
    let digest = match content {
        Ok(data) => data.digest(),
        Err(_) => Digest(Sha256::digest(json).into()),
    };
    format!("typed-data.{digest}")
}

fn refusal(what: String) -> OfferRefusal {
    OfferRefusal { code: DenyCode::TypedDataUnsupported, what }
}

type Read = Result<Result<TypedData, OfferRefusal>, TypedDataError>;

/// EIP-3009, in the domain of the asset.
fn transfer(reader: &Reader<'_>) -> Read {
    let (asset, asset_domain) = asset_domain(reader)?;
    let message = reader.object("message")?;
    Ok(Ok(TypedData::Payment(TypedPayment {
        from: Some(message.address("from")?),
        terms: Terms {
            scheme: Scheme::Exact,
            method: TransferMethod::Eip3009,
            asset,
            payee: message.address("to")?,
            amount: message.amount("value")?,
        },
        asset_domain: Some(asset_domain),
        valid_after: message.seconds("validAfter")?,
        valid_before: message.seconds("validBefore")?,
        nonce: message.bytes32("nonce")?,
    })))
}

/// EIP-2612, in the domain of the asset.
fn permit(reader: &Reader<'_>) -> Read {
    let (asset, asset_domain) = asset_domain(reader)?;
    let message = reader.object("message")?;
    let spender = message.address("spender")?;
    if spender != Address::Evm(PERMIT2) {
        return Ok(Err(refusal(format!("a permit for `{spender}`, which is not Permit2, is not signed"))));
    }
    Ok(Ok(TypedData::Permit(TypedPermit {
        owner: message.address("owner")?,
        asset,
        asset_domain,
        value: message.amount("value")?,
        nonce: message.amount("nonce")?,
        deadline: message.seconds("deadline")?,
    })))
}

fn permit2_exact(reader: &Reader<'_>) -> Read {
    permit2(reader, EXACT_PROXY, |_| Ok(Scheme::Exact))
}

fn permit2_upto(reader: &Reader<'_>) -> Read {
    permit2(reader, UPTO_PROXY, |witness| Ok(Scheme::Upto { facilitator: witness.address("facilitator")? }))
}

/// Permit2, in its own domain, for the contract of the scheme.
fn permit2(
    reader: &Reader<'_>,
    proxy: EvmAddress,
    scheme: impl Fn(&fields::Object<'_, '_>) -> Result<Scheme, TypedDataError>,
) -> Read {
    let domain = reader.object("domain")?;
    let (network, contract) = (domain.network()?, domain.address("verifyingContract")?);
    if domain.text("name")? != "Permit2" || contract != Address::Evm(PERMIT2) {
        return Ok(Err(refusal(format!("the domain of `{contract}` is not that of Permit2"))));
    }
    let message = reader.object("message")?;
    let spender = message.address("spender")?;
    if spender != Address::Evm(proxy) {
        return Ok(Err(refusal(format!("`{spender}` is not the x402 contract of this structure"))));
    }
    let (permitted, witness) = (message.object("permitted")?, message.object("witness")?);
    let deadline = message.seconds("deadline")?;
    // The payment is dead in the second after it, and after this one there is none.
    if deadline == UnixSeconds(u64::MAX) {
        let problem = "is no time: at most 2^64-2 seconds".to_owned();
        return Err(TypedDataError::Field { path: "message.deadline".to_owned(), problem });
    }
    Ok(Ok(TypedData::Payment(TypedPayment {
        from: None,
        terms: Terms {
            scheme: scheme(&witness)?,
            method: TransferMethod::Permit2,
            asset: AssetId { network, address: permitted.address("token")? },
            payee: witness.address("to")?,
            amount: permitted.amount("amount")?,
        },
        asset_domain: None,
        valid_after: witness.seconds("validAfter")?,
        valid_before: deadline.plus(1),
        nonce: message.amount("nonce")?.to_be_bytes(),
    })))
}

/// The asset whose domain it is, and how the app names it.
fn asset_domain(reader: &Reader<'_>) -> Result<(AssetId, (String, String)), TypedDataError> {
    let domain = reader.object("domain")?;
    let network: ChainId = domain.network()?;
    let asset = AssetId { network, address: domain.address("verifyingContract")? };
    Ok((asset, (domain.text("name")?.to_owned(), domain.text("version")?.to_owned())))
}
