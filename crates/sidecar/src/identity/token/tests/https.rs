//! Keys that are fetched and tokens that are confirmed, by a server of our own over real HTTPS.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::mint::{ISSUER, NOW, mint};
use super::*;

/// Longest wait for what happens in another task.
const PATIENCE: Duration = Duration::from_secs(30);

/// An API server: what it answers to a path, and what it was asked.
struct Server {
    answers: Mutex<Vec<(&'static str, u16, String)>>,
    asked: Mutex<Vec<String>>,
    address: String,
    dir: tempfile::TempDir,
}

impl Server {
    async fn start() -> Arc<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let own = own.signed_by(&key, &authority).unwrap();
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![own.der().clone()], private).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.crt"), authority.pem()).unwrap();
        std::fs::write(dir.path().join("own.token"), "the sidecar's own\n").unwrap();
        let server = Arc::new(Self { answers: Mutex::default(), asked: Mutex::default(), address, dir });
        let serving = server.clone();
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(config));
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (serving, acceptor) = (serving.clone(), acceptor.clone());
                tokio::spawn(async move {
                    // Who does not trust us goes away.
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let request = read(&mut stream).await;
                    let answer = serving.answer(&request);
                    serving.asked.lock().unwrap().push(request);
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        server
    }

    fn answer(&self, request: &str) -> String {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let answers = self.answers.lock().unwrap();
        let found = answers.iter().rev().find(|(known, _, _)| *known == path);
        let (status, body) = found.map_or((404, ""), |(_, status, body)| (*status, body.as_str()));
        format!(
            "HTTP/1.1 {status} Said\r\nlocation: {}/keys\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        )
    }

    fn put(&self, path: &'static str, status: u16, body: &Value) {
        self.answers.lock().unwrap().push((path, status, body.to_string()));
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// An issuer with the keys of this server, or those of `keys`, changed.
    fn issuers(&self, keys: &str, change: impl FnOnce(&mut IssuerConfig)) -> Issuers {
        let text = format!("{{ name: cluster, issuer: \"{ISSUER}\", audiences: [pursekeeper], {keys} }}");
        let mut config: IssuerConfig = serde_yaml::from_str(&text).unwrap();
        change(&mut config);
        Issuers::open(&[config], LIMITS).unwrap()
    }

    /// An issuer whose tokens this server confirms.
    fn reviewed(&self, cache_secs: u64) -> Issuers {
        std::fs::write(self.file("jwks"), json!({ "keys": mint().keys() }).to_string()).unwrap();
        let (url, bearer, ca) = (&self.address, self.file("own.token"), self.file("ca.crt"));
        let review = format!(
            "review: {{ url: \"{url}/\", bearer_file: \"{}\", ca: \"{}\", cache_secs: {cache_secs} }}",
            bearer.display(),
            ca.display()
        );
        let jwks = self.file("jwks");
        self.issuers(&format!("jwks: \"{}\", {review}", jwks.display()), |_| {})
    }
}

async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lengths = head.lines().filter_map(|line| {
                line.to_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok()
            });
            if body.len() >= lengths.next_back().unwrap_or(0) {
                return text;
            }
        }
        let mut more = [0; 4096];
        match stream.read(&mut more).await {
            Ok(0) | Err(_) => return text,
            Ok(read) => bytes.extend_from_slice(&more[..read]),
        }
    }
}

fn authorization() -> String {
    format!("Bearer {}", mint().token("ES256", "p256").sign())
}

async fn prove(issuers: &Issuers) -> Result<String, TokenError> {
    issuers.prove(&authorization(), UnixSeconds(NOW)).await.map(|subject| subject.subject().to_owned())
}

