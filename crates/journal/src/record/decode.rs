//! From a record back to what was decided, exactly: a retry after a restart signs it again.

use std::fmt;

use pursekeeper_core as core;
use pursekeeper_core::{JournalId, Moment, UnixSeconds, x402};

use super::encode::BALANCE;
use super::{
    Act, Asked, Caller, Denial, Endpoint, Evidence, Hex, Int, Intent, Kind, Offer, Policy, Record, Report,
    Resolution, Source, Subject, Terms, Time, VERSION, Verdict, Warning,
};
use crate::JournalError;

/// A record, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedRecord {
    /// Its position, from 1.
    pub seq: u64,
    /// When it was written.
    pub time: Moment,
    /// What it says.
    pub content: Content,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The journal begins.
    Genesis(Genesis),
    /// The gate answered.
    Entry(core::Entry),
}

/// How a journal begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The identity it was given.
    pub journal: JournalId,
    /// For a journal that replaces a lost one: until when signatures of that one could be settled. Every window counts
    /// as spent until it has passed since then.
    pub adopted: Option<UnixSeconds>,
}

/// Why a record cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RecordFlaw {
    /// It says nothing that this version understands.
    Unreadable(String),
    /// It says something, in other bytes than the canonical ones.
    NotCanonical,
}

/// What is wrong with a member.
pub(super) struct Flaw(String);

type Found<T> = Result<T, Flaw>;

/// Reads a record that the journal relies on.
pub(crate) fn decode(body: &[u8]) -> Result<DecodedRecord, JournalError> {
    examine(body).map_err(|flaw| {
        JournalError::damaged(match flaw {
            RecordFlaw::Unreadable(what) => format!("a record cannot be read: {what}"),
            RecordFlaw::NotCanonical => "a record is not canonical JSON".to_owned(),
        })
    })
}

/// Reads a record, and makes sure that its bytes are the canonical ones.
pub(crate) fn examine(body: &[u8]) -> Result<DecodedRecord, RecordFlaw> {
    let unreadable = |error: &dyn fmt::Display| RecordFlaw::Unreadable(error.to_string());
    let record: Record<'_> = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    if record.to_bytes().map_err(|error| unreadable(&error))? != body {
        return Err(RecordFlaw::NotCanonical);
    }
    record.decode().map_err(|Flaw(what)| RecordFlaw::Unreadable(what))
}

fn read<T, E: fmt::Display>(member: &str, parsed: Result<T, E>) -> Found<T> {
    parsed.map_err(|error| Flaw(format!("`{member}`: {error}")))
}

fn known<T>(member: &str, text: &str, parsed: Option<T>) -> Found<T> {
    parsed.ok_or_else(|| Flaw(format!("`{member}`: unknown word `{text}`")))
}

fn present<T>(member: &str, value: Option<T>) -> Found<T> {
    value.ok_or_else(|| Flaw(format!("`{member}` is missing")))
}

fn digest(Hex(bytes): Hex<32>) -> core::Digest {
    core::Digest(bytes)
}

fn address(member: &str, text: &str) -> Found<core::Address> {
    read(member, core::EvmAddress::parse(text)).map(core::Address::Evm)
}

