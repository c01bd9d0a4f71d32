//! Judging a payment.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use cedar_policy::{Context, Entities, EntityUid, Request};
use pursekeeper_core::ports::Verdict;
use pursekeeper_core::registry::Ceilings;
use pursekeeper_core::{
    Address, AgentName, AssetId, DenyCode, Facts, Intent, Measure, ScopeKind, ServiceName, Status,
    WalletName, WorkflowName,
};

use crate::context;
use crate::embedded::Guardrails;
use crate::entities::Slice;
use crate::index::Index;
use crate::judge::Selection;
use crate::needs::{Needs, One};
use crate::rule::{Asking, Rule};
use crate::vocabulary::{action, unjudgeable};

/// Most shapes of requests that are remembered; then remembering starts afresh.
const SHAPES_MAX: usize = 1_024;

/// Everything a payment is judged with.
pub(crate) struct Payments {
    guardrails: &'static Guardrails,
    index: Arc<Index>,
    asset_names: BTreeMap<AssetId, String>,
    /// A memory of pure results: what is in it never changes an answer.
    prepared: Mutex<HashMap<Shape, Arc<Prepared>>>,
}

/// Requests of one shape share policies and subjects; they differ in endpoint, amounts and time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Shape {
    agent: AgentName,
    workflow: WorkflowName,
    wallet: WalletName,
    service: Option<ServiceName>,
    services: Vec<ServiceName>,
    asset: AssetId,
    /// Only when the registry has ceilings for it; sellers must not fill the memory with addresses.
    payee: Option<Address>,
    statuses: [Status; 4],
    backed_up: bool,
}

/// What requests of one shape share.
struct Prepared {
    selection: Selection,
    entities: Entities,
}

impl Payments {
    pub(crate) fn new(
        index: Arc<Index>,
        asset_names: BTreeMap<AssetId, String>,
        guardrails: &'static Guardrails,
    ) -> Self {
        Self { guardrails, index, asset_names, prepared: Mutex::default() }
    }

    /// Judges; a fixed rule that needs no policy is an error.
    pub(crate) fn judge(
        &self,
        slice: Slice<'_>,
        intent: &Intent,
        facts: &Facts,
    ) -> Result<Verdict, DenyCode> {
        check_subjects(slice, intent, facts)?;
        let prepared = self.prepared(slice, intent, facts)?;
        let Prepared { selection, entities } = &*prepared;
        let (request, entities) = self.request(slice, Asking::Pay, (intent, facts), selection, entities)?;
        Ok(selection.judge(&request, &entities))
    }

    /// Judges the allowance that goes with a payment. It is rare: nothing about it is remembered.
    pub(crate) fn judge_allowance(
        &self,
        slice: Slice<'_>,
        intent: &Intent,
        facts: &Facts,
    ) -> Result<Verdict, DenyCode> {
        check_subjects(slice, intent, facts)?;
        let shape = shape(slice, intent, facts);
        let asking = Asking::GrantAllowance;
        let always = self.guardrails.always.iter().filter(|rule| rule.is_about(asking));
        let selection = Selection::new(always.chain(self.team(slice, asking, &shape)?))?;
        let shared = self.shared_entities(slice, asking, &shape)?;
        let (request, entities) = self.request(slice, asking, (intent, facts), &selection, &shared)?;
        Ok(selection.judge(&request, &entities))
    }

    /// The teams' policies that can say anything about requests of a shape.
    fn team(&self, slice: Slice<'_>, asking: Asking, shape: &Shape) -> Result<Vec<&Rule>, DenyCode> {
        let agent = slice.registry.agents.get(&shape.agent).ok_or(DenyCode::AgentUnknown)?;
        let principals: Vec<EntityUid> = std::iter::once(slice.words.agent(shape.agent.as_str()))
            .chain(agent.workflows.iter().map(|name| slice.words.workflow(name.as_str())))
            .collect();
        let resources: Vec<EntityUid> =
            shape.services.iter().map(|name| slice.words.service(name.as_str())).collect();
        Ok(self.index.select(asking, &principals, &resources))
    }

