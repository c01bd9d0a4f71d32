//! What the sidecar answered, as JSON. Every field is taken apart, so that a new one is not forgotten.

use pursekeeper_api::v1;
use serde_json::{Value, json};

pub(super) fn hold(hold: &v1::Hold) -> Value {
    let v1::Hold {
        decision_id,
        seq,
        agent,
        workflow,
        wallet,
        service,
        endpoint,
        network,
        asset,
        payee,
        amount,
        usd,
        valid_before,
        held_until,
        state,
        settled_usd,
        claims,
    } = hold;
    let endpoint = endpoint.as_ref().map(|call| json!({ "method": call.method, "url": call.url }));
    let claims: Vec<_> = claims
        .iter()
        .map(|v1::Claim { outcome, detail }| json!({ "outcome": outcome, "detail": detail }))
        .collect();
    json!({
        "decision_id": decision_id, "seq": seq, "agent": agent, "workflow": workflow, "wallet": wallet,
        "service": service, "endpoint": endpoint, "network": network, "asset": asset, "payee": payee,
        "amount": amount, "usd": usd, "valid_before": valid_before, "held_until": held_until, "state": state,
        "settled_usd": settled_usd, "claims": claims,
    })
}

pub(super) fn cancellation(cancellation: &v1::Cancellation) -> Value {
    let v1::Cancellation { decision_id, network, asset, calldata, authorizer, nonce, signature } =
        cancellation;
    json!({
        "decision_id": decision_id, "network": network, "to": asset,
        "calldata": format!("0x{}", hex::encode(calldata)), "authorizer": authorizer, "nonce": nonce,
        "signature": signature,
    })
}

pub(super) fn exposure(total: &v1::ExposureTotal) -> Value {
    let v1::ExposureTotal { signatures, usd, cancellable, until } = total;
    json!({ "signatures": signatures, "usd": usd, "cancellable": cancellable, "until": until })
}

/// A signature that can still be settled: its hold, and what can be done about it.
pub(super) fn exposed(signature: &v1::ExposedSignature) -> Value {
    let v1::ExposedSignature { hold: held, cancellation } = signature;
    let mut value = held.as_ref().map_or_else(|| json!({}), hold);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("cancellation".to_owned(), json!(cancellation));
    }
    value
}

pub(super) fn pending(act: &v1::PendingAct) -> Value {
    let v1::PendingAct {
        decision_id,
        verb,
        wallet,
        address,
        replaces,
        workflows,
        registry_patch,
        time_unix_ms,
        operator,
        reason,
    } = act;
    json!({
        "decision_id": decision_id, "verb": verb, "name": wallet, "address": address, "replaces": replaces,
        "workflows": workflows, "registry_patch": registry_patch, "time_unix_ms": time_unix_ms,
        "operator": operator, "reason": reason,
    })
}

/// A wallet, with the acts on it that registry.yaml does not contain yet.
pub(super) fn wallet<'a>(
    wallet: &v1::GovernedWallet,
    acts: impl Iterator<Item = &'a v1::PendingAct>,
) -> Value {
    let v1::GovernedWallet {
        name,
        address,
        status,
        declared,
        journal,
        owner,
        recovery,
        revokers,
        workflows,
        networks,
        shared,
        key,
        backup,
        replaced,
        expires,
        exposure: total,
    } = wallet;
    let acts: Vec<Value> = acts.map(pending).collect();
    json!({
        "name": name, "address": address, "status": status, "declared": declared, "journal": journal,
        "owner": owner, "recovery": recovery, "revokers": revokers, "workflows": workflows,
        "networks": networks, "shared": shared, "key": key, "backup": backup, "replaced": replaced,
        "expires": expires, "exposure": total.as_ref().map(exposure), "pending": acts,
    })
}

pub(super) fn subject(subject: &v1::Subject) -> Value {
    let v1::Subject { kind, name } = subject;
    json!({ "kind": kind, "name": name })
}

pub(super) fn subject_status(status: &v1::SubjectStatus) -> Value {
    let v1::SubjectStatus { subject, status, declared, journal, address } = status;
    let v1::Subject { kind, name } = subject.clone().unwrap_or_default();
    json!({
        "kind": kind, "name": name, "status": status, "declared": declared, "journal": journal,
        "address": address,
    })
}
