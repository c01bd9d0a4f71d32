//! Judging a sign-in.

use std::sync::Arc;

use cedar_policy::{Entities, EntityUid, Request};
use pursekeeper_core::ports::Verdict;
use pursekeeper_core::registry::Ceilings;
use pursekeeper_core::{DenyCode, Facts, Measure, ScopeKind, SignInIntent};

use crate::context;
use crate::embedded::Guardrails;
use crate::entities::Slice;
use crate::index::Index;
use crate::judge::Selection;
use crate::rule::{Asking, Rule};
use crate::vocabulary::{action, unjudgeable};

/// Everything a sign-in is judged with.
pub(crate) struct SignIns {
    guardrails: &'static Guardrails,
    index: Arc<Index>,
}

impl SignIns {
    pub(crate) fn new(index: Arc<Index>, guardrails: &'static Guardrails) -> Self {
        Self { guardrails, index }
    }

    /// Judges; a fixed rule that needs no policy is an error.
    pub(crate) fn judge(
        &self,
        slice: Slice<'_>,
        intent: &SignInIntent,
        facts: &Facts,
    ) -> Result<Verdict, DenyCode> {
        check_subjects(slice, intent, facts)?;
        let selection = Selection::new(self.select(slice, intent, facts)?)?;
        let (request, entities) = request(slice, intent, facts, &selection)?;
        Ok(selection.judge(&request, &entities))
    }

    fn select<'s>(
        &'s self,
        slice: Slice<'_>,
        intent: &SignInIntent,
        facts: &Facts,
    ) -> Result<Vec<&'s Rule>, DenyCode> {
        let agent = slice.registry.agents.get(&intent.agent).ok_or(DenyCode::AgentUnknown)?;
        let principals: Vec<EntityUid> = std::iter::once(slice.words.agent(intent.agent.as_str()))
            .chain(agent.workflows.iter().map(|name| slice.words.workflow(name.as_str())))
            .collect();
        let resources: Vec<EntityUid> =
            facts.services.iter().map(|name| slice.words.service(name.as_str())).collect();
        let always = self.guardrails.always.iter().filter(|rule| rule.is_about(Asking::SignIn));
        let mut selected: Vec<&Rule> = always.chain(self.ceilings(slice, intent)).collect();
        selected.extend(self.index.select(Asking::SignIn, &principals, &resources));
        Ok(selected)
    }

    /// The rules for the ceilings that the subjects declare; the others could not forbid anything.
    fn ceilings(&self, slice: Slice<'_>, intent: &SignInIntent) -> Vec<&Rule> {
        let registry = slice.registry;
        let service = intent.service.as_ref().and_then(|name| registry.services.get(name));
        let declared: [(ScopeKind, Option<&Ceilings>); 4] = [
            (ScopeKind::Agent, registry.agents.get(&intent.agent).map(|agent| &agent.ceilings)),
            (ScopeKind::Workflow, registry.workflows.get(&intent.workflow).map(|found| &found.ceilings)),
            (ScopeKind::Wallet, registry.wallets.get(&intent.wallet).map(|wallet| &wallet.ceilings)),
            (ScopeKind::Service, service.map(|service| &service.ceilings)),
        ];
        let mut rules = Vec::new();
        for (kind, ceilings) in declared {
            let windows = ceilings.into_iter().flat_map(|ceilings| ceilings.sign_ins.keys());
            let keys = windows.map(|window| (kind, Measure::SignIns, *window));
            rules.extend(keys.filter_map(|key| self.guardrails.ceilings.get(&key)));
        }
        rules
    }
}

#[cfg(test)]
impl SignIns {
    /// Judges with every policy there is and every attribute of the schema, strictly validated: what [`Self::judge`]
    /// must agree with.
    pub(crate) fn judge_with_everything(
        &self,
        slice: Slice<'_>,
        intent: &SignInIntent,
        facts: &Facts,
    ) -> Result<Verdict, DenyCode> {
        check_subjects(slice, intent, facts)?;
        let all = self.guardrails.all().chain(self.index.all());
        let mut selection = Selection::new(all.filter(|rule| rule.is_about(Asking::SignIn)))?;
        selection.needs = crate::needs::Needs::ALL;
        let (request, entities) = request(slice, intent, facts, &selection)?;
        let schema = &self.guardrails.schema;
        Entities::from_entities(entities.iter().cloned(), Some(schema)).expect("entities fit the schema");
        let context = request.context().expect("a context").clone();
        let [principal, action, resource] = [request.principal(), request.action(), request.resource()]
            .map(|uid| uid.expect("a concrete request").clone());
        Request::new(principal, action, resource, context, Some(schema))
            .expect("the request fits the schema");
        Ok(selection.judge(&request, &entities))
    }
}

/// The request and the entities it is about.
fn request(
    slice: Slice<'_>,
    intent: &SignInIntent,
    facts: &Facts,
    selection: &Selection,
) -> Result<(Request, Entities), DenyCode> {
    let context = context::sign_in(slice.words, intent, facts, selection.needs)?;
    let endpoint = slice.endpoint(&intent.endpoint, &facts.services, selection.needs)?;
    let principal = slice.words.agent(intent.agent.as_str());
    let asked = slice.words.action(Asking::SignIn.action());
    let resource = endpoint.uid();
    let mut entities = vec![
        action(slice.words, Asking::SignIn),
        slice.agent(&intent.agent, facts.agent_status)?,
        slice.workflow(&intent.workflow, facts.workflow_status)?,
        slice.wallet(&intent.wallet, facts.wallet_status, facts.wallet_backed_up)?,
        endpoint,
    ];
    if let Some(service) = &intent.service {
        entities.push(slice.service(service, facts.service_status)?);
    }
    let entities = Entities::from_entities(entities, None).map_err(unjudgeable)?;
    let request = Request::new(principal, asked, resource, context, None).map_err(unjudgeable)?;
    Ok((request, entities))
}

/// What the gate resolved must be what this bundle declares.
fn check_subjects(slice: Slice<'_>, intent: &SignInIntent, facts: &Facts) -> Result<(), DenyCode> {
    if facts.caller.agent != intent.agent {
        return Err(DenyCode::AgentUnknown);
    }
    let wallet = slice.registry.wallets.get(&intent.wallet).ok_or(DenyCode::WalletUnknown)?;
    let same = wallet.address == intent.wallet_address;
    let signs = intent.message.parts().address == intent.wallet_address;
    if same && signs { Ok(()) } else { Err(DenyCode::WalletUnknown) }
}
