//! Reading typed data: which structure it is, and its fields.

use super::{Field, TypedDataError};
use crate::x402::json::Node;
use crate::{Address, Amount, ChainId, EvmAddress, UnixSeconds};

/// What the type of the domain is called among the types.
const DOMAIN_TYPE: &str = "EIP712Domain";

/// One structure we sign: its types, exactly, and its domain's.
pub(super) struct Shape {
    pub(super) primary: &'static str,
    pub(super) structs: &'static [(&'static str, &'static [Field])],
    pub(super) domain: &'static [Field],
}

/// The whole of the typed data.
pub(super) struct Reader<'a> {
    root: Node<'a>,
}

/// One object in it, with its path.
pub(super) struct Object<'n, 'a> {
    path: &'static str,
    node: &'n Node<'a>,
}

impl<'a> Reader<'a> {
    pub(super) fn parse(json: &'a str) -> Result<Self, TypedDataError> {
        let root = Node::parse(json)?;
        for key in ["domain", "types", "message"] {
            if !root.get(key).is_some_and(Node::is_object) {
                return Err(wrong(key, "", "must be an object"));
            }
        }
        Ok(Self { root })
    }

    /// The name of the structure that is to be signed.
    pub(super) fn primary(&self) -> Result<&str, TypedDataError> {
        let primary = self.root.get("primaryType").and_then(Node::as_str);
        primary.ok_or_else(|| wrong("primaryType", "", "must be a string"))
    }

    /// Whether the types are exactly those of `shape`, and domain and message have exactly their fields.
    pub(super) fn has_shape(&self, shape: &Shape) -> Result<bool, TypedDataError> {
        if self.primary()? != shape.primary {
            return Ok(false);
        }
        let types = self.object("types")?.node.members();
        let expected = |name: &str| {
            let found = shape.structs.iter().find(|(expected, _)| *expected == name);
            found.map(|(_, fields)| *fields).or((name == DOMAIN_TYPE).then_some(shape.domain))
        };
        let all = shape.structs.iter().all(|(name, _)| types.iter().any(|(found, _)| found == name));
        let only =
            types.iter().all(|(name, fields)| expected(name).is_some_and(|wanted| are(fields, wanted)));
        Ok(all && only && self.has_only(shape))
    }

    /// Whether nothing is said that is not signed: an app that is shown other fields than are signed was deceived.
    fn has_only(&self, shape: &Shape) -> bool {
        let top = self.root.members().iter();
        let top = top.map(|(name, _)| name.as_str());
        let known = ["domain", "types", "primaryType", "message"];
        let domain = self.root.get("domain").is_some_and(|domain| has_fields(domain, shape.domain));
        top.into_iter().all(|name| known.contains(&name)) && domain && self.message_has_only(shape)
    }

    fn message_has_only(&self, shape: &Shape) -> bool {
        let fields_of =
            |name: &str| shape.structs.iter().find(|(of, _)| *of == name).map(|(_, fields)| *fields);
        let (Some(message), Some(fields)) = (self.root.get("message"), fields_of(shape.primary)) else {
            return false;
        };
        let nested = fields.iter().filter_map(|(name, kind)| Some((*name, fields_of(kind)?)));
        has_fields(message, fields)
            && nested
                .into_iter()
                .all(|(name, fields)| message.get(name).is_some_and(|node| has_fields(node, fields)))
    }

    pub(super) fn object(&self, key: &'static str) -> Result<Object<'_, 'a>, TypedDataError> {
        let node = self.root.get(key).ok_or_else(|| wrong(key, "", "must be an object"))?;
        Ok(Object { path: key, node })
    }
}

/// Whether a list of types is `[{"name": …, "type": …}]` for exactly these fields, in order.
fn are(list: &Node<'_>, wanted: &[Field]) -> bool {
    let Some(items) = list.as_array() else { return false };
    let same = |(item, (name, kind)): (&Node<'_>, &Field)| {
        let said = |key| item.get(key).and_then(Node::as_str);
        said("name") == Some(name) && said("type") == Some(kind)
    };
    items.len() == wanted.len() && items.iter().zip(wanted).all(same)
}

/// Whether an object has exactly these fields, in any order.
fn has_fields(object: &Node<'_>, wanted: &[Field]) -> bool {
    let members = object.members();
    members.len() == wanted.len()
        && wanted.iter().all(|(name, _)| members.iter().any(|(found, _)| found == name))
}

fn wrong(path: &str, field: &str, problem: &str) -> TypedDataError {
    let dot = if field.is_empty() { "" } else { "." };
    TypedDataError::Field { path: format!("{path}{dot}{field}"), problem: problem.to_owned() }
}

impl<'n, 'a> Object<'n, 'a> {
    fn field(&self, name: &'static str) -> Result<&'n Node<'a>, TypedDataError> {
        self.node.get(name).ok_or_else(|| wrong(self.path, name, "is missing"))
    }

    pub(super) fn object(&self, name: &'static str) -> Result<Object<'n, 'a>, TypedDataError> {
        Ok(Object { path: name, node: self.field(name)? })
    }

    pub(super) fn text(&self, name: &'static str) -> Result<&'n str, TypedDataError> {
        let text = self.field(name)?.as_str();
        text.ok_or_else(|| wrong(self.path, name, "must be a string"))
    }

    pub(super) fn address(&self, name: &'static str) -> Result<Address, TypedDataError> {
        let parsed = EvmAddress::parse(self.text(name)?);
        parsed.map(Address::Evm).map_err(|error| wrong(self.path, name, &error.to_string()))
    }

    /// A canonical decimal string, or a plain JSON integer.
    pub(super) fn amount(&self, name: &'static str) -> Result<Amount, TypedDataError> {
        let node = self.field(name)?;
        let text = match (node.as_str(), node.as_u64()) {
            (Some(text), _) => text,
            (None, Some(_)) => node.raw(),
            (None, None) => {
                return Err(wrong(self.path, name, "must be a decimal string or a plain JSON integer"));
            }
        };
        Amount::parse(text).map_err(|error| wrong(self.path, name, &error.to_string()))
    }

    pub(super) fn seconds(&self, name: &'static str) -> Result<UnixSeconds, TypedDataError> {
        let amount = self.amount(name)?.to_string();
        let secs =
            amount.parse().map_err(|_| wrong(self.path, name, "is no time: at most 2^64-1 seconds"))?;
        Ok(UnixSeconds(secs))
    }

    pub(super) fn network(&self) -> Result<ChainId, TypedDataError> {
        let id = self.seconds("chainId")?.0;
        let network = ChainId::parse(&format!("eip155:{id}"));
        network.map_err(|error| wrong(self.path, "chainId", &error.to_string()))
    }

    pub(super) fn bytes32(&self, name: &'static str) -> Result<[u8; 32], TypedDataError> {
        let mut bytes = [0; 32];
        let digits = self.text(name)?.strip_prefix("0x").unwrap_or_default();
        let read = hex::decode_to_slice(digits, &mut bytes);
        read.map_err(|_| wrong(self.path, name, "must be `0x` and 64 hexadecimal digits"))?;
        Ok(bytes)
    }
}
