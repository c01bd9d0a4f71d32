//! What is compiled into the binary: schema, guardrails, and the files `init` writes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use cedar_policy::{Policy, PolicyId, PolicySet, Schema};
use pursekeeper_core::{DenyCode, Measure, PolicyRef, ScopeKind, Window};

use crate::needs::Needs;
use crate::rule::{Rule, text_digest};

/// The Cedar schema every policy is validated against.
pub const SCHEMA: &str = include_str!("../../../policies/schema.cedarschema");

/// The guardrails, by file name.
pub const GUARDRAILS: [(&str, &str); 5] = [
    ("base.cedar", include_str!("../../../policies/guardrails/base.cedar")),
    ("ceilings.cedar", include_str!("../../../policies/guardrails/ceilings.cedar")),
    ("ownership.cedar", include_str!("../../../policies/guardrails/ownership.cedar")),
    ("revocation.cedar", include_str!("../../../policies/guardrails/revocation.cedar")),
    ("scope.cedar", include_str!("../../../policies/guardrails/scope.cedar")),
];

/// A registry to start from.
pub const STARTER_REGISTRY: &str = include_str!("../../../policies/registry.yaml");

/// Policies to start from, by file name. They fit [`STARTER_REGISTRY`].
pub const EXAMPLES: [(&str, &str); 7] = [
    ("keys-by-treasury.cedar", include_str!("../../../policies/examples/keys-by-treasury.cedar")),
    ("model-limit.cedar", include_str!("../../../policies/examples/model-limit.cedar")),
    ("night-limit.cedar", include_str!("../../../policies/examples/night-limit.cedar")),
    ("outstanding.cedar", include_str!("../../../policies/examples/outstanding.cedar")),
    ("prepaid-low.cedar", include_str!("../../../policies/examples/prepaid-low.cedar")),
    ("resume-owner-only.cedar", include_str!("../../../policies/examples/resume-owner-only.cedar")),
    ("token-above.cedar", include_str!("../../../policies/examples/token-above.cedar")),
];

/// The ids of the rules about a wallet's balance.
const BALANCE: [&str; 2] = ["ceilings.wallet.balance", "ceilings.wallet.floor"];

/// The ids of the rules about prepaid services.
const PREPAID: [&str; 1] = ["scope.top-up"];

/// The parsed guardrails.
pub(crate) struct Guardrails {
    pub(crate) schema: Schema,
    /// Judged for every request.
    pub(crate) always: Vec<Rule>,
    /// Judged when the subject declares that ceiling.
    pub(crate) ceilings: BTreeMap<(ScopeKind, Measure, Window), Rule>,
    /// Judged when the wallet declares a floor.
    pub(crate) balance: Vec<Rule>,
    /// Judged when the service is prepaid.
    pub(crate) prepaid: Vec<Rule>,
}

impl Guardrails {
    /// Parsed once per process.
    pub(crate) fn get() -> Result<&'static Self, &'static str> {
        static PARSED: LazyLock<Result<Guardrails, String>> = LazyLock::new(parse);
        PARSED.as_ref().map_err(String::as_str)
    }

    /// Every guardrail.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Rule> {
        self.always.iter().chain(self.ceilings.values()).chain(&self.balance).chain(&self.prepaid)
    }

    /// The control files' names without `.cedar`, which begin the ids of their rules.
    pub(crate) fn is_reserved(id: &str) -> bool {
        let first = id.split('.').next().unwrap_or(id);
        GUARDRAILS.iter().any(|(file, _)| file.strip_suffix(".cedar") == Some(first))
    }
}

fn parse() -> Result<Guardrails, String> {
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|error| error.to_string())?;
    let (always, balance, prepaid) = (Vec::new(), Vec::new(), Vec::new());
    let mut guardrails = Guardrails { schema, always, ceilings: BTreeMap::new(), balance, prepaid };
    for (file, text) in GUARDRAILS {
        let set: PolicySet = text.parse().map_err(|error| format!("{file}: {error}"))?;
        for policy in set.policies() {
            let rule = rule(policy).ok_or_else(|| format!("{file}: `{policy}` lacks an annotation"))?;
            match ceiling(&rule.reference.id) {
                Some(key) => drop(guardrails.ceilings.insert(key, rule)),
                None if BALANCE.contains(&&*rule.reference.id) => guardrails.balance.push(rule),
                None if PREPAID.contains(&&*rule.reference.id) => guardrails.prepaid.push(rule),
                None => guardrails.always.push(rule),
            }
        }
    }
    guardrails.always.sort_by(|a, b| a.reference.cmp(&b.reference));
    Ok(guardrails)
}

