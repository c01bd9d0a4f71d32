//! From selected policies and a request to a verdict.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::{AuthorizationError, Authorizer, Entities, PolicyId, PolicySet, Request};
use pursekeeper_core::ports::Verdict;
use pursekeeper_core::{DenyCode, PolicyRef};

use crate::needs::Needs;
use crate::rule::Rule;
use crate::vocabulary::unjudgeable;

/// The policies that can say anything about a request.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    policies: PolicySet,
    marks: BTreeMap<Arc<str>, (PolicyRef, Option<DenyCode>)>,
    /// What they read.
    pub(crate) needs: Needs,
}

impl Selection {
    /// Takes clones of `rules`.
    pub(crate) fn new<'r>(rules: impl IntoIterator<Item = &'r Rule>) -> Result<Self, DenyCode> {
        let mut selection = Self::default();
        for rule in rules {
            let Rule { reference, code, needs, policy } = rule;
            selection.needs = selection.needs.and(*needs);
            selection.marks.insert(reference.id.clone(), (reference.clone(), *code));
            selection.policies.add(policy.clone()).map_err(unjudgeable)?;
        }
        Ok(selection)
    }

    /// Judges. What Cedar could not evaluate is a denial: Cedar skips it, and it could have been the forbid.
    pub(crate) fn judge(&self, request: &Request, entities: &Entities) -> Verdict {
        let response = Authorizer::new().is_authorized(request, &self.policies, entities);
        let diagnostics = response.diagnostics();
        let mut determining: Vec<(Option<DenyCode>, PolicyRef)> =
            diagnostics.reason().map(|id| self.mark(id)).collect();
        let mut errors: Vec<PolicyRef> = diagnostics.errors().map(|error| self.failed(error)).collect();
        let permits = response.decision() == cedar_policy::Decision::Allow;
        // A fixed rule outranks a team's, and among fixed rules the one a request gets past last comes first.
        determining.sort_by(|(a, a_ref), (b, b_ref)| b.cmp(a).then(a_ref.cmp(b_ref)));
        let code = determining.first().and_then(|(code, _)| *code);
        let references = determining.into_iter().map(|(_, reference)| reference);
        if !errors.is_empty() {
            errors.sort();
            errors.extend(references.filter(|_| !permits));
            return Verdict::Deny(DenyCode::PolicyError, errors);
        }
        let references: Vec<PolicyRef> = references.collect();
        if permits {
            return Verdict::Permit(references);
        }
        if references.is_empty() {
            return Verdict::Deny(DenyCode::NoPermit, references);
        }
        Verdict::Deny(code.unwrap_or(DenyCode::PolicyDenied), references)
    }

    fn mark(&self, id: &PolicyId) -> (Option<DenyCode>, PolicyRef) {
        let id: &str = id.as_ref();
        match self.marks.get(id) {
            Some((reference, code)) => (*code, reference.clone()),
            None => (None, PolicyRef { id: id.into(), reason: "".into(), digest: None }),
        }
    }

    fn failed(&self, error: &AuthorizationError) -> PolicyRef {
        let AuthorizationError::PolicyEvaluationError(error) = error;
        let (_, reference) = self.mark(error.policy_id());
        let reason = format!("the policy `{}` failed: {}", reference.id, error.inner());
        PolicyRef { reason: reason.into(), ..reference }
    }
}
