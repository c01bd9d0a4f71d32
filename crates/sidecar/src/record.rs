//! A record of the journal, on the wire and as a line for a person.

use pursekeeper_api::v1;
use pursekeeper_core::{CeilingUse, Endpoint};
use pursekeeper_journal::{JournalError, Reader, StoredRecord, Summary};

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

/// A record as it is streamed.
pub(crate) fn to_wire(reader: &Reader, stored: &StoredRecord) -> Result<v1::Decision, JournalError> {
    let summary = reader.summary(stored)?;
    let text = |text: &str| text.to_owned();
    let Summary { seq, decision_id, time_unix_ms, kind, verdict, code, message, policies, .. } = summary;
    let policies = policies.into_iter().map(|policy| v1::PolicyRef {
        id: policy.id.to_string(),
        reason: policy.reason.to_string(),
        digest: String::new(),
    });
    Ok(v1::Decision {
        seq,
        decision_id,
        time_unix_ms,
        kind: text(kind),
        verdict: text(verdict),
        code: text(code),
        message,
        policies: policies.collect(),
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
    })
}

/// A record in one line.
pub(crate) fn line(decision: &v1::Decision, output: Output) -> String {
    let v1::Decision {
        seq, time_unix_ms, kind, verdict, code, message, agent, workflow, usd, endpoint, ..
    } = decision;
    let time = i64::try_from(*time_unix_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map(|at| format!("{at:.3}"))
        .unwrap_or_default();
    let head = format!("{seq:>6}  {time}  {kind:<9}");
    let verdict = match verdict.as_str() {
        "permit" => output.paint(Tone::Good, "permit"),
        "deny" => output.paint(Tone::Bad, "deny  "),
        _ => "      ".to_owned(),
    };
    let mut parts = vec![head, verdict];
    if !agent.is_empty() {
        parts.push(format!("{agent}/{workflow}"));
    }
    if !usd.is_empty() {
        parts.push(format!("${usd}"));
    }
    if let Some(v1::Endpoint { method, url }) = endpoint {
        parts.push(format!("{method} {url}"));
    }
    if !code.is_empty() {
        parts.push(output.paint(Tone::Bad, code));
    }
    if !message.is_empty() {
        parts.push(message.clone());
    }
    if let Some(policy) = decision.policies.first() {
        parts.push(output.paint(Tone::Faint, &format!("[{}]", policy.id)));
    }
    for warning in &decision.warnings {
        parts.push(output.paint(Tone::Faint, &format!("(near: {warning})")));
    }
    parts.join("  ").trim_end().to_owned()
}