fn rule(policy: &Policy) -> Option<Rule> {
    let id = policy.annotation("id")?;
    let reason = policy.annotation("reason")?.into();
    let code = match (policy.effect(), policy.annotation("code")) {
        (cedar_policy::Effect::Permit, None) => None,
        (cedar_policy::Effect::Forbid, Some(code)) => Some(DenyCode::parse(code)?),
        (cedar_policy::Effect::Permit, Some(_)) | (cedar_policy::Effect::Forbid, None) => return None,
    };
    let needs = Needs::of(policy);
    let digest = text_digest(policy);
    let policy = policy.new_id(PolicyId::new(id));
    Some(Rule { reference: PolicyRef { id: id.into(), reason, digest: Some(digest) }, code, needs, policy })
}

/// `ceilings.workflow.usd.day` → what it limits.
fn ceiling(id: &str) -> Option<(ScopeKind, Measure, Window)> {
    let mut words = id.strip_prefix("ceilings.")?.split('.');
    let scope = words.next()?;
    let measure = Measure::parse(words.next()?)?;
    let window = Window::parse(words.next()?)?;
    let kind = ScopeKind::ALL.into_iter().find(|kind| kind.as_str() == scope)?;
    words.next().is_none().then_some((kind, measure, window))
}

#[cfg(test)]
mod tests {
    use cedar_policy::{ValidationMode, Validator};

    use super::*;
    use crate::DEREF_LEVEL;

    #[test]
    fn guardrails_are_strictly_valid() {
        let guardrails = Guardrails::get().unwrap();
        let set = PolicySet::from_policies(guardrails.all().map(|rule| rule.policy.clone())).unwrap();
        let result = Validator::new(guardrails.schema.clone()).validate_with_level(
            &set,
            ValidationMode::Strict,
            DEREF_LEVEL,
        );
        assert!(result.validation_passed_without_warnings(), "{result}");
    }

    #[test]
    fn every_scope_and_window_has_its_ceiling() {
        let guardrails = Guardrails::get().unwrap();
        for kind in ScopeKind::ALL {
            for window in Window::ALL {
                let rule = &guardrails.ceilings[&(kind, Measure::Usd, window)];
                assert_eq!(
                    &*rule.reference.id,
                    format!("ceilings.{kind}.usd.{window}", kind = kind.as_str())
                );
                let text = rule.policy.to_string();
                assert!(text.contains(&format!("context.after.{}.{window}", kind.as_str())), "{text}");
            }
            for window in Window::TOTALLED {
                let rule = &guardrails.ceilings[&(kind, Measure::Payments, window)];
                let text = rule.policy.to_string();
                assert!(text.contains(&format!("context.count.{}.{window}", kind.as_str())), "{text}");
            }
        }
        for kind in [ScopeKind::Agent, ScopeKind::Workflow, ScopeKind::Wallet, ScopeKind::Service] {
            for window in Window::TOTALLED {
                let rule = &guardrails.ceilings[&(kind, Measure::SignIns, window)];
                let text = rule.policy.to_string();
                assert!(text.contains(&format!("context.count.{}.{window}", kind.as_str())), "{text}");
            }
        }
        assert_eq!(guardrails.ceilings.len(), 75);
    }

    /// Which endpoint is called is no part of a request's shape, but which services it is in is.
    #[test]
    fn guardrails_that_settle_for_a_shape_do_not_ask_which_endpoint_it_is() {
        let mut settled = 0;
        for rule in Guardrails::get().unwrap().all().filter(|rule| rule.needs.within(Needs::of_a_shape())) {
            settled += 1;
            assert!(rule.policy.entity_literals().iter().all(|uid| uid.type_name().basename() == "Action"));
            assert!(!rule.policy.to_string().contains("resource =="), "{}", rule.policy);
        }
        assert_eq!(settled, 17, "base 2, ownership 3, scope 2, revocation 4 and 6 about operators");
        assert_eq!(Guardrails::get().unwrap().balance.len(), BALANCE.len());
        assert_eq!(Guardrails::get().unwrap().prepaid.len(), PREPAID.len());
    }

    #[test]
    fn a_guardrails_id_begins_with_its_files_name() {
        for rule in Guardrails::get().unwrap().all() {
            assert!(Guardrails::is_reserved(&rule.reference.id), "{}", rule.reference.id);
        }
    }
}
