//! Lives of wallets on the real binary: made, declared, backed up, rotated, revoked, recovered.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use pursekeeper_api::v1::lifecycle_response::Result as Acted;
use pursekeeper_api::v1::{
    self, backup_response, cancel_outstanding_response, pending_response, reload_response,
};
use pursekeeper_core::WalletName;
use pursekeeper_custody::{Recipient, Source, seal_delivery};
use pursekeeper_tests::{Purse, Sidecar, denied, reason, request, signed};
use tonic::Code;

/// A pair from the specification of age.
const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
const WALLET: &str = "research-hot";
/// How long to wait for what happens by itself.
const PATIENCE: Duration = Duration::from_secs(30);

fn subject(kind: &str, name: &str) -> Option<v1::Subject> {
    Some(v1::Subject { kind: kind.to_owned(), name: name.to_owned() })
}

fn about(kind: &str, name: &str) -> v1::LifecycleRequest {
    v1::LifecycleRequest { subject: subject(kind, name), reason: "drill".to_owned() }
}

fn done(answered: v1::LifecycleResponse) -> v1::LifecycleDone {
    match answered.result {
        Some(Acted::Done(done)) => done,
        other => panic!("not done: {other:?}"),
    }
}

fn pending(answered: v1::PendingResponse) -> v1::PendingAct {
    match answered.result {
        Some(pending_response::Result::Pending(pending)) => pending,
        other => panic!("not pending: {other:?}"),
    }
}

async fn reload(sidecar: &Sidecar) -> v1::Reloaded {
    let request = v1::SidecarRequest { reason: "drill".to_owned() };
    match sidecar.governance().await.reload_policies(request).await.unwrap().into_inner().result {
        Some(reload_response::Result::Done(done)) => done,
        other => panic!("not reloaded: {other:?}"),
    }
}

async fn wallet(sidecar: &Sidecar, called: &str) -> v1::GovernedWallet {
    let request = v1::GetWalletRequest { wallet: called.to_owned() };
    sidecar.governance().await.get_wallet(request).await.unwrap().into_inner().wallet.unwrap()
}

