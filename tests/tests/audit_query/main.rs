//! Following and asking the audit, on the real binary.

mod follow;
mod pages;
mod words;

use std::time::Duration;

use pursekeeper_api::v1;
use pursekeeper_tests::{LOOK_INTERVAL, Purse, Sidecar, request};
use serde_json::Value;
use tonic::Streaming;

/// Long enough for what comes, on a machine that does many other things.
const PATIENCE: Duration = Duration::from_secs(30);
/// A purse that pays as often as is asked.
fn purse() -> Purse {
    let purse = Purse::init();
    purse.replace("policies/registry.yaml", "payments: { hour: 100 }", "payments: { hour: 1000000 }");
    purse.lift_repeat_limit();
    purse.lift_call_limits();
    purse
}

/// Asks for payments one after another: every third is refused, and every fifth is only previewed.
async fn pay(sidecar: &Sidecar, ids: impl Iterator<Item = usize>) {
    let mut signer = sidecar.signer().await;
    for id in ids {
        let amount = if id % 3 == 0 { format!("{}", 60_000 + id) } else { "1".to_owned() };
        let ask = request(&format!("request-{id}"), &amount);
        if id % 5 == 0 {
            let _ = signer.preview(ask).await.unwrap();
        } else {
            let _ = signer.sign_payment(ask).await.unwrap();
        }
    }
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|text| (*text).to_owned()).collect()
}

fn denials() -> v1::AuditFilter {
    v1::AuditFilter { verdict: "deny".to_owned(), ..Default::default() }
}

async fn watch(sidecar: &Sidecar, request: v1::WatchRequest) -> Streaming<v1::WatchResponse> {
    sidecar.audit().await.watch(request).await.unwrap().into_inner()
}

async fn next(stream: &mut Streaming<v1::WatchResponse>) -> Option<v1::WatchResponse> {
    tokio::time::timeout(PATIENCE, stream.message()).await.unwrap().unwrap()
}

/// Everything that fits, page by page.
async fn query(
    sidecar: &Sidecar,
    filter: v1::AuditFilter,
    page_size: u32,
    newest_first: bool,
) -> Vec<v1::Decision> {
    let mut audit = sidecar.audit().await;
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let filter = Some(filter.clone());
        let asked = v1::QueryRequest { filter, page_size, page_token, newest_first };
        let v1::QueryResponse { decisions, next_page_token, pruned_through: _ } =
            audit.query(asked).await.unwrap().into_inner();
        assert!(decisions.len() <= page_size as usize);
        all.extend(decisions);
        page_token = next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

/// The whole journal, once the hashes of all signatures are recorded: those come a little later.
async fn whole(sidecar: &Sidecar) -> Vec<v1::Decision> {
    loop {
        let whole = query(sidecar, v1::AuditFilter::default(), 1_000, false).await;
        let permits =
            whole.iter().filter(|decision| decision.kind == "payment" && decision.verdict == "permit");
        let hashes = whole.iter().filter(|decision| decision.kind == "signature").map(|decision| {
            let record: Value = serde_json::from_slice(&decision.canonical).unwrap();
            record["signatures"].as_array().unwrap().len()
        });
        if permits.count() <= hashes.sum() {
            return whole;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// The first record of a kind.
fn first(whole: &[v1::Decision], kind: &str) -> u64 {
    whole.iter().find(|decision| decision.kind == kind).unwrap().seq
}

fn seqs(decisions: &[v1::Decision]) -> Vec<u64> {
    decisions.iter().map(|decision| decision.seq).collect()
}
