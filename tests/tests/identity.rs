//! Who the real binary lets in: over Unix sockets, TLS and loopback, with certificates and tokens.

use std::fs;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pursekeeper_api::v1::audit_client::AuditClient;
use pursekeeper_api::v1::governance_client::GovernanceClient;
use pursekeeper_api::v1::signer_client::SignerClient;
use pursekeeper_api::{Connect, ConnectError, Signer, v1};
use pursekeeper_tests::probe::{health_port, probe};
use pursekeeper_tests::{
    Authority, Certified, Issuer, Purse, SPIFFE, Sidecar, denied, reason, request, signed,
};
use serde_json::{Value, json};
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const ISS: &str = "https://kubernetes.default.svc";
const SUBJECT: &str = "system:serviceaccount:agents:crawler";
/// Long enough for files to be looked at again, on a machine that does many other things.
const PATIENCE: Duration = Duration::from_secs(30);

/// A purse with one more listener, an authority and an issuer.
struct House {
    purse: Purse,
    authority: Authority,
    issuer: Issuer,
    address: String,
}

impl House {
    /// `listener` is an entry of `listeners`, with `PORT` for a free port of this machine.
    fn build(listener: &str) -> Self {
        let purse = Purse::init();
        let house =
            Self { authority: Authority::new(), issuer: Issuer::new(ISS), address: free_port(), purse };
        let port = house.address.rsplit(':').next().unwrap();
        let listener = listener.replace("PORT", port);
        house.purse.replace("pursekeeper.yaml", "listeners:\n", &format!("listeners:\n  - {listener}\n"));
        let identity = format!(
            "identity:\n  spiffe: {{ trust_domain: prod.example, bundle: bundle.pem }}\n  tokens:\n  \
             - {{ name: cluster, issuer: \"{ISS}\", audiences: [pursekeeper], jwks: jwks.json }}\n\nlimits:\n"
        );
        house.purse.replace("pursekeeper.yaml", "limits:\n", &identity);
        house.put("bundle.pem", &house.authority.pem());
        house.put("jwks.json", &house.issuer.jwks());
        let _ = house.authority.server(&house.dir(), "tls");
        let own = format!("    uids: [{}]\n    workflows", rustix::process::geteuid().as_raw());
        let known = own.replace(
            "    workflows",
            &format!("    spiffe: [\"{SPIFFE}\"]\n    tokens: [\"cluster:{SUBJECT}\"]\n    workflows"),
        );
        house.purse.replace("policies/registry.yaml", &own, &known);
        house
    }

    fn dir(&self) -> PathBuf {
        self.purse.file("")
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.purse.file(name), text).unwrap();
    }

    fn svid(&self) -> Certified {
        self.authority.svid(&self.dir(), "svid", SPIFFE)
    }

    /// A way over TLS with an SVID.
    fn tls(&self, svid: &Certified) -> Connect {
        let ca = self.purse.file("server-ca.pem");
        if !ca.exists() {
            self.put("server-ca.pem", &self.authority.pem());
        }
        let address = self.address.replace("127.0.0.1", "localhost");
        Connect::tls(address, ca, &svid.certificate, &svid.key)
    }

    /// A file with a token.
    fn token(&self, name: &str, text: &str) -> PathBuf {
        self.put(name, text);
        self.purse.file(name)
    }

    /// A file with a good token.
    fn good_token(&self) -> PathBuf {
        self.token("token", &self.issuer.token(SUBJECT, "pursekeeper"))
    }
}

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn said(status: &Status) -> (Code, String) {
    (status.code(), reason(status))
}

/// What becomes of a payment over a way.
async fn pay(way: Connect, id: &str) -> Result<v1::SignPaymentResponse, Status> {
    let channel = way.open().await.map_err(|error| Status::unknown(format!("{error:?}")))?;
    Signer::new(channel).sign_payment(request(id, "1000")).await.map(tonic::Response::into_inner)
}

/// Why a payment over a way is refused.
async fn refused(way: Connect, id: &str) -> (Code, String) {
    said(&pay(way, id).await.unwrap_err())
}

