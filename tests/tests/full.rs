//! The real binary on a full disk: a small file system of its own, in a mount name space of its own.

use std::fs;
use std::time::{Duration, Instant};

use pursekeeper_api::v1;
use pursekeeper_api::v1::lifecycle_response::Result as Acted;
use pursekeeper_tests::{Purse, Sidecar, denied, fill_disk, reason, request, serve_on_disk, signed};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Room for the journal as it is created, and little more.
const DISK: &str = "12m";
/// Several times as long as the sidecar waits between two attempts to write.
const SELF_HELP: Duration = Duration::from_secs(3);
/// How long to wait for what must come.
const PATIENCE: Duration = Duration::from_secs(30);
/// More asks than fit on the disk.
const ASKS_MAX: usize = 20_000;

async fn health(sidecar: &Sidecar) -> ServingStatus {
    let channel = pursekeeper_api::connect(sidecar.socket("agent")).await.unwrap();
    let check = HealthCheckRequest { service: "pursekeeper.v1.Signer".to_owned() };
    HealthClient::new(channel).check(check).await.unwrap().into_inner().status()
}

/// Whether it serves again without anybody's help, within several of its own attempts.
async fn recovers(sidecar: &Sidecar) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < SELF_HELP {
        if health(sidecar).await == ServingStatus::Serving {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

async fn act(sidecar: &Sidecar, reason: &str) -> v1::LifecycleDone {
    let subject = Some(v1::Subject { kind: "wallet".to_owned(), name: "research-hot".to_owned() });
    let request = v1::LifecycleRequest { subject, reason: reason.to_owned() };
    let answered = sidecar.governance().await.suspend(request).await.unwrap().into_inner().result;
    let Some(Acted::Done(done)) = answered else { panic!("{answered:?}") };
    done
}

#[tokio::test]
async fn a_full_disk_signs_nothing_still_stops_and_recovers() {
    let purse = Purse::init();
    purse.lift_call_limits();
    let sidecar = serve_on_disk(&purse, DISK);
    let mut signer = sidecar.signer().await;
    let paid = signed(signer.sign_payment(request("paid", "1000")).await);
    let ballast = fill_disk(&purse, &sidecar);

    let mut asked = 0;
    loop {
        // Denials are recorded too: sooner or later nothing fits.
        assert!(asked < ASKS_MAX, "the disk is never full");
        asked += 1;
        let Err(refused) = signer.sign_payment(request(&format!("fill-{asked}"), "60000")).await else {
            continue;
        };
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "JOURNAL_UNWRITABLE"));
        // A full log may be emptied into the room that the database still has, and small records fit where large ones
        // do not; then it goes on for a while.
        if !recovers(&sidecar).await && signer.sign_payment(request("paid", "1000")).await.is_err() {
            break;
        }
    }
    assert_eq!(health(&sidecar).await, ServingStatus::NotServing);
    let status = sidecar.governance().await.status(v1::StatusRequest {}).await.unwrap().into_inner();
    assert!(!status.serving && status.problems[0].contains("full"), "{:?}", status.problems);
    let before = status.seq;
    let Err(refused) = signer.sign_payment(request("paid", "1000")).await else {
        panic!("handed out unrecorded")
    };
    assert_eq!(refused.code(), Code::Unavailable, "not even what was signed before");

    let done = act(&sidecar, "in the middle of it").await;
    assert_eq!((done.status.as_str(), done.durable), ("suspended", true), "there is room kept for stops");
    assert_eq!(health(&sidecar).await, ServingStatus::NotServing, "and for nothing else");
    let Err(refused) = signer.sign_payment(request("paid", "1000")).await else {
        panic!("the room for stops was used for a payment")
    };
    assert_eq!(refused.code(), Code::Unavailable);

    fs::remove_file(ballast).unwrap();
    assert!(recovers(&sidecar).await, "the room for stops is made again by itself");
    let mut watch = sidecar
        .audit()
        .await
        .watch(v1::WatchRequest { from_seq: before + 1, until_now: false, ..Default::default() })
        .await
        .unwrap()
        .into_inner();
    let first =
        tokio::time::timeout(PATIENCE, watch.message()).await.expect("the stop is not recorded by itself");
    let first = first.unwrap().unwrap().decision.unwrap();
    assert_eq!(
        (first.kind.as_str(), first.seq),
        ("lifecycle", before + 1),
        "the stop was recorded before there was space"
    );
    for id in ["paid", "fresh"] {
        assert_eq!(denied(signer.sign_payment(request(id, "1000")).await).code, "NOT_ACTIVE");
    }
    assert_eq!(health(&sidecar).await, ServingStatus::Serving);
    let subject = Some(v1::Subject { kind: "wallet".to_owned(), name: "research-hot".to_owned() });
    let resume = v1::LifecycleRequest { subject, reason: "there is room".to_owned() };
    let _ = sidecar.governance().await.resume(resume).await.unwrap();
    assert_eq!(paid, signed(signer.sign_payment(request("paid", "1000")).await));
    assert_eq!(sidecar.stop().code(), Some(0));
}
