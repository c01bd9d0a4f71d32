//! The teams' policy files: parsed, checked and validated, each error with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Effect, EntityUid, Policy, PolicyId, PolicySet, ValidationMode, Validator,
};
use miette::Diagnostic;
use pursekeeper_core::{ActVerb, PolicyRef};

use crate::DEREF_LEVEL;
use crate::complexity;
use crate::embedded::Guardrails;
use crate::error::{BundleError, BundleWarning, Place};
use crate::literals;
use crate::needs::Needs;
use crate::registry::Declaration;
use crate::rule::{Asking, Rule, text_digest};

/// Most policies of all teams.
pub const POLICIES_MAX: usize = 20_000;
/// Longest `@id`, in bytes.
const ID_LEN_MAX: usize = 128;
/// Longest `@reason`, in bytes.
const REASON_LEN_MAX: usize = 512;

/// What the teams wrote.
#[derive(Default)]
pub(crate) struct Team {
    pub(crate) rules: Vec<Rule>,
    pub(crate) errors: Vec<BundleError>,
    pub(crate) warnings: Vec<BundleWarning>,
}

/// A policy and where it stands.
struct Found<'s> {
    policy: Policy,
    source: &'s Source<'s>,
    offset: usize,
}

/// One file.
struct Source<'s> {
    file: Arc<str>,
    text: &'s str,
}

impl Source<'_> {
    /// Line and column of a byte offset.
    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count().saturating_add(1);
        let column = before.rsplit('\n').next().unwrap_or("").chars().count().saturating_add(1);
        Place { file: self.file.clone(), line, column }
    }

    /// Where a diagnostic points, or `otherwise`.
    fn place_of(&self, diagnostic: &dyn Diagnostic, otherwise: usize) -> Place {
        let label = diagnostic.labels().and_then(|mut labels| labels.next());
        self.place(label.map_or(otherwise, |label| label.offset()))
    }
}

/// Reads all files. Without a `declaration` (it has errors of its own) names are not resolved.
pub(crate) fn read(
    files: &[(&str, &str)],
    declaration: Option<&Declaration>,
    guardrails: &Guardrails,
) -> Team {
    let mut team = Team::default();
    let sources: Vec<Source<'_>> =
        files.iter().map(|(name, text)| Source { file: (*name).into(), text }).collect();
    let mut found = Vec::new();
    for source in &sources {
        found.extend(parse(source, &mut team.errors));
    }
    if let Some(over) = found.get(POLICIES_MAX) {
        let what = format!("more than {POLICIES_MAX} policies: say more with fewer");
        team.errors.push(BundleError::Policy { place: over.source.place(over.offset), what });
        return team;
    }
    let mut ids = BTreeMap::new();
    for one in &mut found {
        let place = one.source.place(one.offset);
        let mut complaints = check(&one.policy, &place, &mut ids);
        if let Some(declaration) = declaration {
            complaints.extend(literals::check(&one.policy, declaration));
        }
        let reference = reference(&one.policy, &place);
        one.policy = one.policy.new_id(PolicyId::new(&reference.id));
        if complaints.is_empty() {
            let needs = Needs::of(&one.policy);
            team.rules.push(Rule { reference, code: None, needs, policy: one.policy.clone() });
        }
        let errors = complaints.into_iter().map(|what| BundleError::Policy { place: place.clone(), what });
        team.errors.extend(errors);
    }
    validate(&found, guardrails, &mut team);
    team.errors.sort_by(|a, b| a.place().cmp(&b.place()));
    team
}

/// The policies of one file, in its order.
fn parse<'s>(source: &'s Source<'s>, errors: &mut Vec<BundleError>) -> Vec<Found<'s>> {
    if let Some(complexity::Excess { offset, what }) = complexity::excess(source.text) {
        errors.push(BundleError::Policy { place: source.place(offset), what });
        return Vec::new();
    }
    let set: PolicySet = match source.text.parse() {
        Ok(set) => set,
        Err(parse_errors) => {
            for error in parse_errors.iter() {
                let help = error.help().map(|help| format!(": {help}")).unwrap_or_default();
                let what = format!("not Cedar: {error}{help}");
                errors.push(BundleError::Policy { place: source.place_of(error, 0), what });
            }
            return Vec::new();
        }
    };
    // Cedar numbers the statements of a file `policy0`, `policy1`, …
    let number = |id: &PolicyId| id.to_string().strip_prefix("policy").and_then(|n| n.parse::<usize>().ok());
    let policies = set.policies().map(|policy| (number(policy.id()), policy.to_string(), Some(policy)));
    let templates = set.templates().map(|template| (number(template.id()), template.to_string(), None));
    let mut statements: Vec<(Option<usize>, String, Option<&Policy>)> = policies.chain(templates).collect();
    statements.sort_by_key(|(number, _, _)| *number);
    let mut found = Vec::new();
    let mut cursor = 0;
    for (_, text, policy) in statements {
        let rest = source.text.get(cursor..).unwrap_or_default();
        let offset = rest.find(&text).map_or(cursor, |at| cursor.saturating_add(at));
        cursor = offset.saturating_add(text.len());
        match policy {
            Some(policy) => found.push(Found { policy: policy.clone(), source, offset }),
            None => {
                let what = "a template (`?principal`, `?resource`): write a policy for each case".to_owned();
                errors.push(BundleError::Policy { place: source.place(offset), what });
            }
        }
    }
    found
}