/// What became of everything of a kind that was read again.
fn reloads(purse: &Purse, kind: &str) -> Vec<String> {
    let text = purse.exits(0, &["audit", "export"]);
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let reloads = lines.filter_map(|line| line.pointer("/record/reload").or(line.get("reload")).cloned());
    let of_kind = reloads.filter(|reload| reload["kind"] == kind);
    of_kind.map(|reload| reload["result"].as_str().unwrap().to_owned()).collect()
}

/// The last record that has something at `pointer`.
fn recorded(purse: &Purse, pointer: &str) -> Value {
    let text = purse.exits(0, &["audit", "export"]);
    let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let record = |line: Value| line.get("record").cloned().unwrap_or(line);
    let mut found = records.map(record).filter_map(|record: Value| record.pointer(pointer).cloned());
    found.next_back().unwrap_or_else(|| panic!("nothing at {pointer} in\n{text}"))
}

#[tokio::test]
async fn a_call_that_no_client_of_ours_made_is_refused_and_recorded() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    let channel = |name: &str| {
        let path = sidecar.socket(name);
        async move {
            Endpoint::from_shared(format!("unix://{}", path.display())).unwrap().connect().await.unwrap()
        }
    };
    let (agents, operators) = (channel("agent").await, channel("operator").await);
    let missing = (Code::PermissionDenied, "HEADER_MISSING".to_owned());
    let asked = SignerClient::new(agents.clone()).sign_payment(request("a", "1000")).await;
    assert_eq!(said(&asked.unwrap_err()), missing);
    let asked = GovernanceClient::new(operators.clone()).status(v1::StatusRequest {}).await;
    assert_eq!(said(&asked.unwrap_err()), missing);
    let asked = AuditClient::new(operators).watch(v1::WatchRequest::default()).await;
    assert_eq!(said(&asked.unwrap_err()), missing);
    for value in ["0", "1, 1", "true", ""] {
        let mut wrong = Request::new(request("a", "1000"));
        wrong.metadata_mut().insert("pursekeeper", value.parse().unwrap());
        let asked = SignerClient::new(agents.clone()).sign_payment(wrong).await;
        assert_eq!(said(&asked.unwrap_err()), missing, "{value}");
    }
    let mut twice = Request::new(request("a", "1000"));
    twice.metadata_mut().append("pursekeeper", "1".parse().unwrap());
    twice.metadata_mut().append("pursekeeper", "1".parse().unwrap());
    assert_eq!(said(&SignerClient::new(agents.clone()).sign_payment(twice).await.unwrap_err()), missing);
    // Whoever only asks how it is needs none.
    let mut health = HealthClient::new(agents);
    assert!(health.check(HealthCheckRequest { service: String::new() }).await.is_ok());
    assert_eq!(recorded(&purse, "/stranger/call"), "Signer.SignPayment");
    assert!(recorded(&purse, "/stranger/message").as_str().unwrap().contains("pursekeeper: 1"));
}

#[tokio::test]
async fn a_socket_that_demands_a_token_takes_nothing_less() {
    let house = House::build("{ serves: agents, path: run/strict.sock, mode: \"0666\", token: true }");
    let sidecar = house.purse.serve();
    let way = || Connect::unix(sidecar.socket("strict"));
    assert_eq!(refused(way(), "a").await, (Code::Unauthenticated, "TOKEN_MISSING".to_owned()));
    let token_refused = (Code::Unauthenticated, "TOKEN_REFUSED".to_owned());
    let stranger = Issuer::new(ISS);
    for bad in [
        "x".to_owned(),
        house.issuer.token(SUBJECT, "api"),
        house.issuer.token_with(SUBJECT, "pursekeeper", &json!({ "exp": 1 })),
        stranger.token(SUBJECT, "pursekeeper"),
    ] {
        assert_eq!(refused(way().token_file(house.token("bad", &bad)), "a").await, token_refused, "{bad}");
    }
    let other =
        house.token("other", &house.issuer.token("system:serviceaccount:agents:other", "pursekeeper"));
    let mismatch = (Code::PermissionDenied, "IDENTITY_MISMATCH".to_owned());
    assert_eq!(refused(way().token_file(other), "a").await, mismatch);
    let good = || way().token_file(house.good_token());
    let _ = signed(pay(good(), "a").await.map(tonic::Response::new));
    let source = recorded(&house.purse, "/asked/caller/source");
    assert_eq!((&source["kind"], &source["issuer"]), (&json!("unix-peer+token"), &json!("cluster")));
    assert_eq!((&source["subject"], source["gid"].is_u64()), (&json!(SUBJECT), true));
    // A token that is shown where none is demanded counts too, and is not overlooked when it is bad.
    let plain = || Connect::unix(sidecar.socket("agent"));
    let _ = signed(pay(plain().token_file(house.good_token()), "b").await.map(tonic::Response::new));
    assert_eq!(recorded(&house.purse, "/asked/caller/source")["kind"], "unix-peer+token");
    assert_eq!(refused(plain().token_file(house.token("bad", "x")), "c").await, token_refused);
    // What a call says about itself must be true.
    assert!(pay(plain().caller("crawler"), "d").await.is_ok());
    assert_eq!(refused(plain().caller("seller"), "e").await, mismatch);
}

