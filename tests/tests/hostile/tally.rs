//! What was answered, held against what the journal says.

use std::collections::BTreeMap;

use pursekeeper_api::v1;
use pursekeeper_tests::Sidecar;

use crate::ask::Answer;

/// Most holds listed at once.
const PAGE_LEN: usize = 1000;

/// Every answer that must be in the audit trail, by its decision id.
#[derive(Default)]
pub(crate) struct Tally {
    /// Request ids of what was signed.
    payments: BTreeMap<String, String>,
    sign_ins: BTreeMap<String, String>,
    /// Request ids and codes of what was refused.
    denied: BTreeMap<String, (String, String)>,
    /// Signatures that were handed out again.
    reissued: usize,
}

impl Tally {
    pub(crate) fn note(&mut self, request_id: &str, answer: &Answer, retry: bool) {
        let id = request_id.to_owned();
        let earlier = match answer {
            Answer::Fault(_) => None,
            Answer::Signed(_) | Answer::SignedIn(_) if retry => {
                self.reissued += 1;
                None
            }
            Answer::Signed(signed) => self.payments.insert(signed.decision_id.clone(), id),
            Answer::SignedIn(signed) => self.sign_ins.insert(signed.decision_id.clone(), id),
            Answer::Denied(denied) => {
                let before = self.denied.insert(denied.decision_id.clone(), (id, denied.code.clone()));
                before.map(|(id, _)| id)
            }
        };
        assert_eq!(earlier, None, "two answers have one record");
    }

    /// The journal holds a record of every answer and no other, and as many permits as are `allowed`. Says how many records.
    pub(crate) async fn check(self, sidecar: &Sidecar, allowed: usize) -> usize {
        let Self { mut payments, mut sign_ins, mut denied, reissued } = self;
        assert_eq!(payments.len() + sign_ins.len(), allowed, "signatures that left, and those that may");
        let holds = holds(sidecar).await;
        assert_eq!(holds.len(), payments.len(), "money is bound by what was signed, and by nothing else");
        assert!(holds.iter().all(|hold| payments.contains_key(&hold.decision_id)));

        let (mut permits, mut reissues) = (0, 0);
        let records = records(sidecar).await;
        for record in &records {
            let found = match (record.kind.as_str(), record.verdict.as_str()) {
                ("genesis" | "transition" | "signature", _) => continue,
                ("reissue", _) => {
                    reissues += 1;
                    continue;
                }
                ("payment", "permit") => payments.remove(&record.decision_id),
                ("sign-in", "permit") => sign_ins.remove(&record.decision_id),
                ("payment" | "sign-in", "deny") => denied.remove(&record.decision_id).map(|(id, code)| {
                    assert_eq!(record.code, code, "{id}");
                    id
                }),
                other => panic!("nobody asked for {other:?}: {record:?}"),
            };
            assert_eq!(found.as_ref(), Some(&record.request_id), "no such answer was given: {record:?}");
            permits += usize::from(record.verdict == "permit");
        }
        assert_eq!((permits, reissues), (allowed, reissued));
        assert!(payments.is_empty() && sign_ins.is_empty(), "not recorded: {payments:?} {sign_ins:?}");
        assert!(denied.is_empty(), "not recorded: {denied:?}");
        records.len()
    }
}

async fn records(sidecar: &Sidecar) -> Vec<v1::Decision> {
    let request = v1::WatchRequest { from_seq: 1, until_now: true, ..Default::default() };
    let mut stream = sidecar.audit().await.watch(request).await.unwrap().into_inner();
    let mut records = Vec::new();
    while let Some(response) = stream.message().await.unwrap() {
        records.push(response.decision.unwrap());
    }
    records
}

async fn holds(sidecar: &Sidecar) -> Vec<v1::Hold> {
    let limit = u32::try_from(PAGE_LEN).unwrap();
    let request = v1::ListHoldsRequest { limit, ..Default::default() };
    let holds = sidecar.governance().await.list_holds(request).await.unwrap().into_inner().holds;
    assert!(holds.len() < PAGE_LEN, "there may be more");
    holds
}
