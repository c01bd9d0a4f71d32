//! EIP-4361 text: written from fields, and read back without trusting the writer.

use std::iter::Peekable;
use std::str::Split;

use super::{SignInParts, rfc3339};
use crate::{Address, ChainId, EvmAddress};

const WANTS: &str = " wants you to sign in with your Ethereum account:";
const URI: &str = "URI: ";
const VERSION: &str = "Version: ";
const CHAIN_ID: &str = "Chain ID: ";
const NONCE: &str = "Nonce: ";
const ISSUED_AT: &str = "Issued At: ";
const EXPIRATION_TIME: &str = "Expiration Time: ";
const NOT_BEFORE: &str = "Not Before: ";
const REQUEST_ID: &str = "Request ID: ";
const RESOURCES: &str = "Resources:";
const RESOURCE: &str = "- ";

/// How the lines below the statement begin, in their order.
pub(super) const LABELS: [&str; 9] =
    [URI, VERSION, CHAIN_ID, NONCE, ISSUED_AT, EXPIRATION_TIME, NOT_BEFORE, REQUEST_ID, RESOURCES];

/// Writes the text that is signed. Without a statement there are two blank lines.
pub(super) fn write(parts: &SignInParts, chain_id: u64) -> String {
    let SignInParts {
        profile: _,
        domain,
        address,
        statement,
        uri,
        chain: _,
        nonce,
        issued_at,
        expiration_time,
        not_before,
        request_id,
        resources,
        signature_scheme: _,
    } = parts;
    let mut text = format!("{domain}{WANTS}\n{address}\n\n");
    if let Some(statement) = statement {
        text.push_str(&format!("{statement}\n"));
    }
    text.push_str(&format!(
        "\n{URI}{uri}\n{VERSION}1\n{CHAIN_ID}{chain_id}\n{NONCE}{nonce}\n{ISSUED_AT}{issued_at}"
    ));
    for (label, value) in
        [(EXPIRATION_TIME, expiration_time), (NOT_BEFORE, not_before), (REQUEST_ID, request_id)]
    {
        if let Some(value) = value {
            text.push_str(&format!("\n{label}{value}"));
        }
    }
    if !resources.is_empty() {
        text.push_str(&format!("\n{RESOURCES}"));
    }
    for resource in resources {
        text.push_str(&format!("\n{RESOURCE}{resource}"));
    }
    text
}

/// What a text says, line by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) domain: &'a str,
    pub(super) address: EvmAddress,
    pub(super) statement: Option<&'a str>,
    pub(super) uri: &'a str,
    pub(super) chain_id: u64,
    pub(super) nonce: &'a str,
    pub(super) issued_at: &'a str,
    pub(super) expiration_time: Option<&'a str>,
    pub(super) not_before: Option<&'a str>,
    pub(super) request_id: Option<&'a str>,
    pub(super) resources: Vec<&'a str>,
}

impl<'a> Message<'a> {
    /// Reads a text from its first byte to its last, in the form we write and no other that EIP-4361 allows.
    // INVARIANT: shares no check with `fields`. Each of the two alone keeps a line break out of a field.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if !text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)) {
            return None;
        }
        let mut lines = Lines(text.split('\n').peekable());
        let domain = lines.next()?.strip_suffix(WANTS).filter(|domain| is_solid(domain))?;
        let address_line = lines.next()?;
        let address =
            EvmAddress::parse(address_line).ok().filter(|address| address.to_string() == address_line)?;
        lines.blank()?;
        let statement = lines.next().map(|line| (!line.is_empty()).then_some(line))?;
        if statement.is_some() {
            lines.blank()?;
        }
        let uri = lines.labelled(URI)?;
        if lines.labelled(VERSION)? != "1" {
            return None;
        }
        let chain_line = lines.labelled(CHAIN_ID)?;
        let chain_id = chain_line.parse().ok().filter(|id: &u64| *id > 0 && id.to_string() == chain_line)?;
        let nonce = lines.labelled(NONCE)?;
        let issued_at = lines.labelled(ISSUED_AT)?;
        let expiration_time = lines.labelled(EXPIRATION_TIME);
        let not_before = lines.labelled(NOT_BEFORE);
        let request_id = lines.labelled(REQUEST_ID);
        let resources = lines.resources()?;
        let is_end = lines.next().is_none();
        let solid = [Some(uri), Some(nonce), request_id].into_iter().flatten().all(is_solid);
        let timely = [Some(issued_at), expiration_time, not_before].into_iter().flatten();
        let timely = timely.map(rfc3339::parse).all(|time| time.is_some());
        let long = nonce.len() >= 8 && nonce.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let good = is_end && solid && timely && long && resources.iter().all(|resource| is_solid(resource));
        good.then_some(Self {
            domain,
            address,
            statement,
            uri,
            chain_id,
            nonce,
            issued_at,
            expiration_time,
            not_before,
            request_id,
            resources,
        })
    }

    /// Whether it says exactly what `parts` say.
    pub(super) fn says(&self, parts: &SignInParts) -> bool {
        let Self {
            domain,
            address,
            statement,
            uri,
            chain_id,
            nonce,
            issued_at,
            expiration_time,
            not_before,
            request_id,
            resources,
        } = self;
        let optional = [
            (statement, &parts.statement),
            (expiration_time, &parts.expiration_time),
            (not_before, &parts.not_before),
            (request_id, &parts.request_id),
        ];
        *domain == parts.domain
            && Address::Evm(*address) == parts.address
            && *uri == parts.uri
            && ChainId::Eip155(*chain_id) == parts.chain
            && *nonce == parts.nonce
            && *issued_at == parts.issued_at
            && optional.into_iter().all(|(said, meant)| *said == meant.as_deref())
            && resources.iter().eq(&parts.resources)
    }
}

struct Lines<'a>(Peekable<Split<'a, char>>);

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    fn blank(&mut self) -> Option<()> {
        self.next().filter(|line| line.is_empty()).map(|_| ())
    }

    fn labelled(&mut self, label: &str) -> Option<&'a str> {
        self.0.next_if(|line| line.starts_with(label))?.strip_prefix(label)
    }

    /// None if there is the heading and nothing below it.
    fn resources(&mut self) -> Option<Vec<&'a str>> {
        if self.0.next_if_eq(&RESOURCES).is_none() {
            return Some(Vec::new());
        }
        let resources: Vec<_> = std::iter::from_fn(|| self.labelled(RESOURCE)).collect();
        (!resources.is_empty()).then_some(resources)
    }
}

/// Something, and no spaces in it.
fn is_solid(text: &str) -> bool {
    !text.is_empty() && !text.contains(' ')
}