/// Also where only operators reload the bundle, as in every purse of ours.
#[tokio::test]
async fn keys_of_an_issuer_are_exchanged_without_a_restart() {
    let house = House::build("{ serves: agents, tcp: \"127.0.0.1:PORT\", token: true }");
    let sidecar = house.purse.serve();
    let way = || Connect::loopback(&house.address).token_file(house.purse.file("token"));
    let _ = house.good_token();
    let _ = signed(pay(way(), "a").await.map(tonic::Response::new));
    assert_eq!(recorded(&house.purse, "/asked/caller/source")["kind"], "token");
    assert_eq!(
        refused(Connect::loopback(&house.address), "b").await,
        (Code::Unauthenticated, "TOKEN_MISSING".to_owned())
    );
    let next = Issuer::new(ISS);
    house.put("jwks.json", "half of a JW");
    eventually("half a file is refused", &sidecar, async |_| {
        reloads(&house.purse, "jwks").last().is_some_and(|last| last == "refused")
    })
    .await;
    house.put("jwks.json", &next.jwks());
    let _ = house.token("token", &next.token(SUBJECT, "pursekeeper"));
    eventually("the new keys are in force", &sidecar, async |at| {
        pay(way(), &format!("new-{at}")).await.is_ok()
    })
    .await;
    let _ = house.good_token();
    assert_eq!(refused(way(), "c").await, (Code::Unauthenticated, "TOKEN_REFUSED".to_owned()));
    assert_eq!(reloads(&house.purse, "jwks"), ["refused", "applied"]);
}

