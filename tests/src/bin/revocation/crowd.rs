//! Clients that ask as fast as they can, and note when they asked and what came back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use pursekeeper_api::v1::sign_in_request::Challenge;
use pursekeeper_api::v1::sign_in_response::Result as SignedIn;
use pursekeeper_api::{Signer, v1};
use pursekeeper_tests::overspend::{Outcome, PRICE, Random, Scene, pay};
use pursekeeper_tests::{Sidecar, URL};
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Of so many asks, one is a sign-in.
const PER_SIGN_IN: usize = 8;
/// Of so many other asks, one is a retry.
const PER_RETRY: usize = 4;
/// What each client still asks after the stop was answered.
const ASKS_AFTER: usize = 4;

/// What one client asked, and what came back.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    pub(crate) outcome: Outcome,
}

/// What a crowd and the one who stops it tell each other.
#[derive(Debug, Default)]
struct Signals {
    signed: AtomicUsize,
    more: Notify,
    /// When the stop was answered.
    stopped: OnceLock<Instant>,
}

/// A crowd at work.
pub(crate) struct Crowd {
    signals: Arc<Signals>,
    clients: Vec<JoinHandle<Vec<Asked>>>,
}

impl Crowd {
    /// Connects `size` clients and lets them loose.
    pub(crate) async fn let_loose(
        (scene, sidecar): (&Arc<Scene>, &Sidecar),
        size: usize,
        random: &mut Random,
    ) -> Self {
        let signals = Arc::<Signals>::default();
        let mut ready = Vec::new();
        for client in 0..size {
            let signer = sidecar.signer().await;
            let random = Random::new(u64::try_from(random.below(usize::MAX)).unwrap());
            ready.push((client, signer, random));
        }
        let loose = |(client, signer, random)| {
            tokio::spawn(ask(client, signer, random, scene.clone(), signals.clone()))
        };
        Self { clients: ready.into_iter().map(loose).collect(), signals }
    }

    /// Returns once at least so many signatures have come back.
    pub(crate) async fn until_signed(&self, count: usize) {
        loop {
            let more = self.signals.more.notified();
            if self.signals.signed.load(Ordering::Relaxed) >= count {
                return;
            }
            more.await;
        }
    }

    /// Tells the crowd that everything is stopped since now.
    pub(crate) fn stopped(&self) -> Instant {
        *self.signals.stopped.get_or_init(Instant::now)
    }

    /// What the clients asked, once each has asked some more.
    pub(crate) async fn asked(self) -> Vec<Asked> {
        let mut all = Vec::new();
        for client in self.clients {
            all.extend(client.await.unwrap());
        }
        all
    }
}

async fn ask(
    client: usize,
    mut signer: Signer,
    mut random: Random,
    scene: Arc<Scene>,
    signals: Arc<Signals>,
) -> Vec<Asked> {
    let mut asked: Vec<Asked> = Vec::new();
    let mut after = 0;
    while after < ASKS_AFTER {
        let at = asked.len();
        let begun = Instant::now();
        after += usize::from(signals.stopped.get().is_some_and(|stopped| begun > *stopped));
        let outcome = if random.below(PER_SIGN_IN) == 0 {
            sign_in(&mut signer, &format!("s{client}-{at}")).await
        } else {
            // Sometimes one of this client's earlier requests.
            let retry = at > 0 && random.below(PER_RETRY) == 0;
            let id = format!("c{client}-{}", if retry { random.below(at) } else { at });
            pay(&mut signer, &scene.witness, &id, &PRICE.to_string()).await
        };
        if outcome.is_signed() {
            signals.signed.fetch_add(1, Ordering::Relaxed);
            signals.more.notify_waiters();
        }
        let failed = outcome.is_failed();
        asked.push(Asked { begun, ended: Instant::now(), outcome });
        if failed {
            break;
        }
    }
    asked
}

async fn sign_in(signer: &mut Signer, id: &str) -> Outcome {
    let challenge = json!({
        "info": {
            "domain": "api.example.com", "uri": URL, "version": "1",
            "nonce": format!("nonce{}", id.replace('-', "x")),
            "issuedAt": jiff::Timestamp::now().to_string(), "statement": "Sign in to read",
        },
        "supportedChains": [{ "chainId": "eip155:84532", "type": "eip191" }],
    });
    let request = v1::SignInRequest {
        request_id: id.to_owned(),
        challenge: Some(Challenge::Extension(challenge.to_string())),
        endpoint: Some(v1::Endpoint { method: "GET".to_owned(), url: URL.to_owned() }),
        ..Default::default()
    };
    match signer.sign_in(request).await.map(|answered| answered.into_inner().result) {
        Ok(Some(SignedIn::SignedIn(_))) => Outcome::Signed,
        Ok(Some(SignedIn::Denied(denied))) => Outcome::Denied(denied.code),
        Ok(None) => panic!("an answer that says nothing"),
        Err(status) => Outcome::Failed(status),
    }
}