/// Waits until something is so.
async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !so().await {
        assert!(begun.elapsed() < PATIENCE, "gave up waiting until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn keys_are_fetched_over_https_again_and_again() {
    let server = Server::start().await;
    let url = format!("jwks_url: \"{}/keys\", refresh_secs: 1", server.address);
    let issuers = server.issuers(&url, |config| {
        config.ca = Some(server.file("ca.crt"));
        config.bearer_file = Some(server.file("own.token"));
    });
    assert_eq!(prove(&issuers).await, Err(TokenError::NoKeys("cluster".to_owned())));
    let mut running = JoinSet::new();
    issuers.fetch(&mut running);
    until("it asks", async || !server.asked().is_empty()).await;
    assert!(
        server.asked()[0].contains("authorization: Bearer the sidecar's own\r\n"),
        "{:?}",
        server.asked()
    );
    assert!(prove(&issuers).await.is_err());
    server.put("/keys", 200, &json!({ "keys": mint().keys() }));
    until("the keys are there", async || prove(&issuers).await.is_ok()).await;
    // A bad answer takes nothing away.
    for (status, body) in [(500, json!({})), (200, json!({ "keys": [] })), (200, json!("x"))] {
        let before = server.asked().len();
        server.put("/keys", status, &body);
        until("it asks again", async || server.asked().len() > before + 1).await;
        assert!(prove(&issuers).await.is_ok());
    }
    server.put("/keys", 200, &json!({ "keys": [mint().key_of_other()] }));
    until("the old keys are gone", async || prove(&issuers).await.is_err()).await;
    running.abort_all();
}

#[tokio::test]
async fn nobody_else_is_asked_for_keys() {
    let server = Server::start().await;
    server.put("/keys", 200, &json!({ "keys": mint().keys() }));
    server.put("/moved", 302, &json!({}));
    let url = |path: &str| format!("jwks_url: \"{}{path}\", refresh_secs: 1", server.address);
    let trusted = |config: &mut IssuerConfig| config.ca = Some(server.file("ca.crt"));
    let moved = server.issuers(&url("/moved"), trusted);
    let strange = server.issuers(&url("/keys"), |_| {});
    let mut running = JoinSet::new();
    [&moved, &strange].into_iter().for_each(|issuers| issuers.fetch(&mut running));
    let was_asked = |path: &str| server.asked().iter().filter(|asked| asked.contains(path)).count();
    until("it is told to go elsewhere", async || was_asked("GET /moved ") > 1).await;
    assert_eq!(was_asked("GET /keys "), 0, "no redirect is followed, and no strange certificate trusted");
    assert!(prove(&moved).await.is_err() && prove(&strange).await.is_err());
    running.abort_all();
    let empty = server.file("empty");
    std::fs::write(&empty, "").unwrap();
    let text =
        format!("{{ name: a, issuer: x, audiences: [p], {}, ca: \"{}\" }}", url("/keys"), empty.display());
    assert!(Issuers::open(&[serde_yaml::from_str(&text).unwrap()], LIMITS).is_err(), "no authority at all");
}

#[tokio::test]
async fn a_token_is_confirmed_by_the_api_server() {
    const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
    let server = Server::start().await;
    let subject = "system:serviceaccount:agents:crawler";
    let status =
        json!({ "authenticated": true, "audiences": ["pursekeeper"], "user": { "username": subject } });
    let yes = json!({ "kind": "TokenReview", "status": status });
    let no = json!({ "kind": "TokenReview", "status": { "authenticated": false, "error": "pod is gone" } });
    let issuers = server.reviewed(30);
    let unavailable = |result: Result<String, TokenError>| result.is_err_and(|error| error.is_unavailable());
    assert!(unavailable(prove(&issuers).await), "404 is no answer");
    server.put(REVIEWS, 201, &json!("x"));
    assert!(unavailable(prove(&issuers).await), "nor is this");
    server.put(REVIEWS, 201, &no);
    assert_eq!(prove(&issuers).await, Err(TokenError::Unconfirmed("pod is gone".to_owned())));
    server.put(REVIEWS, 201, &yes);
    assert_eq!(prove(&issuers).await.as_deref(), Ok(subject));
    let question = server.asked().last().unwrap().clone();
    assert!(question.contains("authorization: Bearer the sidecar's own\r\n"), "{question}");
    let body: Value = serde_json::from_str(question.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body["spec"]["audiences"], json!(["pursekeeper"]));
    assert!(authorization().split('.').count() == 3 && body["spec"]["token"].is_string());

    // A yes is relied on for a while, about the same token alone; a no never.
    let token = authorization();
    let at = async |now: u64| issuers.prove(&token, UnixSeconds(now)).await.is_ok();
    assert!(at(NOW).await);
    server.put(REVIEWS, 201, &no);
    assert!(at(NOW + 29).await && !at(NOW + 30).await);
    assert!(prove(&issuers).await.is_err(), "another token");
    server.put(REVIEWS, 201, &yes);
    let never = server.reviewed(0);
    let before = server.asked().len();
    assert!(
        never.prove(&token, UnixSeconds(NOW)).await.is_ok()
            && never.prove(&token, UnixSeconds(NOW)).await.is_ok()
    );
    assert_eq!(server.asked().len(), before + 2, "it is asked every time");
}
