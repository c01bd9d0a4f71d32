//! An agent and an operator that tell what they were answered, whatever it is.

use pursekeeper_api::v1::lifecycle_response::Result as Acted;
use pursekeeper_api::v1::sign_payment_request::Challenge;
use pursekeeper_api::v1::sign_payment_response::Result as Answer;
use pursekeeper_api::{Governance, Signer, v1};
use tokio::runtime::{Builder, Runtime};
use tonic::{Code, Status};

use super::Witness;
use crate::{Offer, Sidecar, URL, challenge_v2, request};

/// What a client was answered.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A payment. The witness has it.
    Signed,
    /// No, and the code of the denial.
    Denied(String),
    /// Something else was done: a preview, an act.
    Done,
    /// No answer: the sidecar is gone, or cannot answer now.
    Failed(Status),
}

/// One connection to each socket, for one request after the other.
#[derive(Debug)]
pub struct Client {
    runtime: Runtime,
    signer: Signer,
    governance: Governance,
}

impl Outcome {
    /// Whether it is the denial `code`.
    #[must_use]
    pub fn is_denied(&self, code: &str) -> bool {
        matches!(self, Self::Denied(denied) if denied == code)
    }

    /// Whether it is a payment.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        matches!(self, Self::Signed)
    }

    /// Whether there was no answer.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// Whether the sidecar said that it cannot answer now, or was gone.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Failed(status) if matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled))
    }
}

/// Asks for a payment, and lets the witness see what comes back.
pub async fn pay(signer: &mut Signer, witness: &Witness, id: &str, amount: &str) -> Outcome {
    match signer.sign_payment(ask(id, amount)).await.map(|answered| answered.into_inner().result) {
        Ok(Some(Answer::Signed(signed))) => {
            witness.take(id, amount, &signed);
            Outcome::Signed
        }
        Ok(Some(Answer::Denied(denied))) => Outcome::Denied(denied.code),
        Ok(None) => panic!("an answer that says nothing"),
        Err(status) => Outcome::Failed(status),
    }
}

/// A request for a payment that may be asked for again during the longest scenario.
fn ask(id: &str, amount: &str) -> v1::SignPaymentRequest {
    let offer = Offer { timeout_secs: 300, ..Offer::of(amount) };
    let challenge = Challenge::PaymentRequired(challenge_v2(Some(URL), &[offer]));
    v1::SignPaymentRequest { challenge: Some(challenge), ..request(id, amount) }
}

impl Client {
    /// Connects to both sockets.
    ///
    /// # Panics
    /// When the sidecar does not listen.
    #[must_use]
    pub fn connect(sidecar: &Sidecar) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (signer, governance) =
            runtime.block_on(async { (sidecar.signer().await, sidecar.governance().await) });
        Self { runtime, signer, governance }
    }

    /// Asks for a payment.
    pub fn pay(&mut self, witness: &Witness, id: &str, amount: u128) -> Outcome {
        self.runtime.block_on(pay(&mut self.signer, witness, id, &amount.to_string()))
    }

    /// Asks what would be answered.
    pub fn preview(&mut self, id: &str, amount: u128) -> Outcome {
        match self.runtime.block_on(self.signer.preview(ask(id, &amount.to_string()))) {
            Ok(_) => Outcome::Done,
            Err(status) => Outcome::Failed(status),
        }
    }

    /// Suspends or resumes the wallet, as the operator. The act may turn out not to be durable.
    pub fn act(&mut self, suspend: bool) -> Outcome {
        let subject = Some(v1::Subject { kind: "wallet".to_owned(), name: "research-hot".to_owned() });
        let request = v1::LifecycleRequest { subject, reason: "drill".to_owned() };
        let answered = self.runtime.block_on(async {
            match suspend {
                true => self.governance.suspend(request).await,
                false => self.governance.resume(request).await,
            }
        });
        match answered.map(|answered| answered.into_inner().result) {
            Ok(Some(Acted::Done(_))) => Outcome::Done,
            Ok(Some(Acted::Denied(denied))) => Outcome::Denied(denied.code),
            Ok(None) => panic!("an answer that says nothing"),
            Err(status) => Outcome::Failed(status),
        }
    }
}