/// What a wallet is, once that is `status`.
async fn until(sidecar: &Sidecar, called: &str, status: &str) -> v1::GovernedWallet {
    let begun = Instant::now();
    loop {
        let wallet = wallet(sidecar, called).await;
        if wallet.status == status {
            return wallet;
        }
        assert!(begun.elapsed() < PATIENCE, "{called} is {} and not {status}", wallet.status);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The key files of a purse.
fn key_files(purse: &Purse) -> Vec<String> {
    let entries = fs::read_dir(purse.file("keystore")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "keystore.json" && name != "audit.key");
    names.sort();
    names
}

/// A purse whose recovery team can open backups, and whose wallet needs one.
fn with_recovery() -> Purse {
    let purse = Purse::init();
    let teams = format!("teams: {{ treasury: {{ backup_recipients: [\"{RECIPIENT}\"] }}, research: {{}} }}");
    purse.replace("policies/registry.yaml", "teams: [treasury, research]", &teams);
    purse.replace("policies/registry.yaml", "    backup: none", "    #");
    purse
}

fn write_secret(path: &Path, text: &[u8]) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

async fn transport(sidecar: &Sidecar) -> Recipient {
    let status = sidecar.governance().await.status(v1::StatusRequest {}).await.unwrap().into_inner();
    Recipient::parse(&status.transport_recipient).unwrap()
}

#[tokio::test]
async fn a_wallet_is_made_declared_backed_up_and_then_pays() {
    let purse = with_recovery();
    let sidecar = purse.serve();
    let mut governance = sidecar.governance().await;
    let create = v1::CreateRequest { wallet: "second".to_owned(), reason: "drill".to_owned() };
    let made = pending(governance.create(create.clone()).await.unwrap().into_inner());
    assert!(made.registry_patch.contains(&made.address), "{}", made.registry_patch);
    let again = pending(governance.create(create).await.unwrap().into_inner());
    assert_eq!(again.address, made.address, "asked twice it is one key");

    let registry = fs::read_to_string(purse.file("policies/registry.yaml")).unwrap();
    let old = registry
        .lines()
        .find(|line| line.trim_start().starts_with("address: \"0x") && !line.contains("036CbD"))
        .unwrap();
    let first = registry[registry.find("  research-hot:").unwrap()..].to_owned();
    let second =
        first.replace("research-hot", "second").replace(old, &format!("    address: \"{}\"", made.address));
    let second = second.split("\n\n").next().unwrap();
    fs::write(
        purse.file("policies/registry.yaml"),
        registry.replace("  research-hot:", &format!("{second}\n  research-hot:")),
    )
    .unwrap();
    let reloaded = reload(&sidecar).await;
    assert_eq!(
        reloaded.completed.iter().map(|act| act.address.as_str()).collect::<Vec<_>>(),
        [made.address.as_str()]
    );

    let pay = |id: &str| v1::SignPaymentRequest { wallet: Some("second".to_owned()), ..request(id, "1000") };
    let mut signer = sidecar.signer().await;
    assert_eq!(denied(signer.sign_payment(pay("early")).await).code, "BACKUP_MISSING");
    assert_eq!(wallet(&sidecar, "second").await.backup, "missing");
    let answered = governance.backup(about("wallet", "second")).await.unwrap().into_inner().result;
    let Some(backup_response::Result::Backup(backup)) = answered else { panic!("{answered:?}") };
    assert_eq!(backup.recipients, [RECIPIENT]);
    assert!(backup.age_file.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----"));
    assert_eq!(wallet(&sidecar, "second").await.backup, "done");
    assert_eq!(signed(signer.sign_payment(pay("late")).await).wallet_address, made.address);
    assert_eq!(sidecar.stop().code(), Some(0));
    assert!(purse.exits(0, &["audit", "verify"]).contains("verified"));
    assert_eq!(
        signed(purse.serve().signer().await.sign_payment(pay("late")).await).wallet_address,
        made.address
    );
}

#[tokio::test]
async fn a_rotation_keeps_what_was_spent_and_drains_the_old_key() {
    let purse = with_recovery();
    purse.replace("pursekeeper.yaml", "validity_secs_max: 300", "validity_secs_max: 5");
    purse.replace("pursekeeper.yaml", "skew_secs: 60", "skew_secs: 1");
    let sidecar = purse.serve();
    let (mut governance, mut signer) = (sidecar.governance().await, sidecar.signer().await);
    let old = wallet(&sidecar, WALLET).await.address;
    let _ = governance.backup(about("wallet", WALLET)).await.unwrap();
    let _ = signed(signer.sign_payment(request("before", "1000")).await);
    let act = pending(governance.rotate(about("wallet", WALLET)).await.unwrap().into_inner());
    assert_eq!((act.replaces.as_str(), act.wallet.as_str()), (old.as_str(), WALLET));
    let again = pending(governance.rotate(about("wallet", WALLET)).await.unwrap().into_inner());
    assert_eq!(again.address, act.address, "asked twice it is one key");
    assert_eq!(key_files(&purse).len(), 2);
    assert_eq!(signed(signer.sign_payment(request("meanwhile", "1000")).await).wallet_address, old);

    let line = format!("    address: \"{old}\"");
    purse.replace("policies/registry.yaml", &line, &format!("    address: \"{}\"", act.address));
    assert_eq!(
        reload(&sidecar).await.completed.len(),
        0,
        "a registry that forgets the old address does not complete it"
    );
    purse.replace(
        "policies/registry.yaml",
        &format!("    address: \"{}\"", act.address),
        &format!("    address: \"{}\"\n    was: [\"{old}\"]", act.address),
    );
    assert_eq!(reload(&sidecar).await.completed.len(), 1);
    let _ = governance.backup(about("wallet", WALLET)).await.unwrap();
    assert_eq!(signed(signer.sign_payment(request("after", "1000")).await).wallet_address, act.address);
    let budgets = governance.list_budgets(v1::ListBudgetsRequest {}).await.unwrap().into_inner().budgets;
    let of_wallet = budgets.iter().find(|budget| budget.scope == "wallet" && budget.unit == "usd");
    let held = of_wallet.map(|budget| budget.held.as_str());
    assert_eq!(held, Some("0.003"), "what the old address spent counts");
    // Its signatures die within seconds; then it ends, and its key with it.
    let ended = until(&sidecar, &old, "revoked").await;
    assert!(ended.replaced);
    let begun = Instant::now();
    while key_files(&purse).len() > 1 {
        assert!(begun.elapsed() < PATIENCE, "the old key is still there: {:?}", key_files(&purse));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    purse.replace("policies/registry.yaml", &format!("\n    was: [\"{old}\"]"), "");
    let refused =
        governance.reload_policies(v1::SidecarRequest { reason: "drill".to_owned() }).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "BUNDLE_REFUSED"));
    assert!(refused.message().contains("was:"), "{}", refused.message());
    assert_eq!(sidecar.stop().code(), Some(0));
    assert!(purse.exits(1, &["serve"]).contains("was:"), "nor does it start so");
}

#[tokio::test]
async fn a_revocation_voids_what_was_signed_and_ends_the_key() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    let (mut governance, mut signer) = (sidecar.governance().await, sidecar.signer().await);
    for id in ["a", "b", "c"] {
        let _ = signed(signer.sign_payment(request(id, "1000")).await);
    }
    let refused = governance.cancel_outstanding(about("wallet", WALLET)).await.unwrap().into_inner().result;
    let Some(cancel_outstanding_response::Result::Denied(refused)) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.code, "SUBJECT_ACTIVE");

    let revoked = done(governance.revoke(about("wallet", WALLET)).await.unwrap().into_inner());
    assert_eq!(
        (revoked.status.as_str(), revoked.key.as_str(), revoked.durable),
        ("revoked", "destroyed", true)
    );
    let exposure = revoked.exposure.unwrap();
    assert_eq!((exposure.signatures, exposure.usd.as_str(), exposure.cancellable), (3, "0.003", 3));
    assert!(revoked.effective_micros > 0);
    assert!(key_files(&purse).is_empty(), "{:?}", key_files(&purse));
    for id in ["a", "fresh"] {
        assert_eq!(denied(signer.sign_payment(request(id, "1000")).await).code, "NOT_ACTIVE");
    }
    let again = done(governance.revoke(about("wallet", WALLET)).await.unwrap().into_inner());
    assert!(again.already);
    let table = v1::ExposureRequest { subject: subject("wallet", WALLET), ..Default::default() };
    let exposed = governance.exposure(table).await.unwrap().into_inner().signatures;
    assert_eq!(exposed.iter().map(|one| one.cancellation.as_str()).collect::<Vec<_>>(), ["signed"; 3]);
    assert_eq!(sidecar.stop().code(), Some(0));

    // What voids them outlives the key, and the tombstone the process.
    let sidecar = purse.serve();
    let mut governance = sidecar.governance().await;
    let answered = governance.cancel_outstanding(about("wallet", WALLET)).await.unwrap().into_inner().result;
    let Some(cancel_outstanding_response::Result::Done(cancelled)) = answered else { panic!("{answered:?}") };
    assert_eq!((cancelled.cancellations.len(), cancelled.not_cancellable.len()), (3, 0));
    let resumed = governance.resume(about("wallet", WALLET)).await.unwrap().into_inner().result;
    let Some(Acted::Denied(refused)) = resumed else { panic!("{resumed:?}") };
    assert_eq!(refused.code, "REVOKED");
    assert_eq!(wallet(&sidecar, WALLET).await.key, "absent");
    assert!(purse.exits(0, &["audit", "verify"]).contains("verified"));
}