    /// The request and the entities it is about.
    fn request(
        &self,
        slice: Slice<'_>,
        asking: Asking,
        (intent, facts): (&Intent, &Facts),
        selection: &Selection,
        shared: &Entities,
    ) -> Result<(Request, Entities), DenyCode> {
        let needs = selection.needs;
        let asset = self.asset_names.get(&intent.terms.asset).ok_or(DenyCode::AssetUnknown)?;
        let context: Context = context::payment(slice.words, (intent, asset), facts, needs)?;
        let endpoint = slice.endpoint(&intent.endpoint, &facts.services, needs)?;
        let (principal, resource) = (slice.words.agent(intent.agent.as_str()), endpoint.uid());
        // A payee with ceilings is among the shared ones.
        let unshared = needs.one(One::Payee) && !slice.registry.payees.contains_key(&intent.terms.payee);
        let payee = unshared.then(|| slice.payee(intent.terms.payee)).transpose()?;
        let own = [Some(endpoint), payee].into_iter().flatten();
        let entities = shared.clone().add_entities(own, None).map_err(unjudgeable)?;
        // The types here are right by construction; a test builds every shape under strict validation.
        let action = slice.words.action(asking.action());
        let request = Request::new(principal, action, resource, context, None).map_err(unjudgeable)?;
        Ok((request, entities))
    }

    fn prepared(&self, slice: Slice<'_>, intent: &Intent, facts: &Facts) -> Result<Arc<Prepared>, DenyCode> {
        let shape = shape(slice, intent, facts);
        let known = self.prepared.lock().unwrap_or_else(PoisonError::into_inner).get(&shape).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let prepared = Arc::new(self.prepare(slice, (intent, facts), &shape)?);
        let mut memory = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.len() >= SHAPES_MAX {
            memory.clear();
        }
        memory.insert(shape, prepared.clone());
        Ok(prepared)
    }

    fn prepare(
        &self,
        slice: Slice<'_>,
        (intent, facts): (&Intent, &Facts),
        shape: &Shape,
    ) -> Result<Prepared, DenyCode> {
        let mut selected = Vec::new();
        let entities = self.shared_entities(slice, Asking::Pay, shape)?;
        for rule in self.guardrails.always.iter().filter(|rule| rule.is_about(Asking::Pay)) {
            if !self.is_settled(slice, (intent, facts), rule, &entities)? {
                selected.push(rule);
            }
        }
        selected.extend(self.ceilings(slice, intent));
        let wallet = slice.registry.wallets.get(&intent.wallet);
        if wallet.is_some_and(|wallet| wallet.floor.is_some()) {
            selected.extend(&self.guardrails.balance);
        }
        let service = intent.service.as_ref().and_then(|name| slice.registry.services.get(name));
        if service.is_some_and(|service| service.prepaid.is_some()) {
            selected.extend(&self.guardrails.prepaid);
        }
        selected.extend(self.team(slice, Asking::Pay, shape)?);
        Ok(Prepared { selection: Selection::new(selected)?, entities })
    }

    /// Whether a guardrail has nothing to say about any request of this shape: it reads only what they share, and Cedar
    /// has just found that it does not forbid.
    ///
    /// INVARIANT: a guardrail left out for a shape is one whose answer cannot change within it. That is true of rules that
    /// read nothing but [`Needs::of_a_shape`], the subjects, and which services the endpoint is in.
    fn is_settled(
        &self,
        slice: Slice<'_>,
        (intent, facts): (&Intent, &Facts),
        rule: &Rule,
        shared: &Entities,
    ) -> Result<bool, DenyCode> {
        if rule.code.is_none() || !rule.needs.within(Needs::of_a_shape()) {
            return Ok(false);
        }
        let alone = Selection::new([rule])?;
        let (request, entities) = self.request(slice, Asking::Pay, (intent, facts), &alone, shared)?;
        Ok(alone.judge(&request, &entities) == Verdict::Deny(DenyCode::NoPermit, Vec::new()))
    }

