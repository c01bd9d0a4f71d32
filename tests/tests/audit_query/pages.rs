//! Asking, a page at a time.

use pursekeeper_api::v1;
use pursekeeper_tests::reason;
use tonic::Code;

use super::{denials, pay, purse, query, seqs, texts, whole};

#[tokio::test]
async fn pages_of_any_size_in_both_directions_are_the_whole() {
    let purse = purse();
    let sidecar = purse.serve();
    pay(&sidecar, 0..40).await;
    let whole = whole(&sidecar).await;
    assert_eq!(seqs(&whole), (1..=whole.len() as u64).collect::<Vec<_>>());
    let middle = whole[20].time_unix_ms;
    let filters = [
        v1::AuditFilter::default(),
        denials(),
        v1::AuditFilter { kinds: texts(&["preview", "genesis"]), ..Default::default() },
        v1::AuditFilter { codes: texts(&["CEILING_EXCEEDED"]), ..Default::default() },
        v1::AuditFilter {
            agents: texts(&["crawler"]),
            wallets: texts(&["research-hot"]),
            ..Default::default()
        },
        v1::AuditFilter { services: texts(&["nothing"]), ..Default::default() },
        v1::AuditFilter { since_unix_ms: middle, ..Default::default() },
        v1::AuditFilter { until_unix_ms: middle, ..Default::default() },
        v1::AuditFilter { since_unix_ms: middle, verdict: "permit".to_owned(), ..Default::default() },
        v1::AuditFilter { kinds: texts(&["signature"]), ..Default::default() },
    ];
    for filter in filters {
        let fits = |decision: &&v1::Decision| {
            let v1::AuditFilter {
                kinds, codes, agents, services, verdict, since_unix_ms, until_unix_ms, ..
            } = &filter;
            let any = |wanted: &[String], value: &String| wanted.is_empty() || wanted.contains(value);
            any(kinds, &decision.kind)
                && any(codes, &decision.code)
                && any(agents, &decision.agent)
                && any(services, &decision.service)
                && (verdict.is_empty() || *verdict == decision.verdict)
                && decision.time_unix_ms >= *since_unix_ms
                && (*until_unix_ms == 0 || decision.time_unix_ms < *until_unix_ms)
        };
        let expected: Vec<u64> = whole.iter().filter(fits).map(|decision| decision.seq).collect();
        for page_size in [1, 7, 1_000] {
            assert_eq!(
                seqs(&query(&sidecar, filter.clone(), page_size, false).await),
                expected,
                "{filter:?}"
            );
            let mut backwards = seqs(&query(&sidecar, filter.clone(), page_size, true).await);
            backwards.reverse();
            assert_eq!(backwards, expected, "{filter:?}, the newest first");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_with_a_reason() {
    let purse = purse();
    let sidecar = purse.serve();
    pay(&sidecar, 0..5).await;
    let mut audit = sidecar.audit().await;
    let asked = v1::QueryRequest { filter: Some(denials()), page_size: 1, ..Default::default() };
    let token = audit.query(asked.clone()).await.unwrap().into_inner().next_page_token;
    assert!(!token.is_empty());
    let unknown = v1::AuditFilter { kinds: texts(&["bribe"]), ..Default::default() };
    let table = [
        (
            v1::QueryRequest { page_token: token.clone(), filter: None, ..asked.clone() },
            "MALFORMED_PAGE_TOKEN",
        ),
        (
            v1::QueryRequest { page_token: token.clone(), newest_first: true, ..asked.clone() },
            "MALFORMED_PAGE_TOKEN",
        ),
        (v1::QueryRequest { page_token: "nonsense".to_owned(), ..asked.clone() }, "MALFORMED_PAGE_TOKEN"),
        (v1::QueryRequest { filter: Some(unknown.clone()), ..asked.clone() }, "MALFORMED_FILTER"),
    ];
    for (ask, expected) in table {
        let refused = audit.query(ask.clone()).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, expected), "{ask:?}");
    }
    let _ = audit.query(v1::QueryRequest { page_token: token, ..asked }).await.unwrap();
    let refused =
        audit.watch(v1::WatchRequest { filter: Some(unknown), ..Default::default() }).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "MALFORMED_FILTER"));
}
