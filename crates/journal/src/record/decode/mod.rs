//! From a record back to what was decided, exactly: a retry after a restart signs it again.

mod life;
mod members;
mod notes;
mod who;

pub(crate) use members::{parse_credit, parse_scope, parse_subject};

use std::fmt;

use pursekeeper_core as core;
use pursekeeper_core::{JournalId, Moment, UnixSeconds};

use super::{
    Cancellation, Denial, Hex, Int, Intent, Kind, Offer, Pending, Policy, Record, Shadow, SignIn,
    StatusChange, Time, VERSION, Verdict, Warning,
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
    if !record.is_written_as(body) {
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

fn bundle_id(bundle: Hex<32>, revision: Option<Int>) -> core::BundleId {
    core::BundleId { digest: digest(bundle), revision: revision.map(|Int(revision)| revision) }
}

fn address(member: &str, text: &str) -> Found<core::Address> {
    read(member, core::EvmAddress::parse(text)).map(core::Address::Evm)
}

impl Record<'_> {
    /// Which optional members there are.
    fn shape(&self) -> [bool; 32] {
        [
            self.act.is_some(),
            self.adopted.is_some(),
            self.asked.is_some(),
            self.bundle.is_some(),
            self.cancellation.is_some(),
            self.cascade.is_some(),
            self.ceilings.is_some(),
            self.changes.is_some(),
            self.completed.is_some(),
            self.counted_until.is_some(),
            self.denial.is_some(),
            self.evidence.is_some(),
            self.fingerprint.is_some(),
            self.held_until.is_some(),
            self.intent.is_some(),
            self.journal.is_some(),
            self.offers.is_some(),
            self.original_seq.is_some(),
            self.pending.is_some(),
            self.policies.is_some(),
            self.reload.is_some(),
            self.repeat.is_some(),
            self.report.is_some(),
            self.resolution.is_some(),
            self.reviewed.is_some(),
            self.revision.is_some(),
            self.shadow.is_some(),
            self.sign_in.is_some(),
            self.signatures.is_some(),
            self.stranger.is_some(),
            self.wallet.is_some(),
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
            cancellation,
            cascade,
            ceilings,
            changes,
            completed,
            counted_until,
            denial,
            evidence,
            fingerprint,
            held_until,
            intent,
            journal,
            kind,
            offers,
            original_seq,
            pending,
            policies,
            reload,
            repeat,
            report,
            resolution,
            reviewed,
            revision,
            seq: _,
            shadow,
            sign_in,
            signatures,
            stranger,
            time: Time { boot_id: Hex(boot_id), boot_ms: Int(boot_ms), unix_ms: Int(unix_ms) },
            v: Int(version),
            verdict,
            wallet,
            warnings,
        } = self;
        if version != VERSION {
            return Err(Flaw(format!("`v`: version {version} is not known")));
        }
        let at = Moment { unix_ms, boot_ms, boot_id };
        let under = || present("bundle", bundle).map(|bundle| bundle_id(bundle, revision));
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
                ceilings: notes::ceilings(ceilings)?,
                pending: pending.map(Pending::decode).transpose()?,
                bundle: under()?,
                shadow: shadow.map(Shadow::decode).transpose()?.map(Box::new),
            })),
            Kind::Reissue => core::Entry::Reissue(Box::new(core::Reissue {
                at,
                asked: present("asked", asked)?.decode()?,
                original_seq: present("original_seq", original_seq)?.0,
                what: match (intent, sign_in) {
                    (Some(intent), None) => paid_again(intent.decode()?),
                    (None, Some(sign_in)) => core::Signable::SignIn(sign_in.decode()?),
                    (Some(_), Some(_)) | (None, None) => {
                        return Err(Flaw("it is neither a payment nor a sign-in".to_owned()));
                    }
                },
                policies: refs(policies.unwrap_or_default()),
                bundle: under()?,
            })),
            Kind::Lifecycle => core::Entry::Lifecycle(Box::new(core::LifecycleDecision {
                at,
                act: present("act", act)?.decode()?,
                denial: denial.map(Denial::decode).transpose()?,
                cancellation: cancellation.map(Cancellation::decode).transpose()?,
                cascade: life::cascade(cascade)?,
                wallet: wallet.map(|name| read("wallet", core::WalletName::parse(&name))).transpose()?,
                policies: refs(present("policies", policies)?),
                bundle: under()?,
            })),
            Kind::Transition => core::Entry::Transition(Box::new(core::Transition {
                at,
                bundle: under()?,
                reviewed: reviewed.map(life::reviewed).transpose()?,
                completed: life::completed(present("completed", completed)?)?,
                statuses: (present("changes", changes)?.into_iter())
                    .map(StatusChange::decode)
                    .collect::<Found<_>>()?,
            })),
            Kind::SignIn => {
                let intent = sign_in.map(SignIn::decode).transpose()?;
                let outcome = match present("verdict", verdict)? {
                    Verdict::Permit => core::SignInOutcome::Permit(Box::new(core::SignInPermit {
                        intent: present("sign_in", intent)?,
                        policies: refs(present("policies", policies)?),
                        counted_until: UnixSeconds(present("counted_until", counted_until)?.0),
                    })),
                    Verdict::Deny => core::SignInOutcome::Deny {
                        denial: present("denial", denial)?.decode()?,
                        intent: intent.map(Box::new),
                    },
                };
                core::Entry::SignIn(Box::new(core::SignInDecision {
                    at,
                    asked: present("asked", asked)?.decode()?,
                    fingerprint: digest(present("fingerprint", fingerprint)?),
                    outcome,
                    ceilings: notes::ceilings(ceilings)?,
                    bundle: under()?,
                    shadow: shadow.map(Shadow::decode).transpose()?.map(Box::new),
                }))
            }
            Kind::Signature => core::Entry::Signatures(Box::new(core::SignaturesMade {
                at,
                hashes: notes::hashes(present("signatures", signatures)?),
            })),
            Kind::Unauthenticated => {
                core::Entry::Unauthenticated(Box::new(present("stranger", stranger)?.decode(at, under()?)?))
            }
            Kind::Repeat => core::Entry::Repeated(Box::new(core::Repeated {
                at,
                repeats: present("repeat", repeat)?.decode()?,
            })),
            Kind::Reload => core::Entry::Reload(Box::new(present("reload", reload)?.decode(at, under()?)?)),
            Kind::Report => {
                let (caller, said) = present("report", report)?.decode()?;
                let original_seq = present("original_seq", original_seq)?.0;
                core::Entry::Report(Box::new(core::Report { at, caller, original_seq, said }))
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

/// What is signed again of a payment; or the allowance for it, which an app that builds typed data asks for on its own.
fn paid_again(intent: core::Intent) -> core::Signable {
    match (&intent.demand, intent.allowance) {
        (core::Demand::TypedData, Some(allowance)) => {
            core::Signable::Allowance(core::Intent { allowance: None, ..intent }, allowance)
        }
        (core::Demand::TypedData, None) | (core::Demand::Offer(_), _) => core::Signable::Payment(intent),
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
        .map(|Policy { digest: text, id, reason }| core::PolicyRef {
            id: id.into(),
            reason: reason.into(),
            digest: text.map(digest),
        })
        .collect()
}