impl Record<'_> {
    /// Which optional members there are.
    fn shape(&self) -> [bool; 16] {
        [
            self.act.is_some(),
            self.adopted.is_some(),
            self.asked.is_some(),
            self.bundle.is_some(),
            self.denial.is_some(),
            self.evidence.is_some(),
            self.fingerprint.is_some(),
            self.held_until.is_some(),
            self.intent.is_some(),
            self.journal.is_some(),
            self.offers.is_some(),
            self.original_seq.is_some(),
            self.policies.is_some(),
            self.report.is_some(),
            self.resolution.is_some(),
            self.warnings.is_some(),
        ]
    }

    /// What the record says. A member that does not belong to its kind, or a verdict that contradicts the rest, is an
    /// error: nothing in a record goes unread.
    fn decode(self) -> Found<DecodedRecord> {
        let (seq, shape, verdict) = (self.seq.0, self.shape(), self.verdict);
        let (time, content) = self.content()?;
        let again = match &content {
            Content::Genesis(genesis) => Record::genesis(time, *genesis),
            Content::Entry(entry) => Record::of(seq, entry),
        };
        if again.shape() != shape || again.verdict != verdict {
            return Err(Flaw("its members contradict each other".to_owned()));
        }
        Ok(DecodedRecord { seq, time, content })
    }

    fn content(self) -> Found<(Moment, Content)> {
        let Self {
            act,
            adopted,
            asked,
            bundle,
            denial,
            evidence,
            fingerprint,
            held_until,
            intent,
            journal,
            kind,
            offers,
            original_seq,
            policies,
            report,
            resolution,
            seq: _,
            time: Time { boot_id: Hex(boot_id), boot_ms: Int(boot_ms), unix_ms: Int(unix_ms) },
            v: Int(version),
            verdict,
            warnings,
        } = self;
        if version != VERSION {
            return Err(Flaw(format!("`v`: version {version} is not known")));
        }
        let at = Moment { unix_ms, boot_ms, boot_id };
        let entry = match kind {
            Kind::Genesis => {
                let Hex(journal) = present("journal", journal)?;
                let adopted = adopted.map(|adopted| UnixSeconds(adopted.held_until.0));
                let content = Content::Genesis(Genesis { journal: JournalId(journal), adopted });
                return Ok((at, content));
            }
            Kind::Payment | Kind::Preview => core::Entry::Payment(Box::new(core::Decision {
                at,
                mode: if kind == Kind::Payment { core::Mode::Enforce } else { core::Mode::Preview },
                asked: present("asked", asked)?.decode()?,
                fingerprint: digest(present("fingerprint", fingerprint)?),
                offers: present("offers", offers)?.into_iter().map(Offer::decode).collect::<Found<_>>()?,
                outcome: outcome(
                    present("verdict", verdict)?,
                    (intent, held_until),
                    (policies, warnings),
                    denial,
                )?,
                bundle: digest(present("bundle", bundle)?),
            })),
            Kind::Reissue => core::Entry::Reissue(Box::new(core::Reissue {
                at,
                asked: present("asked", asked)?.decode()?,
                original_seq: present("original_seq", original_seq)?.0,
                intent: present("intent", intent)?.decode()?,
                bundle: digest(present("bundle", bundle)?),
            })),
            Kind::Lifecycle => core::Entry::Lifecycle(Box::new(core::LifecycleDecision {
                at,
                act: present("act", act)?.decode()?,
                denial: denial.map(Denial::decode).transpose()?,
                policies: refs(present("policies", policies)?),
                bundle: digest(present("bundle", bundle)?),
            })),
            Kind::Report => {
                let (caller, claim) = present("report", report)?.decode()?;
                let original_seq = present("original_seq", original_seq)?.0;
                core::Entry::Report(Box::new(core::Report { at, caller, original_seq, claim }))
            }
            Kind::Evidence => core::Entry::Evidence(Box::new(core::Evidence {
                at,
                original_seq: present("original_seq", original_seq)?.0,
                observation: present("evidence", evidence)?.decode()?,
                state: present("resolution", resolution)?.decode()?,
            })),
        };
        Ok((at, Content::Entry(entry)))
    }
}

fn outcome(
    verdict: Verdict,
    (intent, held_until): (Option<Intent<'_>>, Option<Int>),
    (policies, warnings): (Option<Vec<Policy<'_>>>, Option<Vec<Warning<'_>>>),
    denial: Option<Denial<'_>>,
) -> Found<core::Outcome> {
    let intent = intent.map(Intent::decode).transpose()?;
    match verdict {
        Verdict::Permit => Ok(core::Outcome::Permit(Box::new(core::Permit {
            intent: present("intent", intent)?,
            policies: refs(present("policies", policies)?),
            held_until: UnixSeconds(present("held_until", held_until)?.0),
            warnings: (warnings.unwrap_or_default().into_iter())
                .map(Warning::decode)
                .collect::<Found<_>>()?,
        }))),
        Verdict::Deny => Ok(core::Outcome::Deny {
            denial: present("denial", denial)?.decode()?,
            intent: intent.map(Box::new),
        }),
    }
}

fn refs(policies: Vec<Policy<'_>>) -> Vec<core::PolicyRef> {
    policies
        .into_iter()
        .map(|Policy { id, reason }| core::PolicyRef { id: id.into(), reason: reason.into() })
        .collect()
}

impl Source {
    fn decode(self) -> core::IdentitySource {
        match self {
            Self::UnixPeer { uid } => core::IdentitySource::UnixPeer { uid },
        }
    }
}

impl Act<'_> {
    fn decode(self) -> Found<core::Act> {
        let Self { hold, operator, reason, source, subject, verb } = self;
        Ok(core::Act {
            operator: read("operator", core::OperatorName::parse(&operator))?,
            source: source.decode(),
            verb: known("verb", &verb, core::ActVerb::parse(&verb))?,
            subject: subject.decode()?,
            hold: hold.map(|Int(seq)| seq),
            reason: reason.into_owned(),
        })
    }
}