/// Tries until it is so.
async fn eventually(what: &str, sidecar: &Sidecar, mut so: impl AsyncFnMut(usize) -> bool) {
    let begun = Instant::now();
    let mut at = 0;
    while !so(at).await {
        assert!(begun.elapsed() < PATIENCE, "gave up waiting until {what}: {}", sidecar.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
        at += 1;
    }
}

const TLS: &str = "{ serves: agents, tcp: \"127.0.0.1:PORT\", tls: { certificate: tls.crt, key: tls.key } }";

#[tokio::test]
async fn over_tls_a_certificate_says_who_it_is() {
    let house = House::build(TLS);
    let metrics = health_port(&house.purse);
    let sidecar = house.purse.serve();
    let svid = house.svid();
    let _ = signed(pay(house.tls(&svid), "a").await.map(tonic::Response::new));
    let source = recorded(&house.purse, "/asked/caller/source");
    assert_eq!(source, json!({ "kind": "certificate", "spiffe": SPIFFE }));
    let _ = signed(pay(house.tls(&svid).token_file(house.good_token()), "b").await.map(tonic::Response::new));
    assert_eq!(recorded(&house.purse, "/asked/caller/source")["kind"], "certificate+token");

    let dir = house.dir();
    let nobody = house.authority.svid(&dir, "nobody", "spiffe://prod.example/nobody");
    assert_eq!(
        refused(house.tls(&nobody), "c").await,
        (Code::PermissionDenied, "IDENTITY_UNMAPPED".to_owned())
    );
    assert_eq!(
        refused(house.tls(&nobody).token_file(house.good_token()), "c").await,
        (Code::PermissionDenied, "IDENTITY_MISMATCH".to_owned())
    );
    let foreign = Authority::new().svid(&dir, "foreign", SPIFFE);
    let elsewhere = house.authority.svid(&dir, "elsewhere", "spiffe://dev.example/crawler");
    let server = house.authority.server(&dir, "server");
    for shown in [&foreign, &elsewhere, &server] {
        // In TLS 1.3 a client may learn that it is refused only when it has begun to speak.
        assert!(pay(house.tls(shown), "d").await.is_err(), "{shown:?}");
    }
    // Without TLS there is nobody to talk to, and without a certificate neither.
    assert!(pay(Connect::loopback(&house.address), "e").await.is_err());
    let wrong_key = Certified { certificate: svid.certificate.clone(), key: foreign.key };
    assert!(matches!(house.tls(&wrong_key).open().await, Err(ConnectError::Unreachable { .. })));
    let absent = Certified { certificate: dir.join("absent"), key: svid.key };
    assert!(matches!(house.tls(&absent).open().await, Err(ConnectError::File { .. })));
    let strangers = "pursekeeper_connections_refused_total{listener=\"agents\",reason=\"stranger\"} ";
    let scraped = probe(metrics, "/metrics", "").unwrap().body;
    let refused = scraped.lines().find_map(|line| line.strip_prefix(strangers)).unwrap_or("0");
    assert!(refused.parse::<u64>().unwrap() >= 4, "three strangers and one without TLS: {scraped}");
    assert!(sidecar.log().contains("a connection was refused"), "{}", sidecar.log());
}

#[tokio::test]
async fn certificates_and_authorities_are_exchanged_without_a_restart() {
    let house = House::build(TLS);
    let sidecar = house.purse.serve();
    let old = house.svid();
    let mut open = Signer::new(house.tls(&old).open().await.unwrap());
    assert!(open.sign_payment(request("a", "1000")).await.is_ok());

    let next = Authority::new();
    let dir = house.dir();
    let fresh = next.svid(&dir, "fresh", SPIFFE);
    house.put("bundle.pem", "-----BEGIN half");
    house.put("bundle.pem", &next.pem());
    let asks = async |at: usize| pay(house.tls(&fresh), &format!("new-{at}")).await.is_ok();
    eventually("the new authority is trusted", &sidecar, asks).await;
    // What was trusted when it was made is not trusted for ever.
    let stale = open.sign_payment(request("b", "1000")).await.unwrap_err();
    assert_eq!(said(&stale), (Code::Unauthenticated, "CERTIFICATE_REFUSED".to_owned()));
    assert!(pay(house.tls(&old), "c").await.is_err());

    // The listener's own certificate: a client that trusts only the next authority gets through once it is exchanged.
    let server = next.server(&dir, "next");
    house.put("server-ca.pem", &next.pem());
    assert!(pay(house.tls(&fresh), "d").await.is_err());
    fs::copy(server.certificate, house.purse.file("tls.crt")).unwrap();
    fs::copy(server.key, house.purse.file("tls.key")).unwrap();
    let asks = async |at: usize| pay(house.tls(&fresh), &format!("server-{at}")).await.is_ok();
    eventually("the new certificate is shown", &sidecar, asks).await;
    let recorded = reloads(&house.purse, "tls");
    assert!(recorded.iter().filter(|result| *result == "applied").count() >= 2, "{recorded:?}");
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_ended() {
    let house = House::build(TLS);
    house.purse.replace("pursekeeper.yaml", "limits:\n", "limits:\n  handshake_ms_max: 200\n");
    let sidecar = house.purse.serve();
    let mut silent = TcpStream::connect(&house.address).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(silent.read(&mut [0; 1]).unwrap_or(0), 0, "{}", sidecar.log());
}

#[tokio::test]
async fn a_listener_for_some_workflows_serves_no_other() {
    let house = House::build(
        "{ serves: agents, path: run/narrow.sock, mode: \"0660\", group: GID, workflows: [audits] }"
            .replace("GID", &gid().to_string())
            .as_str(),
    );
    let sidecar = house.purse.serve();
    let group = fs::metadata(sidecar.socket("narrow")).unwrap().gid();
    assert_eq!(group, gid());
    let way = || Connect::unix(sidecar.socket("narrow"));
    // The agent's only workflow is another one.
    let named =
        v1::SignPaymentRequest { workflow: Some("market-research".to_owned()), ..request("a", "1000") };
    let mut signer = Signer::new(way().open().await.unwrap());
    assert_eq!(denied(signer.sign_payment(named).await).code, "WORKFLOW_NOT_ON_LISTENER");
    assert_eq!(recorded(&house.purse, "/asked/caller/workflows"), json!(["audits"]));
    assert_eq!(recorded(&house.purse, "/denial/code"), "WORKFLOW_NOT_ON_LISTENER");
    // What was signed elsewhere is not handed out here, nor anything told of it.
    let first = signed(sidecar.signer().await.sign_payment(request("b", "1000")).await);
    assert_eq!(denied(signer.sign_payment(request("b", "1000")).await).code, "WORKFLOW_NOT_ON_LISTENER");
    let report = v1::ReportOutcomeRequest { decision_id: first.decision_id, ..Default::default() };
    assert!(signer.report_outcome(report).await.is_err());
    assert!(sidecar.log().contains("does not declare"), "{}", sidecar.log());
}

#[tokio::test]
async fn one_listener_names_the_workflow_for_an_agent_of_several() {
    let house =
        House::build("{ serves: agents, path: run/one.sock, mode: \"0660\", workflows: [market-research] }");
    let (from, to) = (
        "    workflows: [market-research]\n    labels",
        "    workflows: [market-research, spare]\n    labels",
    );
    house.purse.replace("policies/registry.yaml", from, to);
    let spare = "\nworkflows:\n  spare: { owner: research, services: [] }\n";
    house.purse.replace("policies/registry.yaml", "\nworkflows:\n", spare);
    let sidecar = house.purse.serve();
    let plain = sidecar.signer().await.sign_payment(request("a", "1000")).await;
    assert_eq!(denied(plain).code, "WORKFLOW_REQUIRED");
    let way = Connect::unix(sidecar.socket("one"));
    let _ = signed(pay(way, "b").await.map(tonic::Response::new));
}

/// A group that this process may give its sockets to.
fn gid() -> u32 {
    if rustix::process::geteuid().is_root() { 2000 } else { rustix::process::getegid().as_raw() }
}

#[tokio::test]
async fn operators_govern_over_tls_and_agents_do_not() {
    let house = House::build(&TLS.replace("agents", "operators"));
    let alice = "spiffe://prod.example/alice";
    let own = format!("alice: {{ uids: [{}]", rustix::process::geteuid().as_raw());
    house.purse.replace("policies/registry.yaml", &own, &format!("{own}, spiffe: [\"{alice}\"]"));
    let sidecar = house.purse.serve();
    let dir = house.dir();
    let way = house.tls(&house.authority.svid(&dir, "alice", alice));
    let mut governance = pursekeeper_api::Governance::new(way.open().await.unwrap());
    assert!(governance.status(v1::StatusRequest {}).await.is_ok(), "{}", sidecar.log());
    let way = house.tls(&house.svid());
    let channel = way.open().await.unwrap();
    let asked = pursekeeper_api::Governance::new(channel.clone()).status(v1::StatusRequest {}).await;
    assert_eq!(said(&asked.unwrap_err()), (Code::PermissionDenied, "IDENTITY_UNMAPPED".to_owned()));
    let asked = Signer::new(channel).sign_payment(request("a", "1000")).await;
    assert_eq!(asked.unwrap_err().code(), Code::Unimplemented);
}

#[test]
fn a_configuration_that_could_not_prove_anybody_does_not_start() {
    let table = [
        ("bundle.pem", "no PEM", "bundle.pem"),
        ("jwks.json", "{\"keys\": []}", "jwks.json"),
        ("tls.key", "no key", "tls.crt"),
    ];
    for (file, text, said) in table {
        let house = House::build(TLS);
        assert!(house.purse.exits(0, &["check"]).contains("valid"));
        house.put(file, text);
        let checked = house.purse.exits(1, &["check"]);
        assert!(checked.contains(said), "{checked}");
        let started = house.purse.exits(1, &["serve"]);
        assert!(started.contains(said), "{started}");
    }
    let house = House::build(TLS);
    house.purse.replace("pursekeeper.yaml", "name: cluster", "name: another");
    house.purse.replace("pursekeeper.yaml", "prod.example", "dev.example");
    let checked = house.purse.exits(0, &["check"]);
    for said in ["`identity.tokens` names no `cluster`", "`identity.spiffe` trusts no `prod.example`"] {
        assert!(checked.contains(said), "{checked}");
    }
}
