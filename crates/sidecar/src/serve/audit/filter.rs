//! Which records an auditor wants.

use prost::Message as _;
use pursekeeper_api::v1;
use pursekeeper_core::registry::Registry;
use pursekeeper_core::{
    AgentName, DenyCode, Digest, EvmAddress, Flip, ServiceName, WalletName, WorkflowName,
};
use pursekeeper_journal::{KINDS, leaf_hash};
use serde::Deserialize;
use tonic::{Code, Status};

use crate::record::{is_denied, signature_of};
use crate::serve::convert::fault;

/// Most values of one member of a filter.
const VALUES_LEN_MAX: usize = 64;

/// What is wanted, understood.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    wanted: v1::AuditFilter,
    wallets: Vec<Wanted>,
    /// Texts of which a fitting record contains one of each group, as it is stored.
    needles: Vec<Vec<String>>,
}

/// A wallet that is asked for: by its name, with the addresses the registry knows for it, or by an address alone.
#[derive(Clone, Debug)]
struct Wanted {
    name: Option<String>,
    /// Lower case.
    addresses: Vec<String>,
}

/// Where a record names wallets. What is not there is not read.
#[derive(Debug, Default, Deserialize)]
struct Named<'a> {
    wallet: Option<&'a str>,
    #[serde(borrow)]
    act: Option<Holder<'a>>,
    #[serde(borrow)]
    asked: Option<Holder<'a>>,
    #[serde(borrow)]
    cancellation: Option<Holder<'a>>,
    #[serde(borrow)]
    intent: Option<Holder<'a>>,
    #[serde(borrow)]
    sign_in: Option<Holder<'a>>,
}

/// A member of a record that names a wallet.
#[derive(Debug, Default, Deserialize)]
struct Holder<'a> {
    address: Option<&'a str>,
    wallet: Option<&'a str>,
    wallet_address: Option<&'a str>,
}

impl Filter {
    /// Reads a filter. What no record can ever say is refused: a misspelt word would look like an empty journal.
    pub(super) fn parse(filter: Option<v1::AuditFilter>, registry: &Registry) -> Result<Self, Status> {
        let wanted = filter.unwrap_or_default();
        let v1::AuditFilter {
            agents,
            workflows,
            wallets,
            services,
            kinds,
            codes,
            verdict,
            since_unix_ms,
            until_unix_ms,
            about_seq: _,
            flip,
        } = &wanted;
        for values in [agents, workflows, wallets, services, kinds, codes] {
            if values.len() > VALUES_LEN_MAX {
                return Err(malformed(format_args!("at most {VALUES_LEN_MAX} values of a kind")));
            }
        }
        each("agents", agents, |text| AgentName::parse(text).map(drop).map_err(|e| e.to_string()))?;
        each("workflows", workflows, |text| WorkflowName::parse(text).map(drop).map_err(|e| e.to_string()))?;
        each("services", services, |text| ServiceName::parse(text).map(drop).map_err(|e| e.to_string()))?;
        each("kinds", kinds, |text| one_of(text, &KINDS))?;
        each("codes", codes, |text| {
            let known = DenyCode::parse(text).map(drop);
            known.ok_or_else(|| "no denial has this code: see docs/POLICY_GUIDE.md".to_owned())
        })?;
        if !verdict.is_empty() {
            one_of(verdict, &["permit", "deny"])
                .map_err(|e| malformed(format_args!("`verdict`: `{verdict}`: {e}")))?;
        }
        if !flip.is_empty() {
            one_of(flip, &Flip::ALL.map(Flip::as_str))
                .map_err(|e| malformed(format_args!("`flip`: `{flip}`: {e}")))?;
        }
        if *until_unix_ms != 0 && since_unix_ms >= until_unix_ms {
            return Err(malformed("`since_unix_ms` is not before `until_unix_ms`"));
        }
        let wallets =
            wallets.iter().map(|text| Wanted::parse(text, registry)).collect::<Result<Vec<_>, _>>()?;
        let needles = needles(&wanted, &wallets);
        Ok(Self { wanted, wallets, needles })
    }

    /// The wall clock from which on records are wanted, and before which.
    pub(super) fn times(&self) -> (u64, Option<u64>) {
        (self.wanted.since_unix_ms, Some(self.wanted.until_unix_ms).filter(|until| *until != 0))
    }

    /// The first record that can fit for its position alone.
    pub(super) fn first_seq(&self) -> u64 {
        self.wanted.about_seq.max(1)
    }

    /// Tells this filter from others, for tokens.
    pub(super) fn digest(&self, newest_first: bool) -> Digest {
        let mut bytes = self.wanted.encode_to_vec();
        bytes.push(u8::from(newest_first));
        leaf_hash(&bytes)
    }

    /// Whether a record can fit, by its canonical bytes: cheap, and never wrong about one that does.
    pub(super) fn may_fit(&self, canonical: &[u8]) -> bool {
        if self.needles.is_empty() && self.wanted.about_seq == 0 {
            return true;
        }
        // What is not UTF-8 is damaged; whoever reads it in earnest says so.
        let Ok(text) = std::str::from_utf8(canonical) else { return true };
        (self.needles.iter()).all(|any| any.iter().any(|needle| text.contains(needle.as_str())))
            && (self.wanted.about_seq == 0 || has_number(text, self.wanted.about_seq))
    }

