//! What a record itself says.

use pursekeeper_api::v1;
use serde_json::{Map, Value};

use super::{Known, at, number, text};
use crate::cli::audit::show;
use crate::cli::moment;
use crate::record::bundle;

/// Members that are told elsewhere, or that say nothing to a person.
const TOLD: [&str; 30] = [
    "act",
    "adopted",
    "asked",
    "bundle",
    "cancellation",
    "cascade",
    "changes",
    "completed",
    "ceilings",
    "counted_until",
    "denial",
    "evidence",
    "fingerprint",
    "held_until",
    "intent",
    "journal",
    "kind",
    "latency_us",
    "offers",
    "original_seq",
    "policies",
    "report",
    "resolution",
    "revision",
    "seq",
    "shadow",
    "sign_in",
    "time",
    "v",
    "verdict",
];

/// The record's own sentence, and what belongs to its kind.
pub(super) fn happened(decision: &v1::Decision, record: &Map<String, Value>) -> Vec<String> {
    let mut lines: Vec<String> =
        Some(&decision.message).filter(|text| !text.is_empty()).into_iter().cloned().collect();
    lines.extend(act(record));
    if let Some(evidence) = at(record, "evidence").and_then(Value::as_object) {
        lines.push(format!(
            "{} nodes agreed on block {} of {} ({})",
            number(evidence, "nodes").unwrap_or(0),
            number(evidence, "block").unwrap_or(0),
            text(evidence, "network"),
            text(evidence, "block_hash"),
        ));
        if let Some(transaction) = evidence.get("transaction").and_then(Value::as_str) {
            lines.push(format!("transaction {transaction}"));
        }
    }
    if record.contains_key("report") {
        lines.push("This is the agent's word: it moves no money.".to_owned());
        lines.extend(caller("by", record, "report.caller"));
    }
    if let Some(repeats) = Some(decision.repeats).filter(|repeats| *repeats > 0) {
        lines.push(format!("This one record stands for {repeats} that were the same but for their time."));
    }
    if let Some(until) = number(record, "adopted.held_until") {
        lines.push(format!(
            "signatures of the lost journal could be settled until {}",
            moment::of_secs(until)
        ));
    }
    lines
}

fn act(record: &Map<String, Value>) -> Vec<String> {
    let Some(act) = at(record, "act").and_then(Value::as_object) else { return Vec::new() };
    let mut lines = vec![
        format!("who    operator `{}`{}", text(act, "operator"), source(act)),
        format!("act    {} {} `{}`", text(act, "verb"), text(act, "subject.kind"), text(act, "subject.name")),
        format!("why    {}", text(act, "reason")),
    ];
    if let Some(seq) = number(act, "hold") {
        lines.push(format!("about  the payment of record {seq}"));
    }
    for (name, member) in [("payee", "payee"), ("wallet", "wallet"), ("key", "address")] {
        if let Some(value) = act.get(member).and_then(Value::as_str) {
            lines.push(format!("{name:<6} {value}"));
        }
    }
    for member in ["workflows", "recipients"] {
        lines.extend(list(act, member).map(|names| format!("{member} {names}")));
    }
    lines.extend(list(record, "cascade").map(|wallets| format!("and suspended with it: wallet {wallets}")));
    if record.contains_key("cancellation") {
        lines.push(format!("signed what voids nonce {}", text(record, "cancellation.nonce")));
    }
    lines
}

/// Who asked, how they proved it, and for what.
pub(super) fn asked(decision: &v1::Decision, record: &Map<String, Value>) -> Vec<String> {
    let mut lines = caller("agent", record, "asked.caller");
    let Some(asked) = at(record, "asked").and_then(Value::as_object) else {
        return lines;
    };
    let named = |member: &str, used: &str| match (text(asked, member), used) {
        ("", "") => None,
        ("", used) => {
            Some(format!("{member:<9} `{used}`, which nobody named: it was the only one that fits"))
        }
        (named, _) => Some(format!("{member:<9} `{named}`")),
    };
    lines.extend(named("workflow", &decision.workflow));
    lines.extend(named("wallet", &decision.wallet));
    let (method, url) = (text(asked, "endpoint.method"), text(asked, "endpoint.url"));
    if !url.is_empty() {
        lines.push(format!("call      {method} {url}"));
    }
    let service = &decision.service;
    if !service.is_empty() {
        lines.push(format!("service   `{service}`"));
    }
    lines.push(format!("request   {}", text(asked, "request_id")));
    let labels = at(asked, "labels").and_then(Value::as_object);
    for (name, value) in labels.into_iter().flatten() {
        lines.push(format!("label     {name} = {} (the agent says so)", value.as_str().unwrap_or_default()));
    }
    if !decision.trace_id.is_empty() {
        lines.push(format!("trace     {}", decision.trace_id));
    }
    if decision.latency_us > 0 {
        lines.push(format!("answered  after {}", moment::millis_of_micros(decision.latency_us)));
    }
    lines
}

