//! The journal that is attacked: what a real sidecar recorded, with everything that can be known about it.

use std::path::PathBuf;

use pursekeeper_api::v1;
use pursekeeper_tests::overspend::Client;
use pursekeeper_tests::{Purse, Sidecar};
use tempfile::TempDir;
use tokio::runtime::Builder;

use super::tables::Table;
use crate::content::{self, Content, Stored};
use crate::found::Found;
use crate::house::{self, CHECKPOINT, JOURNAL};
use crate::load::{Ask, Load, MIXED, payment_to};
use crate::verdict::{self, Against};

/// Records at least.
const RECORDS: u64 = 10_000;
/// When earlier copies are kept, in records.
const KEPT: [u64; 3] = [2_000, 5_000, 8_000];
/// Clients that ask.
const CLIENTS: usize = 32;
/// Equal denials, retries and previews that are recorded within a minute.
const REPEATS: u64 = 200;
/// Records at the end from which nothing follows in any table.
const QUIET: u64 = 150;
/// Records of the other journal, at least.
const OTHER: u64 = 200;
/// Payees nobody has accepted.
const UNKNOWN: [&str; 3] = [
    "0x2222222222222222222222222222222222222222",
    "0x3333333333333333333333333333333333333333",
    "0x4444444444444444444444444444444444444444",
];

/// A journal, and what is true about it.
pub(super) struct Trail {
    pub(super) purse: Purse,
    /// The checkpoint that was kept elsewhere, and who signed it.
    pub(super) against: Against,
    pub(super) records: Vec<Stored>,
    pub(super) content: Content,
    pub(super) tables: Vec<Table>,
    /// Earlier copies, and the last record of each.
    pub(super) earlier: Vec<(PathBuf, u64)>,
    /// From this record on, nothing follows in any table.
    pub(super) quiet_from: u64,
    /// Another purse, and its checkpoint.
    pub(super) other: (Purse, Against),
    _elsewhere: TempDir,
}

impl Trail {
    /// The last record.
    pub(super) fn last(&self) -> u64 {
        u64::try_from(self.records.len()).unwrap()
    }
}

/// Has it recorded.
pub(super) fn lay(found: &mut Found) -> Trail {
    let elsewhere = tempfile::tempdir().unwrap();
    let audit = house::checkpoints()
        + "sinks: [{ name: lines, format: json, file: { path: audit.jsonl } }]\n\
           archive: { dir: archive, segment_records: 4096, interval_secs: 1 }\n";
    let purse = house::shadowed_purse(&audit, REPEATS);
    let sidecar = purse.serve();
    govern(&sidecar);
    let mut earlier = Vec::new();
    let load = Load::begin(&sidecar.socket("agent"), "trail", CLIENTS, MIXED);
    for records in KEPT {
        house::until("there are records", || house::last_seq(&purse.file(JOURNAL)) >= records);
        let copy = house::snapshot(&purse, &sidecar, &elsewhere.path().join(records.to_string()));
        let last = house::last_seq(&copy.join("pursekeeper.db"));
        earlier.push((copy, last));
    }
    house::until("there are records", || house::last_seq(&purse.file(JOURNAL)) >= RECORDS);
    act(&sidecar);
    let failed = load.end().failures();
    found.tally.expect(failed.is_empty(), || format!("while it was recorded: {failed:?}"));
    house::until_checkpointed(&purse);
    let quiet_from = house::last_seq(&purse.file(JOURNAL)) + 1;
    let load = Load::begin(&sidecar.socket("agent"), "quiet", 1, &[Ask::Preview]);
    house::until("there are previews", || house::last_seq(&purse.file(JOURNAL)) >= quiet_from + QUIET);
    let _ = load.end();
    let stopped = sidecar.stop();
    found.tally.expect(stopped.success(), || format!("it ended with {stopped}"));
    let against = kept_elsewhere(&purse, elsewhere.path().join("checkpoint"));
    let journal = purse.file(JOURNAL);
    let records = content::records(&journal);
    let covered = house::checkpoint_size(&against.checkpoint);
    found.tally.expect(covered == u64::try_from(records.len()).ok(), || {
        format!("the last checkpoint is over {covered:?} of {} records", records.len())
    });
    let tables = super::tables::all(&content::open(&journal).unwrap());
    tell(&records, &tables, found);
    let other = other(&elsewhere);
    let content = Content::read(&journal).unwrap();
    Trail { purse, against, records, content, tables, earlier, quiet_from, other, _elsewhere: elsewhere }
}

/// What a checkpoint's file says, put where the journal's writer has no say.
fn kept_elsewhere(purse: &Purse, to: PathBuf) -> Against {
    std::fs::copy(purse.file(CHECKPOINT), &to).unwrap();
    Against { checkpoint: to, key: verdict::key_of(purse) }
}

/// A second purse with a journal of its own.
fn other(elsewhere: &TempDir) -> (Purse, Against) {
    let purse = house::purse(&house::checkpoints(), REPEATS);
    let sidecar = purse.serve();
    let load = Load::begin(&sidecar.socket("agent"), "other", 4, MIXED);
    house::until("there are records", || house::last_seq(&purse.file(JOURNAL)) >= OTHER);
    let _ = load.end();
    assert!(sidecar.stop().success());
    let against = kept_elsewhere(&purse, elsewhere.path().join("other-checkpoint"));
    (purse, against)
}

/// Something in every table: payments that are voided, payees nobody knows, a wallet suspended and resumed.
fn govern(sidecar: &Sidecar) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut signer, mut governance) = (sidecar.signer().await, sidecar.governance().await);
        for at in 0..5 {
            let _ = signer.sign_payment(crate::load::payment(&format!("voided-{at}"), "1000")).await.unwrap();
        }
        for (at, payee) in UNKNOWN.into_iter().enumerate() {
            let _ = signer.sign_payment(payment_to(&format!("unknown-{at}"), payee)).await.unwrap();
        }
        let subject = Some(v1::Subject { kind: "wallet".to_owned(), name: "research-hot".to_owned() });
        let request = v1::LifecycleRequest { subject, reason: "drill".to_owned() };
        governance.suspend(request.clone()).await.unwrap();
        governance.cancel_outstanding(request.clone()).await.unwrap();
        governance.resume(request).await.unwrap();
    });
}

/// Suspends and resumes the wallet under load.
fn act(sidecar: &Sidecar) {
    let mut operator = Client::connect(sidecar);
    for suspend in [true, false] {
        let _ = operator.act(suspend);
    }
}

/// What there is to attack.
fn tell(records: &[Stored], tables: &[Table], found: &mut Found) {
    let mut kinds = std::collections::BTreeMap::<String, u64>::new();
    for (body, ..) in records {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        *kinds.entry(body["kind"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    found.fact("records", format!("{kinds:?}"));
    let rows: Vec<String> = tables.iter().map(|table| format!("{} {}", table.rows, table.name)).collect();
    found.fact("rows", rows.join(", "));
    found.tally.decisions = u64::try_from(records.len()).unwrap();
}
