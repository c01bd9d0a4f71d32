//! The members in which records that are alike may differ.

use pursekeeper_core::{
    Address, AgentName, Amount, Claim, Digest, Endpoint, EvmAddress, RequestId, Said, ServiceName, TraceId,
    UnixSeconds, Usd, Wait, WalletName, WorkflowName,
};

use super::parts::{Judged, Parts};
use super::{bytes, integer, integer_len, text, text_len};

/// A member that says the same whatever stands in the others, and that any other may stand beside. The number is the
/// position in the array, or among the labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Accepted,
    After(usize),
    Agent,
    AgentOfCaller,
    Amount,
    AskedUrl,
    AskedWallet,
    AskedWorkflow,
    Before(usize),
    Block,
    BlockHash,
    BootMs,
    Bundle,
    CountedUntil,
    Fingerprint,
    HeldUntil,
    Label(usize),
    LatencyUs,
    Limit(usize),
    Nonce,
    OriginalSeq,
    Payee,
    RequestId,
    RequestIdOfCall,
    Resource,
    Seq,
    Service,
    SettledAmount,
    SettledUsd,
    ShadowUsd,
    SignatureHash(usize),
    SignatureSeq(usize),
    Trace,
    Transaction,
    TransactionClaimed,
    UnixMs,
    Url,
    Usd,
    ValidAfter,
    ValidBefore,
    Wallet,
    WalletAddress,
    WarningValue(usize),
    Workflow,
}

impl Member {
    /// The member at a path, in which `*` stands for a position.
    pub(super) fn at(path: &str, position: usize) -> Option<Self> {
        Some(match path {
            "/asked/caller/agent" | "/report/caller/agent" => Self::AgentOfCaller,
            "/asked/endpoint/url" => Self::AskedUrl,
            "/asked/labels/*" => Self::Label(position),
            "/asked/latency_us" => Self::LatencyUs,
            "/asked/request_id" => Self::RequestIdOfCall,
            "/asked/trace" => Self::Trace,
            "/asked/wallet" => Self::AskedWallet,
            "/asked/workflow" => Self::AskedWorkflow,
            "/bundle" => Self::Bundle,
            "/ceilings/*/after" => Self::After(position),
            "/ceilings/*/before" => Self::Before(position),
            "/ceilings/*/limit" => Self::Limit(position),
            "/counted_until" => Self::CountedUntil,
            "/evidence/block" => Self::Block,
            "/evidence/block_hash" => Self::BlockHash,
            "/evidence/transaction" => Self::Transaction,
            "/fingerprint" => Self::Fingerprint,
            "/held_until" => Self::HeldUntil,
            "/intent/accepted" => Self::Accepted,
            "/intent/agent" | "/sign_in/agent" => Self::Agent,
            "/intent/endpoint/url" | "/sign_in/endpoint/url" => Self::Url,
            "/intent/nonce" => Self::Nonce,
            "/intent/request_id" | "/sign_in/request_id" => Self::RequestId,
            "/intent/resource" => Self::Resource,
            "/intent/service" | "/sign_in/service" => Self::Service,
            "/intent/terms/amount" => Self::Amount,
            "/intent/terms/payee" => Self::Payee,
            "/intent/usd" => Self::Usd,
            "/intent/valid_after" => Self::ValidAfter,
            "/intent/valid_before" => Self::ValidBefore,
            "/intent/wallet" | "/sign_in/wallet" => Self::Wallet,
            // A message to sign in names the address as well.
            "/intent/wallet_address" => Self::WalletAddress,
            "/intent/workflow" | "/sign_in/workflow" => Self::Workflow,
            "/original_seq" => Self::OriginalSeq,
            "/report/transaction" => Self::TransactionClaimed,
            "/resolution/amount" => Self::SettledAmount,
            "/resolution/usd" => Self::SettledUsd,
            "/seq" => Self::Seq,
            "/shadow/usd" => Self::ShadowUsd,
            "/signatures/*/seq" => Self::SignatureSeq(position),
            "/signatures/*/sha256" => Self::SignatureHash(position),
            "/time/boot_ms" => Self::BootMs,
            "/time/unix_ms" => Self::UnixMs,
            "/warnings/*/value" => Self::WarningValue(position),
            _ => return None,
        })
    }