/// The `@id` and `@reason`; a place stands in for a missing id, so that the rest can still be checked.
fn reference(policy: &Policy, place: &Place) -> PolicyRef {
    let id = policy.annotation("id").filter(|id| is_id(id)).map_or_else(|| place.to_string(), str::to_owned);
    let reason = policy.annotation("reason").unwrap_or("a policy of a team permits it");
    PolicyRef { id: id.into(), reason: reason.into(), digest: Some(text_digest(policy)) }
}

fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=ID_LEN_MAX).contains(&id.len()) && id.bytes().all(plain)
}

/// What is wrong with a policy's annotations and head.
fn check(policy: &Policy, place: &Place, ids: &mut BTreeMap<String, Place>) -> Vec<String> {
    let mut complaints = Vec::new();
    match policy.annotation("id") {
        None => complaints.push("no `@id`: write `@id(\"team.rule\")` above it".to_owned()),
        Some(id) if !is_id(id) => complaints
            .push(format!("`@id(\"{id}\")`: use 1 to {ID_LEN_MAX} characters of letters, digits and `._-`")),
        Some(id) if Guardrails::is_reserved(id) => complaints.push(format!(
            "`@id(\"{id}\")` begins like a guardrail's: begin it with another word, such as your team"
        )),
        Some(id) => {
            if let Some(first) = ids.insert(id.to_owned(), place.clone()) {
                complaints.push(format!("`@id(\"{id}\")` is taken by the policy at {first}: rename one"));
            }
        }
    }
    let reason = policy.annotation("reason");
    let forbids = matches!(policy.effect(), Effect::Forbid);
    if forbids && reason.is_none_or(|reason| reason.trim().is_empty()) {
        complaints.push("no `@reason`: say what is refused and what to do about it".to_owned());
    }
    if reason.is_some_and(|reason| reason.len() > REASON_LEN_MAX || reason.contains(char::is_control)) {
        complaints.push(format!("`@reason`: write one line of at most {REASON_LEN_MAX} bytes"));
    }
    if policy.annotation("code").is_some() {
        complaints.push("`@code` belongs to guardrails: remove it; the answer is POLICY_DENIED".to_owned());
    }
    if let Some(stop) = named_stop(policy) {
        complaints.push(format!(
            "a policy about `{stop}` would have no effect: stopping and voiding is never up to a team's policies: leave it out, or use `Resume`"
        ));
    }
    complaints
}

/// An act that only stops or voids, when the policy's head names one.
fn named_stop(policy: &Policy) -> Option<&'static str> {
    let named: Vec<EntityUid> = match policy.action_constraint() {
        ActionConstraint::Any => Vec::new(),
        ActionConstraint::Eq(uid) => vec![uid],
        ActionConstraint::In(uids) => uids,
    };
    let mut stops =
        ActVerb::ALL.into_iter().filter(|verb| verb.is_stop()).map(|verb| Asking::Act(verb).action());
    stops.find(|stop| named.iter().any(|uid| uid.id().unescaped() == *stop))
}

/// Strict validation of everything at once. The level keeps policies within the entities a request carries.
fn validate(found: &[Found<'_>], guardrails: &Guardrails, team: &mut Team) {
    let mut set = PolicySet::new();
    let mut by_id: BTreeMap<String, &Found<'_>> = BTreeMap::new();
    for one in found {
        // Two with one id were reported already; the first stands for both.
        if set.add(one.policy.clone()).is_ok() {
            by_id.insert(one.policy.id().to_string(), one);
        }
    }
    let validator = Validator::new(guardrails.schema.clone());
    let result = validator.validate_with_level(&set, ValidationMode::Strict, DEREF_LEVEL);
    let mut seen = BTreeSet::new();
    let mut place = |id: &PolicyId, diagnostic: &dyn Diagnostic, what: &str| {
        let one = by_id.get(&id.to_string())?;
        let place = one.source.place_of(diagnostic, one.offset);
        // Cedar says the same once for every kind of request.
        seen.insert((place.clone(), what.to_owned())).then_some(place)
    };
    for error in result.validation_errors() {
        let help = error.help().map(|help| format!(": {help}")).unwrap_or_default();
        let what = format!("{error}{help}");
        if let Some(place) = place(error.policy_id(), error, &what) {
            team.errors.push(BundleError::Policy { place, what });
        }
    }
    for warning in result.validation_warnings() {
        let what = warning.to_string();
        if let Some(place) = place(warning.policy_id(), warning, &what) {
            team.warnings.push(BundleWarning { place, what });
        }
    }
}
