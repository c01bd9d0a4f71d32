//! A record of the journal, on the wire and as a line for a person.

use pursekeeper_api::v1;
use pursekeeper_core::{CeilingUse, Endpoint, PolicyRef};
use pursekeeper_journal::{JournalError, Reader, ShadowSummary, StoredRecord, Summary};

use crate::output::{Output, Tone};

/// A call as it is told.
pub(crate) fn call_to_wire(endpoint: &Endpoint) -> v1::Endpoint {
    v1::Endpoint { method: endpoint.method().to_owned(), url: endpoint.url().to_owned() }
}

/// A ceiling as a payment or sign-in met it.
fn ceiling_to_wire(met: CeilingUse) -> v1::CeilingUse {
    let CeilingUse { scope, window, measure, limit, before, after } = met;
    let text = |text: &str| text.to_owned();
    let (scope, window, unit) = (text(scope.as_str()), text(window.as_str()), text(measure.as_str()));
    v1::CeilingUse { scope, window, unit, limit, before, after }
}

fn policies_to_wire(policies: Vec<PolicyRef>) -> Vec<v1::PolicyRef> {
    let one = |PolicyRef { id, reason, digest }: PolicyRef| v1::PolicyRef {
        id: id.to_string(),
        reason: reason.to_string(),
        digest: digest.map(|digest| digest.to_string()).unwrap_or_default(),
    };
    policies.into_iter().map(one).collect()
}

fn shadow_to_wire(shadow: ShadowSummary) -> v1::Shadow {
    let ShadowSummary { bundle_digest, bundle_revision, verdict, flip, code, message, policies, usd } =
        shadow;
    v1::Shadow {
        bundle_digest,
        bundle_revision,
        verdict: verdict.to_owned(),
        flip: flip.to_owned(),
        code: code.to_owned(),
        message,
        policies: policies_to_wire(policies),
        usd,
    }
}

/// A record as it is streamed.
pub(crate) fn to_wire(reader: &Reader, stored: &StoredRecord) -> Result<v1::Decision, JournalError> {
    let summary = reader.summary(stored)?;
    let text = |text: &str| text.to_owned();
    let Summary { seq, decision_id, time_unix_ms, kind, verdict, code, message, policies, .. } = summary;
    Ok(v1::Decision {
        seq,
        decision_id,
        time_unix_ms,
        kind: text(kind),
        verdict: text(verdict),
        code: text(code),
        message,
        policies: policies_to_wire(policies),
        agent: summary.agent,
        workflow: summary.workflow,
        wallet: summary.wallet,
        service: summary.service,
        endpoint: summary.endpoint.as_ref().map(call_to_wire),
        network: summary.network,
        asset: summary.asset,
        payee: summary.payee,
        amount: summary.amount,
        usd: summary.usd,
        valid_before: summary.valid_before,
        request_id: summary.request_id,
        warnings: summary.warnings,
        original_seq: summary.original_seq.unwrap_or(0),
        bundle_digest: summary.bundle_digest,
        leaf_hash: stored.leaf.to_string(),
        chain_hash: stored.chain.to_string(),
        canonical: stored.body.clone(),
        ceilings: summary.ceilings.into_iter().map(ceiling_to_wire).collect(),
        trace_id: summary.trace_id,
        latency_us: summary.latency_us,
        repeats: summary.repeats,
        bundle_revision: summary.bundle_revision,
        shadow: summary.shadow.map(shadow_to_wire),
    })
}

/// A bundle as people are told of it.
pub(crate) fn bundle(digest: &str, revision: Option<u64>) -> String {
    revision.map_or_else(|| digest.to_owned(), |revision| format!("{digest} (revision {revision})"))
}

/// Whether a record is a denial, or counts denials.
pub(crate) fn is_denied(decision: &v1::Decision) -> bool {
    decision.verdict == "deny" || (decision.kind == "repeat" && !decision.code.is_empty())
}

