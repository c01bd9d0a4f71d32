//! Agents that ask for everything an agent may ask for, as fast as they are answered, whatever becomes of the sidecar.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pursekeeper_api::v1::report_outcome_request::Outcome;
use pursekeeper_api::v1::sign_in_request::Challenge as SignInChallenge;
use pursekeeper_api::v1::sign_in_response::Result as SignedIn;
use pursekeeper_api::v1::sign_payment_request::Challenge;
use pursekeeper_api::v1::sign_payment_response::Result as Answer;
use pursekeeper_api::{Signer, v1};
use pursekeeper_tests::{Offer, URL, challenge_v2, request};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tonic::Status;

/// More than one payment may be: it is denied.
const TOO_MUCH: &str = "60000";
/// Before a client tries again that was not answered.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a client waits for an answer before it asks again.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Payment,
    SignIn,
    Denied,
    Retry,
    Report,
    Preview,
}

/// What agents ask for: one after the other, over and over.
pub(crate) const MIXED: &[Ask] = &[
    Ask::Payment,
    Ask::SignIn,
    Ask::Payment,
    Ask::Report,
    Ask::Payment,
    Ask::Denied,
    Ask::Payment,
    Ask::Retry,
    Ask::Payment,
    Ask::Payment,
];

/// What clients were answered, all together.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Signatures, outcomes taken, previews.
    pub(crate) done: AtomicU64,
    /// Refusals.
    pub(crate) denied: AtomicU64,
    /// Calls without an answer, by what was said instead.
    pub(crate) failed: Mutex<BTreeMap<String, u64>>,
}

impl Answers {
    /// Answers of whatever kind.
    pub(crate) fn count(&self) -> u64 {
        self.done.load(Ordering::Acquire) + self.denied.load(Ordering::Acquire)
    }

    /// Calls without an answer.
    pub(crate) fn failures(&self) -> BTreeMap<String, u64> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take(&self, answered: Result<bool, Status>) -> bool {
        match answered {
            Ok(true) => drop(self.done.fetch_add(1, Ordering::AcqRel)),
            Ok(false) => drop(self.denied.fetch_add(1, Ordering::AcqRel)),
            Err(status) => {
                let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                *failed.entry(said(&status)).or_default() += 1;
                return false;
            }
        }
        true
    }
}

/// The reason in a fault's details, or its code.
fn said(status: &Status) -> String {
    use tonic_types::StatusExt as _;
    let reason = status.get_details_error_info().map(|details| details.reason);
    reason.unwrap_or_else(|| format!("{:?}", status.code()))
}

/// Clients at work.
pub(crate) struct Load {
    runtime: Runtime,
    clients: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    pub(crate) answers: Arc<Answers>,
}

impl Load {
    /// Lets `clients` loose on the agents' socket; ids begin with `name`.
    pub(crate) fn begin(socket: &Path, name: &str, clients: usize, asks: &'static [Ask]) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (stop, answers) = (Arc::<AtomicBool>::default(), Arc::<Answers>::default());
        let client = |at: usize| {
            let client = Client {
                socket: socket.to_owned(),
                name: format!("{name}-{at}"),
                asked: 0,
                permits: Vec::new(),
                answers: answers.clone(),
            };
            runtime.spawn(client.run(stop.clone(), asks))
        };
        let clients = (0..clients).map(client).collect();
        Self { runtime, clients, stop, answers }
    }

    /// Lets every client have its last answer.
    pub(crate) fn end(self) -> Arc<Answers> {
        let Self { runtime, clients, stop, answers } = self;
        stop.store(true, Ordering::Release);
        runtime.block_on(async {
            for client in clients {
                client.await.unwrap();
            }
        });
        answers
    }
}

/// One of them.
struct Client {
    socket: PathBuf,
    name: String,
    asked: u64,
    /// What was signed last: the request, and the decision.
    permits: Vec<(String, String)>,
    answers: Arc<Answers>,
}

