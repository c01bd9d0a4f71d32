//! Judging an operator's act.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::sync::Arc;

use cedar_policy::{Context, Entities, Entity, Request, RequestValidationError, Schema};
use pursekeeper_core::ports::Verdict;
use pursekeeper_core::registry::BackupRule;
use pursekeeper_core::{Act, ActVerb, DenyCode, IdentitySource, Status, Subject, UnixSeconds};

use crate::embedded::Guardrails;
use crate::entities::{Slice, identity};
use crate::judge::Selection;
use crate::needs::Needs;
use crate::numbers::datetime;
use crate::rule::{Asking, Rule};
use crate::vocabulary::{Pairs, action, pair, text, unjudgeable};

/// Everything an operator's act is judged with.
pub(crate) struct Acts {
    schema: &'static Schema,
    /// The guardrails and the teams' policies about each act. About an act that only stops or voids the guardrails alone:
    /// no policy of a team, careful or careless, stands between an operator and the stop. Acts about which the policies are
    /// the same share them: there can be many.
    selections: BTreeMap<ActVerb, Arc<Selection>>,
}

impl Acts {
    pub(crate) fn new(team: &[Rule], guardrails: &'static Guardrails) -> Result<Self, DenyCode> {
        let mut known: BTreeMap<Vec<Arc<str>>, Arc<Selection>> = BTreeMap::new();
        let mut select = |verb: ActVerb| {
            let narrowing = if verb.is_stop() { &[] } else { team };
            let all = guardrails.always.iter().chain(narrowing);
            let rules: Vec<&Rule> = all.filter(|rule| rule.is_about(Asking::Act(verb))).collect();
            let selection = match known.entry(rules.iter().map(|rule| rule.reference.id.clone()).collect()) {
                MapEntry::Occupied(same) => same.get().clone(),
                MapEntry::Vacant(new) => new.insert(Arc::new(Selection::new(rules)?)).clone(),
            };
            Ok((verb, selection))
        };
        let selections = ActVerb::ALL.into_iter().map(&mut select).collect::<Result<_, _>>()?;
        Ok(Self { schema: &guardrails.schema, selections })
    }

    /// Judges; a fixed rule that needs no policy is an error.
    pub(crate) fn judge(&self, slice: Slice<'_>, act: &Act, now: UnixSeconds) -> Result<Verdict, DenyCode> {
        let selection = self.selections.get(&act.verb).ok_or(DenyCode::NoPermit)?;
        let (request, entities) = self.request(slice, act, now)?;
        Ok(selection.judge(&request, &entities))
    }

    /// The request and the entities it is about.
    fn request(
        &self,
        slice: Slice<'_>,
        act: &Act,
        now: UnixSeconds,
    ) -> Result<(Request, Entities), DenyCode> {
        let Act { operator, source, verb, subject, detail: _, reason } = act;
        let resource = subject_entity(slice, subject, now)?;
        let principal = slice.operator(operator)?;
        let action = action(slice.words, Asking::Act(*verb));
        let context = context(source, reason, now)?;
        // The schema says which acts there are on which kind of subject. Acts are rare: Cedar itself checks each.
        let (by, what, whom) = (principal.uid(), action.uid(), resource.uid());
        let request = Request::new(by, what, whom, context, Some(self.schema)).map_err(no_such_act)?;
        let entities = Entities::from_entities([principal, resource, action], None).map_err(unjudgeable)?;
        Ok((request, entities))
    }
}

#[cfg(test)]
impl Acts {
    /// Judges with entities that are validated strictly: what [`Self::judge`] must agree with.
    pub(crate) fn judge_strictly(
        &self,
        slice: Slice<'_>,
        act: &Act,
        now: UnixSeconds,
    ) -> Result<Verdict, DenyCode> {
        let (request, entities) = self.request(slice, act, now)?;
        let entities = Entities::from_entities(entities.iter().cloned(), Some(self.schema));
        Ok(self.selections[&act.verb].judge(&request, &entities.expect("entities fit the schema")))
    }
}

/// There is nothing of this kind to do that to, or the request is not what the schema says.
fn no_such_act(error: RequestValidationError) -> DenyCode {
    if matches!(error, RequestValidationError::InvalidResourceType(_)) {
        DenyCode::SubjectUnknown
    } else {
        unjudgeable(error)
    }
}

/// The subject with what the registry declares about it. The status is the declared one, and a backup is known only where
/// none is wanted: who may act does not depend on what others did.
fn subject_entity(slice: Slice<'_>, subject: &Subject, now: UnixSeconds) -> Result<Entity, DenyCode> {
    let registry = slice.registry;
    let status: Status = registry.declared(subject, now).ok_or(DenyCode::SubjectUnknown)?;
    match subject {
        Subject::Agent(name) => slice.agent(name, status),
        Subject::Workflow(name) => slice.workflow(name, status),
        Subject::Wallet(address) => {
            let (name, wallet) = registry.wallet_of(*address).ok_or(DenyCode::SubjectUnknown)?;
            slice.wallet(name, status, wallet.backup == BackupRule::None)
        }
        Subject::Service(name) => slice.service(name, status),
        Subject::Sidecar => slice.sidecar(subject),
    }
}

fn context(source: &IdentitySource, reason: &str, now: UnixSeconds) -> Result<Context, DenyCode> {
    let mut pairs = Pairs::from([pair("now", datetime(now)?), pair("reason", text(reason))]);
    pairs.extend(identity(source, Needs::ALL)?);
    Context::from_pairs(pairs).map_err(unjudgeable)
}
