//! What would have permitted what was denied.

use pursekeeper_api::v1;
use pursekeeper_core::{DenyCode, Usd};

use super::Known;
use super::told::{per, quantity};
use crate::cli::moment;

/// The id of the policies that enforce ceilings: `ceilings.<scope>.<unit>.<window>`.
const CEILINGS: &str = "ceilings.";

/// One sentence for each thing that stood in the way; nothing for what was not denied.
pub(super) fn remedy(known: &Known) -> Vec<String> {
    let Known { decision, .. } = known;
    if decision.verdict != "deny" {
        return Vec::new();
    }
    let mut lines = Vec::new();
    if let Some(code) = DenyCode::parse(&decision.code) {
        lines.push(format!("{code} means: {}. What helps: {}.", code.meaning(), code.fix()));
    }
    lines.extend(decision.ceilings.iter().filter_map(|ceiling| too_much(known, ceiling)));
    let recorded = !decision.ceilings.is_empty();
    for v1::PolicyRef { id, reason, .. } in &decision.policies {
        match ceiling_of(id) {
            // The record has the arithmetic of that moment.
            Some(_) if recorded => {}
            Some(ceiling) => lines.extend(left_now(known, ceiling)),
            None => lines.push(format!("policy `{id}` must not forbid it: {reason}")),
        }
    }
    if !decision.bundle_digest.is_empty() && known.bundle_now != decision.bundle_digest {
        lines.push(
            "Another bundle is in force now, so the answer may be another one: `pursekeeper pay` or a preview tells.".to_owned(),
        );
    }
    lines
}

/// A ceiling that would have been exceeded, by what the record says.
fn too_much(known: &Known, ceiling: &v1::CeilingUse) -> Option<String> {
    let v1::CeilingUse { scope, window, unit, limit, before, after } = ceiling;
    let over = quantity(&difference(after, limit, unit)?, unit);
    let name = name_of(&known.decision, scope);
    let per = per(window);
    let (limit_said, before, after) = (quantity(limit, unit), quantity(before, unit), quantity(after, unit));
    let (lower, what) = if window == "payment" {
        (
            "or the call would have to cost that much less".to_owned(),
            format!("may take {limit_said} {per}, and this one takes {after}"),
        )
    } else {
        (
            frees(known, &(scope, unit, window))
                .unwrap_or_else(|| "or have to wait until money is free again".to_owned()),
            format!("may use {limit_said} {per}; {before} were used, and with this {after}"),
        )
    };
    Some(format!("{scope}{name} {what}: it would need {over} more {per}, {lower}"))
}

/// A ceiling as it stands now, when the record does not say how it stood then.
fn left_now(known: &Known, (scope, unit, window): (&str, &str, &str)) -> Option<String> {
    let name = name_of(&known.decision, scope);
    let budget = budget(known, &(scope, unit, window))?;
    let wanted = match unit {
        "usd" => format!("; this asked for ${}", known.decision.usd),
        _ => String::new(),
    };
    if window == "payment" {
        return Some(format!("{scope}{name} may use {} per payment{wanted}", quantity(&budget.limit, unit)));
    }
    let frees = frees(known, &(scope, unit, window)).map(|frees| format!(", {frees}")).unwrap_or_default();
    let (limit, free) = (quantity(&budget.limit, unit), quantity(&budget.free, unit));
    Some(format!("{scope}{name} may use {limit} {}; now {free} are free{wanted}{frees}", per(window)))
}

/// When a window frees something, as things stand now.
fn frees(known: &Known, ceiling: &(&str, &str, &str)) -> Option<String> {
    let (_, unit, window) = ceiling;
    if *window == "lifetime" {
        return Some("and waiting does not help: it is for ever".to_owned());
    }
    let budget = budget(known, ceiling)?;
    match budget.frees_at {
        0 => Some(format!("and {} are free now", quantity(&budget.free, unit))),
        at if at <= known.now => Some(format!("and {} are free now", quantity(&budget.free, unit))),
        at => Some(format!("or have to wait: the next is free at {}", moment::of_secs(at))),
    }
}

fn budget<'k>(known: &'k Known, (scope, unit, window): &(&str, &str, &str)) -> Option<&'k v1::Budget> {
    let name = subject(&known.decision, scope);
    known.budgets.iter().find(|budget| {
        budget.scope == **scope
            && budget.name.eq_ignore_ascii_case(name)
            && budget.window == **window
            && budget.unit == **unit
    })
}

/// The ceiling a policy enforces: scope, unit and window.
fn ceiling_of(policy: &str) -> Option<(&str, &str, &str)> {
    let mut parts = policy.strip_prefix(CEILINGS)?.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(scope), Some(unit), Some(window), None) => Some((scope, unit, window)),
        _ => None,
    }
}

/// Whom a scope is about in a record.
fn subject<'d>(decision: &'d v1::Decision, scope: &str) -> &'d str {
    match scope {
        "workflow" => &decision.workflow,
        "wallet" => &decision.wallet,
        "agent" => &decision.agent,
        "service" => &decision.service,
        "payee" => &decision.payee,
        _ => "",
    }
}

/// The name of that, to be put behind the scope.
pub(super) fn name_of(decision: &v1::Decision, scope: &str) -> String {
    match subject(decision, scope) {
        "" => String::new(),
        name => format!(" `{name}`"),
    }
}

/// How much more one value is than another; nothing when it is not, or when they are no numbers.
pub(super) fn difference(value: &str, than: &str, unit: &str) -> Option<String> {
    if unit == "usd" {
        let over = Usd::parse(value).ok()?.checked_sub(Usd::parse(than).ok()?)?;
        return (over != Usd::default()).then(|| over.to_string());
    }
    let over = value.parse::<u64>().ok()?.checked_sub(than.parse().ok()?)?;
    (over > 0).then(|| over.to_string())
}
