//! The subjects of the registry as Cedar entities: only those one request is about.

use std::collections::BTreeSet;

use cedar_policy::{Entity, EntityUid};
use pursekeeper_core::registry::{Ceilings, Registry};
use pursekeeper_core::{
    Address, AgentName, Asset, DenyCode, Endpoint, OperatorName, ServiceName, Status, Subject, TeamName,
    WalletName, WorkflowName,
};

use crate::needs::{Needs, One};
use crate::numbers::{datetime, dollars};
use crate::vocabulary::{
    Pairs, Vocabulary, ceilings, flag, long, pair, record, text, uid, uids, unjudgeable,
};

/// Builds entities from what the registry declares.
#[derive(Clone, Copy)]
pub(crate) struct Slice<'a> {
    pub(crate) words: &'a Vocabulary,
    pub(crate) registry: &'a Registry,
}

impl Slice<'_> {
    pub(crate) fn agent(&self, name: &AgentName, status: Status) -> Result<Entity, DenyCode> {
        let agent = self.registry.agents.get(name).ok_or(DenyCode::AgentUnknown)?;
        let owners = agent.workflows.iter().filter_map(|name| self.owner(name));
        let attributes = vec![
            pair("owners", uids(owners)),
            pair("ceilings", ceilings(&agent.ceilings)?),
            pair("status", text(status.as_str())),
        ];
        let parents = agent.workflows.iter().map(|name| self.words.workflow(name.as_str()));
        let labels = agent.labels.iter().map(|(key, value)| pair(key, text(value)));
        Entity::new_with_tags(self.words.agent(name.as_str()), attributes, parents, labels)
            .map_err(unjudgeable)
    }

    pub(crate) fn workflow(&self, name: &WorkflowName, status: Status) -> Result<Entity, DenyCode> {
        let workflow = self.registry.workflows.get(name).ok_or(DenyCode::WorkflowUnknown)?;
        let services = workflow.services.iter().map(|name| self.words.service(name.as_str()));
        let mut attributes = vec![
            pair("owner", uid(self.team(&workflow.owner))),
            pair("services", uids(services)),
            pair("ceilings", ceilings(&workflow.ceilings)?),
            pair("status", text(status.as_str())),
        ];
        if let Some(expires) = workflow.expires {
            attributes.push(pair("expires", datetime(expires)?));
        }
        entity(self.words.workflow(name.as_str()), attributes)
    }

    pub(crate) fn wallet(
        &self,
        name: &WalletName,
        status: Status,
        backed_up: bool,
    ) -> Result<Entity, DenyCode> {
        let wallet = self.registry.wallets.get(name).ok_or(DenyCode::WalletUnknown)?;
        let workflows = wallet.workflows.iter().map(|name| self.words.workflow(name.as_str()));
        let networks = wallet.networks.iter().map(|network| text(&network.to_string()));
        let networks = cedar_policy::RestrictedExpression::new_set(networks);
        let mut attributes = vec![
            pair("address", text(&wallet.address.to_string())),
            pair("owner", uid(self.team(&wallet.owner))),
            pair("recovery", uids(self.teams(&wallet.recovery))),
            pair("revokers", uids(self.teams(&wallet.revokers))),
            pair("workflows", uids(workflows)),
            pair("networks", networks),
            pair("backed_up", flag(backed_up)),
            pair("ceilings", ceilings(&wallet.ceilings)?),
            pair("status", text(status.as_str())),
        ];
        attributes.extend(wallet.floor.map(|floor| Ok(pair("floor", dollars(floor)?))).transpose()?);
        entity(self.words.wallet(name.as_str()), attributes)
    }

    pub(crate) fn service(&self, name: &ServiceName, status: Status) -> Result<Entity, DenyCode> {
        let service = self.registry.services.get(name).ok_or(DenyCode::EndpointOutOfScope)?;
        let users = self.registry.workflows.values().filter(|workflow| workflow.services.contains(name));
        let owners: BTreeSet<TeamName> = users.map(|workflow| workflow.owner.clone()).collect();
        let attributes = vec![
            pair("origin", text(&service.origin.to_string())),
            pair("resource_optional", flag(service.resource_optional)),
            pair("owners", uids(self.teams(&owners))),
            pair("ceilings", ceilings(&service.ceilings)?),
            pair("status", text(status.as_str())),
        ];
        entity(self.words.service(name.as_str()), attributes)
    }

    pub(crate) fn asset(&self, name: &str, asset: &Asset) -> Result<Entity, DenyCode> {
        let attributes = vec![
            pair("network", text(&asset.id().network.to_string())),
            pair("address", text(&asset.id().address.to_string())),
            pair("symbol", text(asset.symbol())),
        ];
        entity(self.words.asset(name), attributes)
    }

    pub(crate) fn payee(&self, address: Address) -> Result<Entity, DenyCode> {
        let none = Ceilings::default();
        let limits = ceilings(self.registry.payees.get(&address).unwrap_or(&none))?;
        entity(self.words.payee(address.to_string()), vec![pair("ceilings", limits)])
    }

    pub(crate) fn sidecar(&self, subject: &Subject) -> Result<Entity, DenyCode> {
        let owners = self.registry.owners_of_sidecar();
        entity(self.words.sidecar(subject.to_string()), vec![pair("owners", uids(self.teams(&owners)))])
    }

    pub(crate) fn operator(&self, name: &OperatorName) -> Result<Entity, DenyCode> {
        let operator = self.registry.operators.get(name).ok_or(DenyCode::OperatorNotAllowed)?;
        let teams = self.teams(&operator.teams).collect();
        Ok(Entity::new_no_attrs(self.words.operator(name.as_str()), teams))
    }

    /// The call, with only the attributes that are read.
    pub(crate) fn endpoint(
        &self,
        endpoint: &Endpoint,
        services: &[ServiceName],
        needs: Needs,
    ) -> Result<Entity, DenyCode> {
        let origin = endpoint.origin();
        let mut attributes = Pairs::new();
        let mut offer = |one: One, name: &str, value: &dyn Fn() -> cedar_policy::RestrictedExpression| {
            if needs.one(one) {
                attributes.push(pair(name, value()));
            }
        };
        offer(One::EndpointScheme, "scheme", &|| text(origin.scheme()));
        offer(One::EndpointHost, "host", &|| text(origin.host()));
        offer(One::EndpointPort, "port", &|| long(u64::from(origin.port())));
        offer(One::EndpointPath, "path", &|| text(endpoint.path()));
        offer(One::EndpointMethod, "method", &|| text(endpoint.method()));
        let parents = services.iter().map(|name| self.words.service(name.as_str()));
        Entity::new(
            self.words.endpoint(endpoint.to_string()),
            attributes.into_iter().collect(),
            parents.collect(),
        )
        .map_err(unjudgeable)
    }

    fn owner(&self, workflow: &WorkflowName) -> Option<EntityUid> {
        self.registry.workflows.get(workflow).map(|workflow| self.team(&workflow.owner))
    }

    fn team(&self, name: &TeamName) -> EntityUid {
        self.words.team(name.as_str())
    }

    fn teams<'t>(&'t self, names: &'t BTreeSet<TeamName>) -> impl Iterator<Item = EntityUid> + 't {
        names.iter().map(|name| self.team(name))
    }
}

fn entity(uid: EntityUid, attributes: Pairs) -> Result<Entity, DenyCode> {
    Entity::new(uid, attributes.into_iter().collect(), std::iter::empty().collect()).map_err(unjudgeable)
}

/// How a caller was authenticated.
pub(crate) fn identity(
    source: &pursekeeper_core::IdentitySource,
    needs: Needs,
) -> Result<Option<(String, cedar_policy::RestrictedExpression)>, DenyCode> {
    let mut pairs = Pairs::new();
    if needs.one(One::Source) {
        pairs.push(pair("source", text(source.as_str())));
    }
    if needs.one(One::Assurance) {
        pairs.push(pair("assurance", long(u64::from(source.assurance()))));
    }
    if pairs.is_empty() { Ok(None) } else { Ok(Some(pair("identity", record(pairs)?))) }
}
