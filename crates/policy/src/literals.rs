//! Subjects that a policy names must exist: `forbid (principal in Workflow::"reserch", …)` would be valid Cedar and
//! forbid nothing.

use cedar_policy::{EntityUid, Policy};
use pursekeeper_core::{
    AgentName, Endpoint, EvmAddress, NameError, OperatorName, ServiceName, Subject, TeamName, WalletName,
    WorkflowName,
};

use crate::registry::Declaration;

/// What is wrong with the entities a policy names.
pub(crate) fn check(policy: &Policy, declaration: &Declaration) -> Vec<String> {
    policy.entity_literals().iter().filter_map(|uid| complaint(uid, declaration)).collect()
}

fn complaint(uid: &EntityUid, declaration: &Declaration) -> Option<String> {
    let id = uid.id().unescaped();
    let registry = &declaration.registry;
    let declared = match uid.type_name().basename() {
        "Agent" => known(AgentName::parse, id, |name| registry.agents.contains_key(name)),
        "Workflow" => known(WorkflowName::parse, id, |name| registry.workflows.contains_key(name)),
        "Wallet" => known(WalletName::parse, id, |name| registry.wallets.contains_key(name)),
        "Service" => known(ServiceName::parse, id, |name| registry.services.contains_key(name)),
        "Team" => known(TeamName::parse, id, |name| registry.teams.contains_key(name)),
        "Operator" => known(OperatorName::parse, id, |name| registry.operators.contains_key(name)),
        "Asset" => declaration.asset_names.values().any(|name| name == id),
        "Sidecar" => return sidecar(id),
        "Payee" => return payee(id),
        "Endpoint" => return endpoint(id),
        // Actions and unknown types are the validator's.
        _ => true,
    };
    (!declared).then(|| format!("`{uid}` is not in registry.yaml: declare it, or correct the name"))
}

fn known<T>(parse: fn(&str) -> Result<T, NameError>, id: &str, has: impl Fn(&T) -> bool) -> bool {
    parse(id).is_ok_and(|name| has(&name))
}

fn sidecar(id: &str) -> Option<String> {
    let only = Subject::Sidecar.to_string();
    (id != only).then(|| format!("`Sidecar::\"{id}\"` would never match: write `Sidecar::\"{only}\"`"))
}

fn payee(id: &str) -> Option<String> {
    match EvmAddress::parse(id) {
        Ok(address) if address.to_string() == id => None,
        Ok(address) => Some(format!("`Payee::\"{id}\"` would never match: write `Payee::\"{address}\"`")),
        Err(error) => Some(format!("`Payee::\"{id}\"`: {error}")),
    }
}

fn endpoint(id: &str) -> Option<String> {
    let (method, url) = id.split_once(' ').unwrap_or(("", id));
    match Endpoint::parse(method, url) {
        Ok(endpoint) if endpoint.to_string() == id => None,
        Ok(endpoint) => {
            Some(format!("`Endpoint::\"{id}\"` would never match: write `Endpoint::\"{endpoint}\"`"))
        }
        Err(error) => Some(format!("`Endpoint::\"{id}\"`: write method and URL: {error}")),
    }
}