impl Client {
    async fn run(mut self, stop: Arc<AtomicBool>, asks: &'static [Ask]) {
        let mut signer = None;
        for ask in asks.iter().cycle() {
            if stop.load(Ordering::Acquire) {
                return;
            }
            let Some(connected) = signer.as_mut() else {
                signer = pursekeeper_api::connect(&self.socket).await.ok().map(Signer::new);
                if signer.is_none() {
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            };
            let answered = tokio::time::timeout(PATIENCE, self.ask(connected, *ask)).await;
            let answered = answered.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")));
            if !self.answers.take(answered) {
                signer = None;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Whether it was done, or denied.
    async fn ask(&mut self, signer: &mut Signer, ask: Ask) -> Result<bool, Status> {
        self.asked += 1;
        let id = format!("{}-{}", self.name, self.asked);
        match (ask, self.permits.last().cloned()) {
            (Ask::SignIn, _) => self.sign_in(signer, &id).await,
            (Ask::Denied, _) => self.pay(signer, &id, TOO_MUCH).await,
            (Ask::Retry, Some((before, _))) => self.pay(signer, &before, "1000").await,
            (Ask::Report, Some((_, decision_id))) => {
                let outcome = Some(Outcome::Error("503 of the seller".to_owned()));
                let report = v1::ReportOutcomeRequest { decision_id, outcome, ..Default::default() };
                signer.report_outcome(report).await.map(|_| true)
            }
            (Ask::Preview, _) => signer.preview(payment(&id, "1000")).await.map(|_| true),
            (Ask::Payment, _) | (Ask::Retry | Ask::Report, None) => self.pay(signer, &id, "1000").await,
        }
    }

    async fn pay(&mut self, signer: &mut Signer, id: &str, amount: &str) -> Result<bool, Status> {
        match signer.sign_payment(payment(id, amount)).await?.into_inner().result {
            Some(Answer::Signed(signed)) => {
                // Claims about one permit are limited.
                self.permits = vec![(id.to_owned(), signed.decision_id)];
                Ok(true)
            }
            Some(Answer::Denied(_)) => Ok(false),
            None => panic!("an answer that says nothing"),
        }
    }

    async fn sign_in(&mut self, signer: &mut Signer, id: &str) -> Result<bool, Status> {
        match signer.sign_in(sign_in(id)).await?.into_inner().result {
            Some(SignedIn::SignedIn(_)) => Ok(true),
            Some(SignedIn::Denied(_)) => Ok(false),
            None => panic!("an answer that says nothing"),
        }
    }
}

/// A payment that may be asked for again for a while.
pub(crate) fn payment(id: &str, amount: &str) -> v1::SignPaymentRequest {
    let offer = Offer { timeout_secs: 300, ..Offer::of(amount) };
    let challenge = Challenge::PaymentRequired(challenge_v2(Some(URL), &[offer]));
    v1::SignPaymentRequest { challenge: Some(challenge), ..request(id, amount) }
}

/// The same to somebody whom no operator has accepted.
pub(crate) fn payment_to(id: &str, payee: &str) -> v1::SignPaymentRequest {
    let offer = Offer { payee: payee.to_owned(), ..Offer::of("1000") };
    let challenge = Challenge::PaymentRequired(challenge_v2(Some(URL), &[offer]));
    v1::SignPaymentRequest { challenge: Some(challenge), ..request(id, "1000") }
}

fn sign_in(id: &str) -> v1::SignInRequest {
    let challenge = json!({
        "info": {
            "domain": "api.example.com", "uri": URL, "version": "1",
            "nonce": format!("nonce{}", id.replace('-', "x")),
            "issuedAt": jiff::Timestamp::now().to_string(), "statement": "Sign in to read",
        },
        "supportedChains": [{ "chainId": "eip155:84532", "type": "eip191" }],
    });
    v1::SignInRequest {
        request_id: id.to_owned(),
        challenge: Some(SignInChallenge::Extension(challenge.to_string())),
        endpoint: Some(v1::Endpoint { method: "GET".to_owned(), url: URL.to_owned() }),
        ..Default::default()
    }
}