impl Subject<'_> {
    fn decode(self) -> Found<core::Subject> {
        let Self { kind, name } = self;
        parse_subject(&kind, &name).map_err(Flaw)
    }
}

/// Reads a subject as records and tables write it.
pub(crate) fn parse_subject(kind: &str, name: &str) -> Result<core::Subject, String> {
    let flaw = |Flaw(what)| what;
    match kind {
        "agent" => read("name", core::AgentName::parse(name)).map(core::Subject::Agent).map_err(flaw),
        "workflow" => {
            read("name", core::WorkflowName::parse(name)).map(core::Subject::Workflow).map_err(flaw)
        }
        "service" => read("name", core::ServiceName::parse(name)).map(core::Subject::Service).map_err(flaw),
        "wallet" => address("name", name).map(core::Subject::Wallet).map_err(flaw),
        "sidecar" if name == core::Subject::Sidecar.to_string() => Ok(core::Subject::Sidecar),
        unknown => Err(format!("`kind`: unknown word `{unknown}`")),
    }
}

/// Reads a scope as tables write it.
pub(crate) fn parse_scope(kind: &str, name: &str) -> Result<core::Scope, String> {
    let flaw = |Flaw(what)| what;
    match kind {
        "agent" => read("name", core::AgentName::parse(name)).map(core::Scope::Agent).map_err(flaw),
        "workflow" => read("name", core::WorkflowName::parse(name)).map(core::Scope::Workflow).map_err(flaw),
        "service" => read("name", core::ServiceName::parse(name)).map(core::Scope::Service).map_err(flaw),
        "wallet" => address("name", name).map(core::Scope::Wallet).map_err(flaw),
        "payee" => address("name", name).map(core::Scope::Payee).map_err(flaw),
        unknown => Err(format!("`kind`: unknown word `{unknown}`")),
    }
}

impl Asked<'_> {
    fn decode(self) -> Found<core::Asked> {
        let Self { caller, endpoint, labels, request_id, wallet, workflow } = self;
        Ok(core::Asked {
            caller: caller.decode()?,
            request_id: read("request_id", core::RequestId::parse(&request_id))?,
            endpoint: endpoint.decode()?,
            workflow: workflow.map(|name| read("workflow", core::WorkflowName::parse(&name))).transpose()?,
            wallet: wallet.map(|name| read("wallet", core::WalletName::parse(&name))).transpose()?,
            labels: labels.to_map(),
        })
    }
}

impl Caller<'_> {
    fn decode(self) -> Found<core::Caller> {
        let Self { agent, source } = self;
        Ok(core::Caller { agent: read("agent", core::AgentName::parse(&agent))?, source: source.decode() })
    }
}

impl Report<'_> {
    fn decode(self) -> Found<(core::Caller, core::Claim)> {
        let Self { caller, claim, reason, transaction } = self;
        let claim = match (&*claim, reason, transaction) {
            ("settled", None, transaction) => {
                core::Claim::Settled { transaction: transaction.map(Into::into) }
            }
            ("failed", Some(reason), None) => core::Claim::Failed { reason: reason.into_owned() },
            (unknown, _, _) => {
                return Err(Flaw(format!("`claim`: `{unknown}` with other members than its own")));
            }
        };
        Ok((caller.decode()?, claim))
    }
}

impl Evidence<'_> {
    fn decode(self) -> Found<core::Observation> {
        let Self { block, block_hash, network, nodes, transaction } = self;
        Ok(core::Observation {
            network: read("network", core::ChainId::parse(&network))?,
            block: block.0,
            block_hash: block_hash.0,
            transaction: transaction.map(|Hex(hash)| hash),
            nodes,
        })
    }
}

