//! Which policies of the teams can say anything about what agents ask for.
//!
//! Cedar's time grows with the policies it is given, so only those are given whose head can match. INVARIANT: a policy
//! left out here is one whose head Cedar would find not to match for this principal, action and resource.

use std::collections::HashMap;

use cedar_policy::{EntityTypeName, EntityUid, PrincipalConstraint, ResourceConstraint};

use crate::rule::{Asking, Rule};

/// The policies about what agents ask for, by the principal their head names.
#[derive(Debug, Default)]
pub(crate) struct Index {
    rules: Vec<Rule>,
    any: Vec<usize>,
    by_principal: HashMap<EntityUid, Vec<usize>>,
}

impl Index {
    pub(crate) fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        let mut index = Self::default();
        let asked = [Asking::Pay, Asking::GrantAllowance, Asking::SignIn];
        let about = |rule: &Rule| asked.into_iter().any(|asking| rule.is_about(asking));
        for rule in rules.into_iter().filter(about) {
            let at = index.rules.len();
            match rule.policy.principal_constraint() {
                PrincipalConstraint::Any => index.any.push(at),
                PrincipalConstraint::Is(kind) if is(&kind, "Agent") => index.any.push(at),
                PrincipalConstraint::Is(_) => continue,
                PrincipalConstraint::In(uid)
                | PrincipalConstraint::Eq(uid)
                | PrincipalConstraint::IsIn(_, uid) => {
                    index.by_principal.entry(uid).or_default().push(at);
                }
            }
            index.rules.push(rule);
        }
        index
    }

    /// The policies that can match what is asked. `principals` are the agent and everything it is in; `resources` the services the
    /// endpoint is in.
    pub(crate) fn select(
        &self,
        asking: Asking,
        principals: &[EntityUid],
        resources: &[EntityUid],
    ) -> Vec<&Rule> {
        let named = principals.iter().filter_map(|uid| self.by_principal.get(uid)).flatten();
        let mut selected: Vec<usize> = self.any.iter().chain(named).copied().collect();
        selected.sort_unstable();
        selected.dedup();
        let rules = selected.into_iter().filter_map(|at| self.rules.get(at));
        let rules = rules.filter(|rule| rule.is_about(asking));
        rules.filter(|rule| can_match(&rule.policy.resource_constraint(), resources)).collect()
    }
}

#[cfg(test)]
impl Index {
    pub(crate) fn all(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }
}

/// Whether an endpoint in `services` can match. Which endpoint it is, Cedar finds out itself.
fn can_match(constraint: &ResourceConstraint, services: &[EntityUid]) -> bool {
    let endpoint_or_its_service = |uid: &EntityUid| is(uid.type_name(), "Endpoint") || services.contains(uid);
    match constraint {
        ResourceConstraint::Any => true,
        ResourceConstraint::Is(kind) => is(kind, "Endpoint"),
        ResourceConstraint::In(uid) | ResourceConstraint::Eq(uid) => endpoint_or_its_service(uid),
        ResourceConstraint::IsIn(kind, uid) => is(kind, "Endpoint") && endpoint_or_its_service(uid),
    }
}

fn is(kind: &EntityTypeName, word: &str) -> bool {
    kind.basename() == word && kind.namespace() == "Pursekeeper"
}