fn caller(word: &str, record: &Map<String, Value>, path: &str) -> Vec<String> {
    let Some(caller) = at(record, path).and_then(Value::as_object) else { return Vec::new() };
    vec![format!("{word:<9} `{}`{}", text(caller, "agent"), source(caller))]
}

/// How somebody proved who they are.
fn source(who: &Map<String, Value>) -> String {
    let kind = text(who, "source.kind");
    if kind.is_empty() {
        return String::new();
    }
    let peer = number(who, "source.uid").map(|uid| {
        let gid = number(who, "source.gid").map(|gid| format!(", gid {gid}")).unwrap_or_default();
        let counts = if kind.contains("unix-peer") { "" } else { " (declared for nobody)" };
        format!("uid {uid}{gid} by the Unix socket{counts}")
    });
    let spiffe = text(who, "source.spiffe");
    let certificate = (!spiffe.is_empty()).then(|| format!("`{spiffe}` by its certificate"));
    let subject = text(who, "source.subject");
    let token =
        (!subject.is_empty()).then(|| format!("`{subject}` by a token of `{}`", text(who, "source.issuer")));
    let proofs: Vec<String> = [peer, certificate, token].into_iter().flatten().collect();
    if proofs.is_empty() {
        return format!(", authenticated by {kind}");
    }
    format!(", authenticated as {}", proofs.join(" and as "))
}

/// Each offer of the seller, and what was decided about it.
pub(super) fn offers(decision: &v1::Decision, record: &Map<String, Value>) -> Vec<String> {
    let chosen = number(record, "intent.offer_index");
    let offers = at(record, "offers").and_then(Value::as_array).into_iter().flatten();
    let mut lines = Vec::new();
    for offer in offers.filter_map(Value::as_object) {
        let index = number(offer, "index").unwrap_or(0);
        let judged = match text(offer, "denial.code") {
            "" => "could be signed".to_owned(),
            code => format!("{code}: {}", text(offer, "denial.message")),
        };
        let mark = match (chosen == Some(index), decision.verdict.as_str()) {
            (true, "permit") => " (chosen)",
            (true, _) => " (the closest)",
            (false, _) => "",
        };
        lines.push(format!("offer {index}{mark}: {judged}"));
    }
    lines
}

/// All that is judged and signed.
pub(super) fn terms(record: &Map<String, Value>) -> Vec<String> {
    if let Some(sign_in) = at(record, "sign_in").and_then(Value::as_object) {
        return message(sign_in, record);
    }
    let Some(intent) = at(record, "intent").and_then(Value::as_object) else { return Vec::new() };
    let of = |path: &str| text(intent, path);
    let mut lines = vec![
        format!(
            "pays      ${}: {} atomic units of {}",
            of("usd"),
            of("terms.amount"),
            of("terms.asset.address")
        ),
        format!("to        {}", of("terms.payee")),
        format!(
            "on        {}, scheme `{}`, {}",
            of("terms.asset.network"),
            of("terms.scheme"),
            of("terms.method")
        ),
        format!("from      wallet `{}`, {}", of("wallet"), of("wallet_address")),
        format!("for       {} {}", of("endpoint.method"), of("endpoint.url")),
    ];
    if !of("terms.facilitator").is_empty() {
        lines.push(format!("through   {}", of("terms.facilitator")));
    }
    if let (Some(after), Some(before)) = (number(intent, "valid_after"), number(intent, "valid_before")) {
        lines.push(format!("valid     {} to {}", moment::of_secs(after), moment::of_secs(before)));
    }
    if let Some(until) = number(record, "held_until") {
        lines.push(format!(
            "held      the money is bound until {}, or until a chain says otherwise",
            moment::of_secs(until)
        ));
    }
    lines.push(format!("nonce     {}", of("nonce")));
    if intent.contains_key("allowance") {
        lines.push(format!("allows    an EIP-2612 permit with nonce {} goes with it", of("allowance.nonce")));
    }
    lines
}

fn message(sign_in: &Map<String, Value>, record: &Map<String, Value>) -> Vec<String> {
    let of = |path: &str| text(sign_in, path);
    let mut lines = vec![
        format!("signs in  to {} ({})", of("message.domain"), of("message.uri")),
        format!("on        {}", of("message.network")),
        format!("as        wallet `{}`, {}", of("wallet"), of("wallet_address")),
        format!("issued    {}", of("message.issued_at")),
    ];
    for (word, path) in [("expires", "message.expiration_time"), ("states", "message.statement")] {
        if !of(path).is_empty() {
            lines.push(format!("{word:<9} {}", of(path)));
        }
    }
    if let Some(until) = number(record, "counted_until") {
        lines.push(format!("accepted  by nobody after {}", moment::of_secs(until)));
    }
    lines.push(format!("nonce     {}", of("message.nonce")));
    lines
}