    /// Whether a record fits, its time apart.
    pub(super) fn fits(&self, decision: &v1::Decision) -> bool {
        let v1::AuditFilter {
            agents,
            workflows,
            wallets: _,
            services,
            kinds,
            codes,
            verdict,
            about_seq,
            flip,
            ..
        } = &self.wanted;
        let any = |values: &[String], value: &str| values.is_empty() || values.iter().any(|v| v == value);
        any(agents, &decision.agent)
            && any(workflows, &decision.workflow)
            && any(services, &decision.service)
            && any(kinds, &decision.kind)
            && any(codes, &decision.code)
            && (verdict.is_empty()
                || *verdict == decision.verdict
                || (verdict == "deny" && is_denied(decision)))
            && (*about_seq == 0 || is_about(decision, *about_seq))
            && (flip.is_empty() || decision.shadow.as_ref().is_some_and(|shadow| shadow.flip == *flip))
            && (self.wallets.is_empty() || self.wallets.iter().any(|wallet| wallet.is_named_in(decision)))
    }
}

impl Wanted {
    fn parse(text: &str, registry: &Registry) -> Result<Self, Status> {
        if let Ok(address) = EvmAddress::parse(text) {
            return Ok(Self { name: None, addresses: vec![address.to_string().to_ascii_lowercase()] });
        }
        let name = WalletName::parse(text).map_err(|e| {
            malformed(format_args!("`wallets`: `{text}` is neither an address nor a name: {e}"))
        })?;
        let known = registry.wallets.get(&name);
        let addresses = known.into_iter().flat_map(|wallet| wallet.was.iter().chain([&wallet.address]));
        let addresses = addresses.map(|address| address.to_string().to_ascii_lowercase()).collect();
        Ok(Self { name: Some(text.to_owned()), addresses })
    }

    fn needles(&self) -> impl Iterator<Item = String> {
        self.name.iter().chain(&self.addresses).map(|text| format!("\"{text}\""))
    }

    fn is(&self, text: &str) -> bool {
        self.name.as_deref() == Some(text) || self.addresses.iter().any(|own| own.eq_ignore_ascii_case(text))
    }

    fn is_named_in(&self, decision: &v1::Decision) -> bool {
        if self.is(&decision.wallet) {
            return true;
        }
        // What the summary does not tell: the address that signed, and the name an act was about.
        let Ok(named) = serde_json::from_slice::<Named<'_>>(&decision.canonical) else { return false };
        let Named { wallet, act, asked, cancellation, intent, sign_in } = named;
        let holders = [act, asked, cancellation, intent, sign_in].into_iter().flatten();
        let texts =
            holders.flat_map(|Holder { address, wallet, wallet_address }| [address, wallet, wallet_address]);
        texts.chain([wallet]).flatten().any(|text| self.is(text))
    }
}

/// Names and words stand in quotes in every record they fit, whatever its kind.
fn needles(wanted: &v1::AuditFilter, wallets: &[Wanted]) -> Vec<Vec<String>> {
    let v1::AuditFilter { agents, workflows, services, kinds, codes, verdict, flip, .. } = wanted;
    // What counts denials does not say that it is one.
    let verdict = match verdict.as_str() {
        "" => Vec::new(),
        "deny" => vec!["deny".to_owned(), "repeat".to_owned()],
        verdict => vec![verdict.to_owned()],
    };
    let shadow = if flip.is_empty() { Vec::new() } else { vec!["shadow".to_owned()] };
    let named = [agents, workflows, services, kinds, codes, &verdict, &shadow];
    let named = named.into_iter().map(|values| values.iter().map(|value| format!("\"{value}\"")).collect());
    let wallets = wallets.iter().flat_map(Wanted::needles).collect::<Vec<_>>();
    named.chain([wallets]).filter(|any: &Vec<String>| !any.is_empty()).collect()
}

/// Whether a record belongs to the story of the one at `seq`.
fn is_about(decision: &v1::Decision, seq: u64) -> bool {
    decision.seq == seq || decision.original_seq == seq || signature_of(decision, seq).is_some()
}

/// Whether a number stands in a text, and not as a part of a longer one.
fn has_number(text: &str, number: u64) -> bool {
    let digits = number.to_string();
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    text.match_indices(&digits).any(|(at, found)| {
        let before = at.checked_sub(1).and_then(|before| text.as_bytes().get(before));
        let after = at.checked_add(found.len()).and_then(|after| text.as_bytes().get(after));
        !is_digit(before) && !is_digit(after)
    })
}

fn each(member: &str, values: &[String], read: impl Fn(&str) -> Result<(), String>) -> Result<(), Status> {
    values.iter().try_for_each(|text| {
        read(text).map_err(|error| malformed(format_args!("`{member}`: `{text}`: {error}")))
    })
}

fn one_of(text: &str, words: &[&str]) -> Result<(), String> {
    if words.contains(&text) { Ok(()) } else { Err(format!("write one of {}", words.join(", "))) }
}

fn malformed(message: impl std::fmt::Display) -> Status {
    fault(Code::InvalidArgument, "MALFORMED_FILTER", format_args!("`filter`: {message}"))
}

#[cfg(test)]
mod tests;