#[tokio::test]
async fn everything_is_stopped_and_goes_on_also_after_a_restart() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    let drill = || v1::SidecarRequest { reason: "drill".to_owned() };
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    let stopped = done(sidecar.governance().await.suspend_all(drill()).await.unwrap().into_inner());
    assert_eq!(stopped.status, "suspended");
    assert_eq!(sidecar.stop().code(), Some(0));
    let sidecar = purse.serve();
    for id in ["a", "b"] {
        assert_eq!(denied(sidecar.signer().await.sign_payment(request(id, "1000")).await).code, "NOT_ACTIVE");
    }
    let status = sidecar.governance().await.status(v1::StatusRequest {}).await.unwrap().into_inner();
    assert!(status.all_suspended);
    let _ = done(sidecar.governance().await.resume_all(drill()).await.unwrap().into_inner());
    let _ = signed(sidecar.signer().await.sign_payment(request("b", "1000")).await);
}

#[tokio::test]
async fn a_wallet_comes_back_from_its_backup_suspended_and_with_every_window_spent() {
    let here = with_recovery();
    let sidecar = here.serve();
    let answered =
        sidecar.governance().await.backup(about("wallet", WALLET)).await.unwrap().into_inner().result;
    let Some(backup_response::Result::Backup(backup)) = answered else { panic!("{answered:?}") };
    assert_eq!(sidecar.stop().code(), Some(0));

    // Another machine: its own journal and keystore, the same registry but for the address it makes itself.
    let there = with_recovery();
    let registry = fs::read_to_string(here.file("policies/registry.yaml")).unwrap();
    fs::write(there.file("policies/registry.yaml"), registry).unwrap();
    for file in key_files(&there) {
        fs::remove_file(there.file("keystore").join(file)).unwrap();
    }
    let sidecar = there.serve();
    let mut signer = sidecar.signer().await;
    assert_eq!(wallet(&sidecar, WALLET).await.key, "absent");
    let (file, identity) = (there.file("backup.age"), there.file("identity.txt"));
    fs::write(&file, &backup.age_file).unwrap();
    write_secret(&identity, format!("# a test's\n{IDENTITY}\n").as_bytes());
    let name = WalletName::parse(WALLET).unwrap();
    let source = Source::Backup { file: &file, identity: &identity };
    let sealed_key = seal_delivery(source, &name, &transport(&sidecar).await).unwrap();
    let junk = v1::RecoverRequest {
        wallet: WALLET.to_owned(),
        sealed_key: b"junk".to_vec(),
        reason: "drill".to_owned(),
    };
    let refused = sidecar.governance().await.recover(junk).await.unwrap_err();
    assert_eq!(reason(&refused), "KEY_REFUSED");
    assert_eq!(wallet(&sidecar, WALLET).await.journal, "active", "what is no key suspends nothing");
    let recover = v1::RecoverRequest { wallet: WALLET.to_owned(), sealed_key, reason: "drill".to_owned() };
    let mut governance = sidecar.governance().await;
    let recovered = done(governance.recover(recover.clone()).await.unwrap().into_inner());
    assert_eq!(recovered.status, "suspended");
    assert_eq!(wallet(&sidecar, WALLET).await.key, "present");
    assert_eq!(denied(signer.sign_payment(request("a", "1000")).await).code, "NOT_ACTIVE");
    let again = done(governance.recover(recover).await.unwrap().into_inner());
    assert!(again.already, "asked twice it is once");
    // It has no backup here that this journal knows of.
    let _ = governance.backup(about("wallet", WALLET)).await.unwrap();
    let _ = done(governance.resume(about("wallet", WALLET)).await.unwrap().into_inner());
    assert_eq!(signed(signer.sign_payment(request("a", "1000")).await).wallet_address, backup.address);
}