/// Which policies determined the answer, with their reasons.
pub(super) fn policies(known: &Known) -> Vec<String> {
    let Known { decision, bundle_now, .. } = known;
    let mut lines = Vec::new();
    lines.extend(decision.policies.iter().map(policy));
    if lines.is_empty() && decision.verdict == "deny" {
        lines.push("none: a fixed rule refuses this before any policy is asked".to_owned());
    }
    if !decision.bundle_digest.is_empty() {
        let changed = if *bundle_now == decision.bundle_digest {
            ", which is still in force"
        } else {
            "; another one is in force now"
        };
        let judge = bundle(&decision.bundle_digest, decision.bundle_revision);
        lines.push(format!("judged by bundle {judge}{changed}"));
    }
    lines
}

fn policy(policy: &v1::PolicyRef) -> String {
    let v1::PolicyRef { id, reason, digest } = policy;
    let digest = if digest.is_empty() { String::new() } else { format!(" (sha256 {digest})") };
    format!("{id}: {reason}{digest}")
}

/// What another bundle would have answered to the same question.
pub(super) fn shadow(decision: &v1::Decision) -> Vec<String> {
    let Some(shadow) = &decision.shadow else { return Vec::new() };
    let v1::Shadow { bundle_digest, bundle_revision, verdict, flip, code, message, policies, usd } = shadow;
    let same = if flip == "none" { "the same: " } else { "something else: " };
    let money = if usd.is_empty() { String::new() } else { format!(", for ${usd}") };
    let answer = match verdict.as_str() {
        "permit" => format!("{same}PERMITTED{money}"),
        _ => format!("{same}DENIED, {code}: {message}"),
    };
    let judge =
        format!("judged by bundle {}, which was not in force", bundle(bundle_digest, *bundle_revision));
    std::iter::once(answer).chain(policies.iter().map(policy)).chain([judge]).collect()
}

/// The ceilings, before and after, and which of them are near.
pub(super) fn arithmetic(decision: &v1::Decision) -> Vec<String> {
    let mut lines: Vec<String> = decision.ceilings.iter().map(|ceiling| sum(decision, ceiling)).collect();
    lines.extend(decision.warnings.iter().map(|warning| format!("near: {warning}")));
    lines
}

fn sum(decision: &v1::Decision, ceiling: &v1::CeilingUse) -> String {
    let v1::CeilingUse { scope, window, unit, limit, before, after } = ceiling;
    let name = super::remedy::name_of(decision, scope);
    let of = |value: &str| quantity(value, unit);
    let over = match super::remedy::difference(after, limit, unit) {
        Some(over) => format!(", {} too much", of(&over)),
        None => String::new(),
    };
    if window == "payment" {
        return format!("{scope}{name}, {}: {}, of at most {}{over}", per(window), of(after), of(limit));
    }
    // The unit of a count is said once.
    let sum = |value: &str| if unit == "usd" { of(value) } else { value.to_owned() };
    format!(
        "{scope}{name}, {}: {} before, {} with this, of {}{over}",
        per(window),
        sum(before),
        sum(after),
        of(limit)
    )
}

/// A window in words.
pub(super) fn per(window: &str) -> String {
    match window {
        "lifetime" => "ever".to_owned(),
        window => format!("per {window}"),
    }
}

/// A value in its unit.
pub(super) fn quantity(value: &str, unit: &str) -> String {
    match (unit, value) {
        ("usd", _) => format!("${value}"),
        ("payments", "1") => "1 payment".to_owned(),
        ("sign_ins", "1") => "1 sign-in".to_owned(),
        ("sign_ins", _) => format!("{value} sign-ins"),
        _ => format!("{value} {unit}"),
    }
}

/// What a later version recorded, and what is of use to few.
pub(super) fn rest(record: &Map<String, Value>) -> Vec<String> {
    let rest = record.iter().filter(|(name, _)| !TOLD.contains(&name.as_str()) && *name != "warnings");
    let rest: Map<String, Value> = rest.map(|(name, value)| (name.clone(), value.clone())).collect();
    let mut lines = Vec::new();
    show::lay_out(&rest, 0, &mut lines);
    lines
}

fn list(members: &Map<String, Value>, name: &str) -> Option<String> {
    let items: Vec<&str> = members.get(name)?.as_array()?.iter().filter_map(Value::as_str).collect();
    Some(items.join(", "))
}