    /// Whether a value ends before `next`: a text ends with a mark of its own, an integer with what is no digit.
    pub(super) fn ends_at(self, next: Option<&u8>) -> bool {
        !self.is_integer() || next.is_some_and(|next| !next.is_ascii_digit())
    }

    fn is_integer(self) -> bool {
        matches!(
            self,
            Self::Block
                | Self::BootMs
                | Self::CountedUntil
                | Self::HeldUntil
                | Self::LatencyUs
                | Self::OriginalSeq
                | Self::Seq
                | Self::SignatureSeq(_)
                | Self::UnixMs
                | Self::ValidAfter
                | Self::ValidBefore
        )
    }

    /// How long the value is that `rest` begins with.
    pub(super) fn len_in(self, rest: &[u8], expected: usize) -> Option<usize> {
        if self.is_integer() { integer_len(rest) } else { text_len(rest, expected) }
    }

    /// Makes a record say this of the member; nothing when no record may say it, or this one has no such member.
    pub(super) fn set(self, parts: &mut Parts<'_>, value: &[u8]) -> Option<()> {
        match self {
            Self::Accepted => parts.payment()?.offered()?.accepted = text(value)?.into(),
            Self::After(position) => parts.ceilings.get_mut(position)?.after = text(value)?.into_owned(),
            Self::Agent => {
                let (judged, text) = (parts.judged.as_mut()?, text(value)?);
                let known = parts.asked.as_ref().map(|asked| &asked.caller.agent);
                let known = known.filter(|agent| agent.as_str() == text).cloned();
                *judged.agent = known.or_else(|| AgentName::parse(&text).ok())?;
            }
            Self::AgentOfCaller => *parts.caller()? = AgentName::parse(&text(value)?).ok()?,
            Self::Amount => parts.payment()?.terms.amount = Amount::parse(&text(value)?).ok()?,
            Self::AskedUrl => {
                let asked = parts.asked.as_mut()?;
                asked.endpoint = called(&asked.endpoint, &text(value)?)?;
            }
            Self::AskedWallet => {
                parts.asked.as_mut()?.wallet = Some(WalletName::parse(&text(value)?).ok()?);
            }
            Self::AskedWorkflow => {
                parts.asked.as_mut()?.workflow = Some(WorkflowName::parse(&text(value)?).ok()?);
            }
            Self::Before(position) => parts.ceilings.get_mut(position)?.before = text(value)?.into_owned(),
            Self::Block => parts.evidence.as_mut()?.0.block = integer(value)?,
            Self::BlockHash => parts.evidence.as_mut()?.0.block_hash = bytes(value)?,
            Self::BootMs => parts.time.boot_ms = integer(value)?,
            Self::Bundle => parts.bundle.as_mut()?.digest = Digest(bytes(value)?),
            Self::CountedUntil | Self::HeldUntil => **parts.until.as_mut()? = UnixSeconds(integer(value)?),
            Self::Fingerprint => **parts.fingerprint.as_mut()? = Digest(bytes(value)?),
            Self::Label(position) => {
                let mut labels = parts.asked.as_mut()?.labels.values_mut();
                *labels.nth(position)? = text(value)?.into_owned();
            }
            Self::LatencyUs => parts.asked.as_mut()?.wait = Wait::For { micros: integer(value)? },
            Self::Limit(position) => parts.ceilings.get_mut(position)?.limit = text(value)?.into_owned(),
            Self::Nonce => *parts.payment()?.nonce = bytes(value)?,
            Self::OriginalSeq => **parts.original_seq.as_mut()? = integer(value)?,
            Self::Payee => parts.payment()?.terms.payee = address(&text(value)?)?,
            Self::RequestId => {
                let (judged, text) = (parts.judged.as_mut()?, text(value)?);
                let known = parts.asked.as_ref().map(|asked| &asked.request_id);
                let known = known.filter(|id| id.as_str() == text).cloned();
                *judged.request_id = known.or_else(|| RequestId::parse(&text).ok())?;
            }
            Self::RequestIdOfCall => {
                parts.asked.as_mut()?.request_id = RequestId::parse(&text(value)?).ok()?;
            }
            Self::Resource => parts.payment()?.offered()?.resource = Some(text(value)?.into()),
            Self::Seq => *parts.seq = integer(value)?,
            Self::Service => {
                *parts.judged.as_mut()?.service = Some(ServiceName::parse(&text(value)?).ok()?);
            }
            Self::SettledAmount => *parts.settled()?.0 = Amount::parse(&text(value)?).ok()?,
            Self::SettledUsd => *parts.settled()?.1 = Usd::parse(&text(value)?).ok()?,
            Self::ShadowUsd => **parts.shadow_usd.as_mut()? = Usd::parse(&text(value)?).ok()?,
            Self::SignatureHash(position) => parts.hashes.get_mut(position)?.1 = Digest(bytes(value)?),
            Self::SignatureSeq(position) => parts.hashes.get_mut(position)?.0 = integer(value)?,
            Self::Trace => parts.asked.as_mut()?.trace = Some(TraceId::parse(&text(value)?).ok()?),
            Self::Transaction => parts.evidence.as_mut()?.0.transaction = Some(bytes(value)?),
            Self::TransactionClaimed => {
                let (_, said) = parts.report.as_mut()?;
                let Some(Claim::Settled { transaction: Some(_) }) = said.outcome() else { return None };
                let transaction = Some(text(value)?.into_owned());
                **said = Said::of(Some(Claim::Settled { transaction }), said.remaining())?;
            }
            Self::UnixMs => parts.time.unix_ms = integer(value)?,
            Self::Url => {
                let (judged, text) = (parts.judged.as_mut()?, text(value)?);
                *judged.endpoint =
                    endpoint(judged, parts.asked.as_ref().map(|asked| &asked.endpoint), &text)?;
            }
            Self::Usd => *parts.payment()?.usd = Usd::parse(&text(value)?).ok()?,
            Self::ValidAfter => *parts.payment()?.valid_after = UnixSeconds(integer(value)?),
            Self::ValidBefore => *parts.payment()?.valid_before = UnixSeconds(integer(value)?),
            Self::Wallet => *parts.judged.as_mut()?.wallet = WalletName::parse(&text(value)?).ok()?,
            Self::WalletAddress => *parts.payment()?.wallet_address = address(&text(value)?)?,
            Self::WarningValue(position) => {
                parts.warnings.get_mut(position)?.value = text(value)?.into_owned();
            }
            Self::Workflow => *parts.judged.as_mut()?.workflow = WorkflowName::parse(&text(value)?).ok()?,
        }
        Some(())
    }
}

fn address(text: &str) -> Option<Address> {
    EvmAddress::parse(text).ok().map(Address::Evm)
}

/// The call of `like`'s method at another URL.
fn called(like: &Endpoint, url: &str) -> Option<Endpoint> {
    like.with_query(url).or_else(|| Endpoint::parse(like.method(), url).ok())
}

/// What is judged is mostly what was asked, and that has been read: normalised, a URL reads as itself.
fn endpoint(judged: &Judged<'_>, asked: Option<&Endpoint>, url: &str) -> Option<Endpoint> {
    let like = &*judged.endpoint;
    let same = |asked: &&Endpoint| asked.is_known() && asked.url() == url && asked.method() == like.method();
    asked.filter(same).cloned().or_else(|| called(like, url))
}