/// The SHA-256 of the signature over what record `seq` permits, hex, if this record has it.
pub(crate) fn signature_of(decision: &v1::Decision, seq: u64) -> Option<String> {
    if decision.kind != "signature" {
        return None;
    }
    let record: serde_json::Value = serde_json::from_slice(&decision.canonical).ok()?;
    let mut signatures = record.get("signatures")?.as_array()?.iter();
    let made = signatures.find(|made| made.get("seq").and_then(serde_json::Value::as_u64) == Some(seq))?;
    Some(made.get("sha256")?.as_str()?.to_owned())
}

/// A text that somebody else wrote, fit for a terminal: what would move the cursor or change a colour is shown as its code.
pub(crate) fn plain(text: &str) -> String {
    let unseen = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let show = |c: char| if unseen(c) { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(show).collect()
}

/// A record in one line.
pub(crate) fn line(decision: &v1::Decision, output: Output) -> String {
    let v1::Decision {
        seq,
        time_unix_ms,
        kind,
        verdict,
        code,
        message,
        agent,
        workflow,
        usd,
        endpoint,
        repeats,
        ..
    } = decision;
    let time = i64::try_from(*time_unix_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map(|at| format!("{at:.3}"))
        .unwrap_or_default();
    let head = format!("{seq:>6}  {time}  {kind:<10}");
    let verdict = match verdict.as_str() {
        "permit" => output.paint(Tone::Good, "permit"),
        "deny" => output.paint(Tone::Bad, "deny  "),
        _ => "      ".to_owned(),
    };
    let mut parts = vec![head, verdict];
    if *repeats > 0 {
        parts.push(output.paint(Tone::Strong, &format!("{repeats} times")));
    }
    match (agent.as_str(), workflow.as_str()) {
        ("", "") => {}
        (agent, "") => parts.push(agent.to_owned()),
        (agent, workflow) => parts.push(format!("{agent}/{workflow}")),
    }
    if !usd.is_empty() {
        parts.push(format!("${usd}"));
    }
    if let Some(v1::Endpoint { method, url }) = endpoint {
        parts.push(plain(&format!("{method} {url}")));
    }
    if !code.is_empty() {
        parts.push(output.paint(Tone::Bad, code));
    }
    if !message.is_empty() {
        parts.push(plain(message));
    }
    if let Some(policy) = decision.policies.first() {
        parts.push(output.paint(Tone::Faint, &format!("[{}]", policy.id)));
    }
    parts.extend(decision.shadow.as_ref().and_then(flip).map(|flip| output.paint(Tone::Strong, &flip)));
    for warning in &decision.warnings {
        parts.push(output.paint(Tone::Faint, &format!("(near: {warning})")));
    }
    parts.join("  ").trim_end().to_owned()
}

/// What would be otherwise under the shadow bundle, for a line.
fn flip(shadow: &v1::Shadow) -> Option<String> {
    match shadow.flip.as_str() {
        "denies" => Some(format!("(shadow denies: {})", shadow.code)),
        "permits" => Some("(shadow permits)".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    #[test]
    fn what_somebody_else_wrote_cannot_play_with_the_terminal() {
        let table = [
            ("plain, with ümlaut", "plain, with ümlaut"),
            ("red \x1b[31m", "red \\u{1b}[31m"),
            ("two\nlines", "two\\u{a}lines"),
            ("turned \u{202e}round", "turned \\u{202e}round"),
        ];
        for (text, shown) in table {
            assert_eq!(plain(text), shown);
        }
    }

    #[test]
    fn a_line_says_how_many_it_stands_for() {
        let decision = v1::Decision {
            seq: 7,
            kind: "repeat".to_owned(),
            verdict: "deny".to_owned(),
            code: "NO_PERMIT".to_owned(),
            agent: "crawler".to_owned(),
            message: "one\nline".to_owned(),
            repeats: 57,
            ..Default::default()
        };
        assert_eq!(
            line(&decision, Output::new(Format::Json)),
            "     7  1970-01-01T00:00:00.000Z  repeat      deny    57 times  crawler  NO_PERMIT  one\\u{a}line"
        );
    }
}
