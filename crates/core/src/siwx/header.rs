use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{SignIn, SignInParts, SignInProfile};
use crate::{ChainId, Signature};

/// The name the specification gives the header.
const NAME: &str = "SIGN-IN-WITH-X";
/// The name Venice's older client uses.
const NAME_VENICE: &str = "X-Sign-In-With-X";
const SIGNATURE_TYPE: &str = "eip191";

/// Sorted by name: a retry sends the same bytes, whatever this was built with.
type Fields = BTreeMap<String, Value>;

pub(super) fn write(sign_in: &SignIn, signature: Signature) -> Vec<(&'static str, String)> {
    match sign_in.parts().profile {
        SignInProfile::Standard => vec![(NAME, encode(fields(sign_in.parts(), signature)))],
        SignInProfile::Venice => {
            let value = encode(message(sign_in, signature));
            vec![(NAME, value.clone()), (NAME_VENICE, value)]
        }
    }
}

/// The fields, from which the server builds the message again: each as it was received, and what was absent stays absent.
fn fields(parts: &SignInParts, signature: Signature) -> Fields {
    let SignInParts {
        profile: _,
        domain,
        address,
        statement,
        uri,
        chain,
        nonce,
        issued_at,
        expiration_time,
        not_before,
        request_id,
        resources,
        signature_scheme,
    } = parts;
    let always = [
        ("domain", domain.clone()),
        ("address", address.to_string()),
        ("uri", uri.clone()),
        ("version", "1".to_owned()),
        ("chainId", chain.to_string()),
        ("type", SIGNATURE_TYPE.to_owned()),
        ("nonce", nonce.clone()),
        ("issuedAt", issued_at.clone()),
        ("signature", signature.to_string()),
    ];
    let optional = [
        ("statement", statement),
        ("expirationTime", expiration_time),
        ("notBefore", not_before),
        ("requestId", request_id),
        ("signatureScheme", signature_scheme),
    ];
    let optional = optional.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
    let mut object: Fields =
        always.into_iter().chain(optional).map(|(name, value)| (name.to_owned(), value.into())).collect();
    if !resources.is_empty() {
        object.insert("resources".to_owned(), resources.clone().into());
    }
    object
}

/// The whole message, as Venice reads it; its chain id is a number, its time in milliseconds.
fn message(sign_in: &SignIn, signature: Signature) -> Fields {
    let chain_id = match &sign_in.parts().chain {
        ChainId::Eip155(id) => Value::from(*id),
        ChainId::Other(text) => Value::from(text.as_ref()),
    };
    let object = [
        ("address", sign_in.parts().address.to_string().into()),
        ("message", sign_in.text().into()),
        ("signature", signature.to_string().into()),
        ("chainId", chain_id),
        ("timestamp", sign_in.issued_at().0.saturating_mul(1000).into()),
        ("type", SIGNATURE_TYPE.into()),
    ];
    object.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn encode(object: Fields) -> String {
    STANDARD.encode(Value::from_iter(object).to_string())
}