impl Resolution<'_> {
    fn decode(self) -> Found<core::HoldState> {
        let Self { amount, state, usd } = self;
        match (&*state, amount, usd) {
            ("settled", Some(amount), Some(usd)) => Ok(core::HoldState::Settled {
                amount: read("amount", core::Amount::parse(&amount))?,
                usd: read("usd", core::Usd::parse(&usd))?,
            }),
            ("released", None, None) => Ok(core::HoldState::Released),
            (unknown, _, _) => Err(Flaw(format!("`state`: `{unknown}` with other members than its own"))),
        }
    }
}

impl Warning<'_> {
    fn decode(self) -> Found<core::Warning> {
        let Self { name, scope, threshold, unit, value, window } = self;
        let measure = known("unit", &unit, core::Measure::parse(&unit))?;
        let mut kinds = core::ScopeKind::ALL.into_iter();
        let kind = known("scope", &scope, kinds.find(|kind| kind.as_str() == scope))?;
        let limit = if window == BALANCE {
            core::NearLimit::Balance { name: name.into_owned() }
        } else {
            let window = known("window", &window, core::Window::parse(&window))?;
            core::NearLimit::Ceiling { scope: kind, name: name.into_owned(), window, measure }
        };
        Ok(core::Warning { limit, value: value.into_owned(), threshold: threshold.into_owned() })
    }
}

impl Endpoint<'_> {
    fn decode(self) -> Found<core::Endpoint> {
        read("endpoint", core::Endpoint::parse(&self.method, &self.url))
    }
}

impl Denial<'_> {
    fn decode(self) -> Found<core::Denial> {
        let Self { code, message, policies } = self;
        Ok(core::Denial {
            code: known("code", &code, core::DenyCode::parse(&code))?,
            message: message.into_owned(),
            policies: refs(policies),
        })
    }
}

impl Offer<'_> {
    fn decode(self) -> Found<core::OfferVerdict> {
        let Self { denial, index } = self;
        Ok(core::OfferVerdict { index, denial: denial.map(Denial::decode).transpose()? })
    }
}

impl Intent<'_> {
    fn decode(self) -> Found<core::Intent> {
        let mut protocols = [x402::Protocol::V1, x402::Protocol::V2].into_iter();
        let protocol = protocols.find(|protocol| protocol.number() == self.protocol);
        Ok(core::Intent {
            request_id: read("request_id", core::RequestId::parse(&self.request_id))?,
            agent: read("agent", core::AgentName::parse(&self.agent))?,
            workflow: read("workflow", core::WorkflowName::parse(&self.workflow))?,
            wallet: read("wallet", core::WalletName::parse(&self.wallet))?,
            wallet_address: address("wallet_address", &self.wallet_address)?,
            service: self.service.map(|name| read("service", core::ServiceName::parse(&name))).transpose()?,
            endpoint: self.endpoint.decode()?,
            origin: known("origin", &self.origin, core::OriginMatch::parse(&self.origin))?,
            protocol: known("protocol", &self.protocol.to_string(), protocol)?,
            offer_index: self.offer_index,
            accepted: self.accepted.into(),
            resource: self.resource.map(Into::into),
            extensions: self.extensions.map(Into::into),
            terms: self.terms.decode()?,
            domain: digest(self.domain),
            usd: read("usd", core::Usd::parse(&self.usd))?,
            valid_after: UnixSeconds(self.valid_after.0),
            valid_before: UnixSeconds(self.valid_before.0),
            nonce: self.nonce.0,
        })
    }
}

impl Terms<'_> {
    fn decode(self) -> Found<x402::Terms> {
        let Self { amount, asset, method, payee, scheme } = self;
        let scheme = known(
            "scheme",
            &scheme,
            (scheme == x402::Scheme::Exact.as_str()).then_some(x402::Scheme::Exact),
        )?;
        Ok(x402::Terms {
            scheme,
            method: known("method", &method, core::TransferMethod::parse(&method))?,
            asset: core::AssetId {
                network: read("network", core::ChainId::parse(&asset.network))?,
                address: address("asset", &asset.address)?,
            },
            payee: address("payee", &payee)?,
            amount: read("amount", core::Amount::parse(&amount))?,
        })
    }
}