#[tokio::test]
async fn a_key_is_taken_in_only_when_it_is_sealed_for_this_sidecar() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    let hex = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";
    let name = WalletName::parse("second").unwrap();
    let seal = |to: &Recipient| seal_delivery(Source::HexReader(&mut hex.as_bytes()), &name, to).unwrap();
    let stranger = Recipient::parse(RECIPIENT).unwrap();
    let mut governance = sidecar.governance().await;
    for sealed_key in [Vec::new(), hex.as_bytes().to_vec(), seal(&stranger)] {
        let import =
            v1::ImportRequest { wallet: "second".to_owned(), sealed_key, reason: "drill".to_owned() };
        let refused = governance.import(import).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "KEY_REFUSED"));
        assert!(!refused.message().contains(&hex[..8]), "{}", refused.message());
    }
    let sealed_key = seal(&transport(&sidecar).await);
    let import = v1::ImportRequest { wallet: "second".to_owned(), sealed_key, reason: "drill".to_owned() };
    let act = pending(governance.import(import.clone()).await.unwrap().into_inner());
    assert_eq!(act.address.to_lowercase(), "0x008aeeda4d805471df9b2a5b0f38a0c3bcba786b");
    assert_eq!(pending(governance.import(import).await.unwrap().into_inner()).address, act.address);
    assert!(!sidecar.log().contains(&hex[..16]), "a key is never logged");
}