    /// The rules for the ceilings that the subjects declare; the others could not forbid anything.
    fn ceilings(&self, slice: Slice<'_>, intent: &Intent) -> Vec<&Rule> {
        let registry = slice.registry;
        let service = intent.service.as_ref().and_then(|name| registry.services.get(name));
        let declared: [(ScopeKind, Option<&Ceilings>); 5] = [
            (ScopeKind::Agent, registry.agents.get(&intent.agent).map(|agent| &agent.ceilings)),
            (ScopeKind::Workflow, registry.workflows.get(&intent.workflow).map(|found| &found.ceilings)),
            (ScopeKind::Wallet, registry.wallets.get(&intent.wallet).map(|wallet| &wallet.ceilings)),
            (ScopeKind::Service, service.map(|service| &service.ceilings)),
            (ScopeKind::Payee, registry.payees.get(&intent.terms.payee)),
        ];
        let mut keys = Vec::new();
        for (kind, ceilings) in declared {
            let Some(Ceilings { usd, payments, sign_ins: _, warn_at: _ }) = ceilings else { continue };
            keys.extend(usd.keys().map(|window| (kind, Measure::Usd, *window)));
            keys.extend(payments.keys().map(|window| (kind, Measure::Payments, *window)));
        }
        keys.iter().filter_map(|key| self.guardrails.ceilings.get(key)).collect()
    }

    fn shared_entities(&self, slice: Slice<'_>, asking: Asking, shape: &Shape) -> Result<Entities, DenyCode> {
        let Shape { agent, workflow, wallet, service, services: _, asset, payee, statuses, backed_up } =
            shape;
        let [agent_status, workflow_status, wallet_status, service_status] = *statuses;
        let declared = slice.registry.assets.get(asset).ok_or(DenyCode::AssetUnknown)?;
        let asset_name = self.asset_names.get(asset).ok_or(DenyCode::AssetUnknown)?;
        let mut entities = vec![
            action(slice.words, asking),
            slice.agent(agent, agent_status)?,
            slice.workflow(workflow, workflow_status)?,
            slice.wallet(wallet, wallet_status, *backed_up)?,
            slice.asset(asset_name, declared)?,
        ];
        if let Some(service) = service {
            entities.push(slice.service(service, service_status)?);
        }
        if let Some(payee) = payee {
            entities.push(slice.payee(*payee)?);
        }
        Entities::from_entities(entities, None).map_err(unjudgeable)
    }
}

#[cfg(test)]
impl Payments {
    /// Judges with every policy there is and every attribute of the schema, strictly validated: what [`Self::judge`]
    /// must agree with.
    pub(crate) fn judge_with_everything(
        &self,
        slice: Slice<'_>,
        asking: Asking,
        (intent, facts): (&Intent, &Facts),
    ) -> Result<Verdict, DenyCode> {
        check_subjects(slice, intent, facts)?;
        let all = self.guardrails.all().chain(self.index.all());
        let rules = all.filter(|rule| rule.is_about(asking));
        let mut selection = Selection::new(rules)?;
        selection.needs = Needs::ALL;
        let shared = self.shared_entities(slice, asking, &shape(slice, intent, facts))?;
        let (request, entities) = self.request(slice, asking, (intent, facts), &selection, &shared)?;
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

fn shape(slice: Slice<'_>, intent: &Intent, facts: &Facts) -> Shape {
    let payee = intent.terms.payee;
    Shape {
        agent: intent.agent.clone(),
        workflow: intent.workflow.clone(),
        wallet: intent.wallet.clone(),
        service: intent.service.clone(),
        services: facts.services.clone(),
        asset: intent.terms.asset.clone(),
        payee: slice.registry.payees.contains_key(&payee).then_some(payee),
        statuses: [facts.agent_status, facts.workflow_status, facts.wallet_status, facts.service_status],
        backed_up: facts.wallet_backed_up,
    }
}

/// What the gate resolved must be what this bundle declares.
fn check_subjects(slice: Slice<'_>, intent: &Intent, facts: &Facts) -> Result<(), DenyCode> {
    if facts.caller.agent != intent.agent {
        return Err(DenyCode::AgentUnknown);
    }
    let wallet = slice.registry.wallets.get(&intent.wallet).ok_or(DenyCode::WalletUnknown)?;
    if wallet.address == intent.wallet_address { Ok(()) } else { Err(DenyCode::WalletUnknown) }
}
