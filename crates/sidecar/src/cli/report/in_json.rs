use pursekeeper_api::v1;
use serde_json::{Value, json};

use crate::cli::as_json;

/// The whole report, for programs.
pub(super) fn report(report: &v1::ReportResponse) -> Value {
    let v1::ReportResponse {
        time_unix_ms,
        bundle_digest,
        unused_days,
        wallets,
        volumes,
        unused_endpoints,
        ended_workflows,
        orphans,
        more,
    } = report;
    let wallets: Vec<Value> = wallets.iter().map(wallet).collect();
    let volume = |volume: &v1::Volume| {
        let v1::Volume { workflow, wallet, endpoint, payments, usd } = volume;
        json!({ "workflow": workflow, "wallet": wallet, "endpoint": endpoint, "payments": payments, "usd": usd })
    };
    let unused = |endpoint: &v1::UnusedEndpoint| {
        let v1::UnusedEndpoint { service, method, pattern } = endpoint;
        json!({ "service": service, "method": method, "pattern": pattern })
    };
    json!({
        "time_unix_ms": time_unix_ms, "bundle_digest": bundle_digest, "unused_days": unused_days,
        "wallets": wallets,
        "volumes": volumes.iter().map(volume).collect::<Vec<_>>(),
        "unused_endpoints": unused_endpoints.iter().map(unused).collect::<Vec<_>>(),
        "ended_workflows": ended_workflows.iter().map(ended).collect::<Vec<_>>(),
        "orphans": orphans.iter().map(as_json::subject).collect::<Vec<_>>(),
        "more": more,
    })
}

fn wallet(report: &v1::WalletReport) -> Value {
    let v1::WalletReport { wallet, last_used, unused } = report;
    let mut value = as_json::wallet(&wallet.clone().unwrap_or_default(), std::iter::empty());
    if let Some(fields) = value.as_object_mut() {
        // A report does not look at what is pending: an empty list would be a claim.
        fields.remove("pending");
        fields.insert("last_used".to_owned(), json!(last_used));
        fields.insert("unused".to_owned(), json!(unused));
    }
    value
}

fn ended(workflow: &v1::EndedWorkflow) -> Value {
    let v1::EndedWorkflow { workflow, status, ended_unix_ms, wallet, suspended_after_ms, suspended } =
        workflow;
    json!({
        "workflow": workflow, "status": status, "ended_unix_ms": ended_unix_ms, "wallet": wallet,
        "suspended_after_ms": suspended.then_some(suspended_after_ms), "suspended": suspended,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meaningless_is_null() {
        let never = v1::EndedWorkflow { suspended_after_ms: 7, ..v1::EndedWorkflow::default() };
        assert_eq!(ended(&never)["suspended_after_ms"], Value::Null);
        assert_eq!(ended(&v1::EndedWorkflow { suspended: true, ..never })["suspended_after_ms"], 7);
        let wallet = wallet(&v1::WalletReport { unused: true, ..v1::WalletReport::default() });
        assert_eq!((&wallet["unused"], wallet.get("pending")), (&json!(true), None));
    }
}
