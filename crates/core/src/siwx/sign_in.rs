use super::message::{self, Message};
use super::{LIFETIME_SECS_DEFAULT, SignInField, SignInRefusal, fields};
use crate::{Address, ChainId, Digest, Origin, Signature, UnixSeconds};

/// Longest text that is signed, in bytes. In a header it grows by about half, and servers take headers of 16 KiB.
pub const TEXT_LEN_MAX: usize = 8 * 1024;

/// Whose way of asking and answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignInProfile {
    /// The x402 extension `sign-in-with-x`: the server asks, the answer carries the fields.
    Standard,
    /// Venice: the client asks itself, the answer carries the whole message.
    Venice,
}

/// What a [`SignIn`] is made of, to be recorded and read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInParts {
    /// Whose way of answering.
    pub profile: SignInProfile,
    /// Who asks: host, with its port unless that is the scheme's own.
    pub domain: String,
    /// Who signs in.
    pub address: Address,
    /// What the signer agrees to.
    pub statement: Option<String>,
    /// What for.
    pub uri: String,
    /// The network.
    pub chain: ChainId,
    /// What makes it single-use.
    pub nonce: String,
    /// When it was asked for, as received.
    pub issued_at: String,
    /// When it ends, as received.
    pub expiration_time: Option<String>,
    /// When it begins, as received.
    pub not_before: Option<String>,
    /// The server's name for the request.
    pub request_id: Option<String>,
    /// What else it is for.
    pub resources: Vec<String>,
    /// The server's hint at how it checks the signature, echoed in the header.
    pub signature_scheme: Option<String>,
}

/// A sign-in that is well-formed and about one origin: the value that is judged, recorded and signed.
///
/// There is no way to make one without its checks:
///
/// ```compile_fail,E0451
/// use pursekeeper_core::{UnixSeconds, siwx::{SignIn, SignInParts}};
/// fn forge(parts: SignInParts, text: String, issued_at: UnixSeconds) -> SignIn {
///     SignIn { parts, text, issued_at, expiration_time: None, not_before: None }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    parts: SignInParts,
    text: String,
    issued_at: UnixSeconds,
    expiration_time: Option<UnixSeconds>,
    not_before: Option<UnixSeconds>,
}

impl SignInProfile {
    /// The word used in policies and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Venice => "venice",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Standard, Self::Venice].into_iter().find(|value| value.as_str() == text)
    }
}

impl SignIn {
    /// Checks everything that does not depend on the call and the time: each field, that `uri` and `resources` are on one
    /// origin whose host and port is `domain`, and that the text reads back as these parts.
    ///
    /// # Errors
    /// [`SignInRefusal`] when the parts are none that [`super::SignInChallenge::validate`] lets through.
    pub fn from_parts(parts: SignInParts) -> Result<Self, SignInRefusal> {
        let times = check_fields(&parts)?;
        let chain_id = match &parts.chain {
            ChainId::Eip155(id) => *id,
            ChainId::Other(_) => return Err(SignInRefusal::Chain),
        };
        check_origin(&parts)?;
        let text = message::write(&parts, chain_id);
        if text.len() > TEXT_LEN_MAX {
            return Err(SignInRefusal::TooLong { len: text.len() });
        }
        if !Message::parse(&text).is_some_and(|message| message.says(&parts)) {
            return Err(SignInRefusal::NotReadBack);
        }
        let (issued_at, expiration_time, not_before) = times;
        Ok(Self { parts, text, issued_at, expiration_time, not_before })
    }

    /// What it is made of.
    #[must_use]
    pub fn parts(&self) -> &SignInParts {
        &self.parts
    }

    /// The EIP-4361 text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The EIP-191 digest the wallet signs.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(alloy_primitives::eip191_hash_message(&self.text).0)
    }

    /// When it was asked for.
    #[must_use]
    pub fn issued_at(&self) -> UnixSeconds {
        self.issued_at
    }

    /// When it ends: the time in it, or, if it has none, the age at which servers stop accepting it.
    #[must_use]
    pub fn expires_at(&self) -> UnixSeconds {
        self.expiration_time.unwrap_or(self.issued_at.plus(LIFETIME_SECS_DEFAULT))
    }

    /// When it begins, if it says so.
    #[must_use]
    pub fn not_before(&self) -> Option<UnixSeconds> {
        self.not_before
    }

    /// The request headers that carry the sign-in, names and values.
    #[must_use]
    pub fn headers(&self, signature: Signature) -> Vec<(&'static str, String)> {
        super::header::write(self, signature)
    }
}

type Times = (UnixSeconds, Option<UnixSeconds>, Option<UnixSeconds>);

fn check_fields(parts: &SignInParts) -> Result<Times, SignInRefusal> {
    let SignInParts {
        profile: _,
        domain,
        address: _,
        statement,
        uri,
        chain: _,
        nonce,
        issued_at,
        expiration_time,
        not_before,
        request_id,
        resources,
        signature_scheme,
    } = parts;
    fields::domain(domain)?;
    statement.as_deref().map_or(Ok(()), fields::statement)?;
    fields::uri(SignInField::Uri, uri)?;
    fields::nonce(nonce)?;
    let issued_at = fields::time(SignInField::IssuedAt, issued_at)?;
    let expiration_time = fields::optional_time(SignInField::ExpirationTime, expiration_time.as_deref())?;
    let not_before = fields::optional_time(SignInField::NotBefore, not_before.as_deref())?;
    request_id.as_deref().map_or(Ok(()), fields::request_id)?;
    if resources.len() > fields::RESOURCES_MAX {
        return Err(SignInRefusal::Field(SignInField::Resources));
    }
    resources.iter().try_for_each(|resource| fields::uri(SignInField::Resources, resource))?;
    if signature_scheme.as_deref().is_some_and(|scheme| scheme != "eip191") {
        return Err(SignInRefusal::Field(SignInField::SignatureScheme));
    }
    Ok((issued_at, expiration_time, not_before))
}

fn check_origin(parts: &SignInParts) -> Result<(), SignInRefusal> {
    let refuse = |field, origin: String| Err(SignInRefusal::Origin { field, origin });
    let Ok(origin) = Origin::parse(&parts.uri) else {
        return refuse(SignInField::Uri, format!("https://{}", parts.domain));
    };
    if fields::authority(&origin) != parts.domain || !fields::is_on(&parts.uri, &origin) {
        return refuse(SignInField::Uri, format!("{}://{}", origin.scheme(), parts.domain));
    }
    if !parts.resources.iter().all(|resource| fields::is_on(resource, &origin)) {
        return refuse(SignInField::Resources, origin.to_string());
    }
    Ok(())
}
