//! Operators' acts and transitions, back to what they say.

use std::borrow::Cow;
use std::collections::BTreeSet;

use pursekeeper_core as core;

use super::super::{Act, Int, Labels, StatusChange};
use super::{Flaw, Found, address, known, read};

impl Act<'_> {
    pub(super) fn decode(self) -> Found<core::Act> {
        let Self {
            address: key,
            hold,
            operator,
            payee,
            reason,
            recipients,
            source,
            subject,
            verb,
            wallet,
            workflows,
        } = self;
        let detail = match (hold, payee, key, wallet, workflows, recipients) {
            (None, None, None, None, None, None) => core::Detail::None,
            (Some(Int(seq)), None, None, None, None, None) => core::Detail::Hold(seq),
            (None, Some(payee), None, None, None, None) => core::Detail::Payee(address("payee", &payee)?),
            (None, None, Some(key), Some(wallet), None, None) => core::Detail::NewKey {
                wallet: read("wallet", core::WalletName::parse(&wallet))?,
                address: address("address", &key)?,
            },
            (None, None, Some(key), None, None, None) => core::Detail::Successor(address("address", &key)?),
            (None, None, None, None, Some(names), None) => {
                core::Detail::Workflows(sorted("workflows", names, core::WorkflowName::parse)?)
            }
            (None, None, None, None, None, Some(recipients)) => {
                core::Detail::Recipients(sorted("recipients", recipients, core::BackupRecipient::parse)?)
            }
            (_, _, _, _, _, _) => return Err(Flaw("`act`: it is about several things at once".to_owned())),
        };
        Ok(core::Act {
            operator: read("operator", core::OperatorName::parse(&operator))?,
            source: source.decode()?,
            verb: known("verb", &verb, core::ActVerb::parse(&verb))?,
            subject: subject.decode()?,
            detail,
            reason: reason.into_owned(),
        })
    }
}

/// A list that stands in order, without anything twice.
fn sorted<T: Ord, E: std::fmt::Display>(
    member: &str,
    texts: Vec<Cow<'_, str>>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Found<BTreeSet<T>> {
    let mut found = BTreeSet::new();
    for text in texts {
        let value = read(member, parse(&text))?;
        if found.last().is_some_and(|last| *last >= value) {
            return Err(Flaw(format!("`{member}`: `{text}` is out of order")));
        }
        found.insert(value);
    }
    Ok(found)
}

/// The wallets that end with a workflow.
pub(super) fn cascade(addresses: Option<Vec<Cow<'_, str>>>) -> Found<BTreeSet<core::Address>> {
    sorted("cascade", addresses.unwrap_or_default(), |text| {
        core::EvmAddress::parse(text).map(core::Address::Evm)
    })
}

/// The acts that are complete.
pub(super) fn completed(seqs: Vec<Int>) -> Found<BTreeSet<u64>> {
    let mut found = BTreeSet::new();
    for Int(seq) in seqs {
        if found.last().is_some_and(|last| *last >= seq) {
            return Err(Flaw(format!("`completed`: {seq} is out of order")));
        }
        found.insert(seq);
    }
    Ok(found)
}

/// What was reviewed.
pub(super) fn reviewed(
    agents: std::collections::BTreeMap<Cow<'_, str>, Labels<'_>>,
) -> Found<core::Reviewed> {
    let agent = |(name, values): (Cow<'_, str>, Labels<'_>)| {
        Ok((read("reviewed", core::AgentName::parse(&name))?, values.to_map()))
    };
    agents.into_iter().map(agent).collect()
}

impl StatusChange<'_> {
    pub(super) fn decode(self) -> Found<core::StatusChange> {
        let Self { cause, status, subject } = self;
        Ok(core::StatusChange {
            subject: subject.decode()?,
            status: known("status", &status, core::Status::parse(&status))?,
            cause: known("cause", &cause, core::Cause::parse(&cause))?,
        })
    }
}
