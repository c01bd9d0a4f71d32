//! Judging an operator's act.

use cedar_policy::{Context, Entities, Entity, Request};
use pursekeeper_core::ports::Verdict;
use pursekeeper_core::{Act, ActVerb, DenyCode, Status, Subject, UnixSeconds};

use crate::embedded::Guardrails;
use crate::entities::{Slice, identity};
use crate::judge::Selection;
use crate::needs::{Needs, One};
use crate::numbers::datetime;
use crate::rule::{Asking, Rule};
use crate::vocabulary::{Pairs, action, pair, text, unjudgeable};

/// Everything an operator's act is judged with.
pub(crate) struct Acts {
    // Guardrails alone: no policy of a team, careful or careless, stands between an operator and the stop.
    suspend: Selection,
    cancel: Selection,
    // Guardrails and the teams' policies.
    resume: Selection,
    release: Selection,
    accept_clock: Selection,
    accept_payee: Selection,
}

impl Acts {
    pub(crate) fn new(team: &[Rule], guardrails: &Guardrails) -> Result<Self, DenyCode> {
        let about = |verb| move |rule: &&Rule| rule.is_about(Asking::Act(verb));
        let always = |verb| guardrails.always.iter().filter(about(verb));
        let all = |verb| Selection::new(always(verb).chain(team.iter().filter(about(verb))));
        Ok(Self {
            suspend: Selection::new(always(ActVerb::Suspend))?,
            cancel: Selection::new(always(ActVerb::Cancel))?,
            resume: all(ActVerb::Resume)?,
            release: all(ActVerb::Release)?,
            accept_clock: all(ActVerb::AcceptClock)?,
            accept_payee: all(ActVerb::AcceptPayee)?,
        })
    }

    /// Judges; a fixed rule that needs no policy is an error.
    pub(crate) fn judge(&self, slice: Slice<'_>, act: &Act, now: UnixSeconds) -> Result<Verdict, DenyCode> {
        let Act { operator, source, verb, subject, hold: _, payee: _, reason } = act;
        let selection = match verb {
            ActVerb::Suspend => &self.suspend,
            ActVerb::Cancel => &self.cancel,
            ActVerb::Resume => &self.resume,
            ActVerb::Release => &self.release,
            ActVerb::AcceptClock => &self.accept_clock,
            ActVerb::AcceptPayee => &self.accept_payee,
        };
        let resource = subject_entity(slice, subject)?;
        let principal = slice.operator(operator)?;
        let action = action(slice.words, Asking::Act(*verb));
        let context = context(*source, reason, now, selection.needs)?;
        let request = Request::new(principal.uid(), action.uid(), resource.uid(), context, None);
        let entities = Entities::from_entities([principal, resource, action], None).map_err(unjudgeable)?;
        Ok(selection.judge(&request.map_err(unjudgeable)?, &entities))
    }
}

/// The subject with what the registry declares about it. The status is the declared one: who may act does not depend on
/// what others did.
fn subject_entity(slice: Slice<'_>, subject: &Subject) -> Result<Entity, DenyCode> {
    let registry = slice.registry;
    let status = |declared: Option<Status>| declared.ok_or(DenyCode::SubjectUnknown);
    match subject {
        Subject::Agent(name) => {
            slice.agent(name, status(registry.agents.get(name).map(|agent| agent.status))?)
        }
        Subject::Workflow(name) => {
            slice.workflow(name, status(registry.workflows.get(name).map(|found| found.status))?)
        }
        Subject::Wallet(address) => {
            let (name, wallet) = registry.wallet_at(*address).ok_or(DenyCode::SubjectUnknown)?;
            slice.wallet(name, wallet.status)
        }
        Subject::Service(name) => {
            slice.service(name, status(registry.services.get(name).map(|found| found.status))?)
        }
        Subject::Sidecar => slice.sidecar(subject),
    }
}

fn context(
    source: pursekeeper_core::IdentitySource,
    reason: &str,
    now: UnixSeconds,
    needs: Needs,
) -> Result<Context, DenyCode> {
    let mut pairs = Pairs::new();
    if needs.one(One::Now) {
        pairs.push(pair("now", datetime(now)?));
    }
    pairs.extend(identity(source, needs)?);
    if needs.one(One::Reason) {
        pairs.push(pair("reason", text(reason)));
    }
    Context::from_pairs(pairs).map_err(unjudgeable)
}