#[tokio::test]
async fn a_workflow_that_ends_is_reported_with_what_it_leaves() {
    let purse = Purse::init();
    purse.replace("policies/registry.yaml", "teams: [treasury] }", "teams: [treasury, research] }");
    let sidecar = purse.serve();
    let mut governance = sidecar.governance().await;
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    let registry = fs::read_to_string(purse.file("policies/registry.yaml")).unwrap();
    let workflows = registry.split("\nworkflows:\n").nth(1).unwrap();
    let name = workflows.lines().find(|line| line.starts_with("  ") && line.ends_with(':')).unwrap();
    let name = name.trim().trim_end_matches(':');
    let ended = done(governance.revoke(about("workflow", name)).await.unwrap().into_inner());
    assert_eq!(ended.suspended_wallets, [WALLET]);
    assert_eq!(ended.exposure.unwrap().signatures, 1);
    let report = governance.report(v1::ReportRequest { unused_days: 1 }).await.unwrap().into_inner();
    let told = report.ended_workflows.iter().find(|end| end.workflow == name).unwrap();
    assert_eq!((told.status.as_str(), told.wallet.as_str(), told.suspended), ("revoked", WALLET, true));
    assert_eq!(told.suspended_after_ms, 0, "it is suspended in the same record");
    assert!(report.orphans.iter().any(|orphan| orphan.kind == "wallet" && orphan.name == WALLET));
    assert_eq!(
        report.volumes.iter().map(|row| (row.payments, row.usd.as_str())).collect::<Vec<_>>(),
        [(1, "0.001")]
    );
    assert!(report.wallets.iter().all(|row| !row.unused), "it was used a moment ago");
}

#[tokio::test]
async fn an_invalid_bundle_leaves_the_one_in_force() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    let mut governance = sidecar.governance().await;
    let before = governance.status(v1::StatusRequest {}).await.unwrap().into_inner().bundle_digest;
    purse.replace("policies/registry.yaml", "owner: research", "owner: nobody");
    let refused =
        governance.reload_policies(v1::SidecarRequest { reason: "drill".to_owned() }).await.unwrap_err();
    assert_eq!(reason(&refused), "BUNDLE_REFUSED");
    assert!(refused.message().contains("registry.yaml:") && refused.message().contains("nobody"));
    assert_eq!(governance.status(v1::StatusRequest {}).await.unwrap().into_inner().bundle_digest, before);
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    purse.replace("policies/registry.yaml", "owner: nobody", "owner: research");
    purse.replace("policies/registry.yaml", "decimals: 6", "decimals: 18");
    let refused =
        governance.reload_policies(v1::SidecarRequest { reason: "drill".to_owned() }).await.unwrap_err();
    assert!(refused.message().contains("decimals"), "money is bound in it: {}", refused.message());
}

#[tokio::test]
async fn every_act_needs_a_reason_and_an_operator() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    let mut governance = sidecar.governance().await;
    let silent = v1::LifecycleRequest { subject: subject("wallet", WALLET), reason: String::new() };
    let answers = [
        governance.suspend(silent.clone()).await.unwrap_err(),
        governance.revoke(silent.clone()).await.unwrap_err(),
        governance.retire(silent.clone()).await.unwrap_err(),
        governance.rotate(silent.clone()).await.unwrap_err(),
        governance.backup(silent.clone()).await.unwrap_err(),
        governance.cancel_outstanding(silent).await.unwrap_err(),
        governance.suspend_all(v1::SidecarRequest::default()).await.unwrap_err(),
        governance.reload_policies(v1::SidecarRequest::default()).await.unwrap_err(),
        governance
            .create(v1::CreateRequest { wallet: "x".to_owned(), ..Default::default() })
            .await
            .unwrap_err(),
    ];
    for refused in answers {
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    }
}
