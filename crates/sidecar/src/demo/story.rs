//! The steps of the demo, each with the outcome it must have.

use anyhow::Context as _;
use pursekeeper_api::v1::lifecycle_response::Result as Act;
use pursekeeper_api::v1::sign_payment_response::Result as Answer;
use pursekeeper_api::{Audit, Governance, v1};
use pursekeeper_core::DenyCode;
use pursekeeper_journal::Reader;
use reqwest::StatusCode;

use super::agent::{Agent, Wish};
use super::house::{House, WALLET};
use super::seller::{ARCHIVE, LONDON, PARIS, PREMIUM};
use super::teller::{Ending, OK, Step, Teller};
use crate::output::Output;
use crate::record;

/// The agent of the demo's registry.
const CRAWLER: &str = "crawler";
/// The operator of the demo's registry.
const ALICE: &str = "alice";

/// Everyone who takes part.
pub(super) struct Stage<'a> {
    pub(super) agent: Agent,
    pub(super) governance: Governance,
    pub(super) audit: Audit,
    pub(super) house: &'a House,
    pub(super) origin: &'a str,
    pub(super) output: Output,
}

impl Stage<'_> {
    /// Plays every step. True when each came out as it must.
    pub(super) async fn play(mut self) -> anyhow::Result<bool> {
        let mut teller = Teller::new(self.output);
        teller.introduce(
            "An agent that buys, and a sidecar that holds the key",
            &[
                (CRAWLER, "an agent of the workflow market-research; it has no key".to_owned()),
                (ALICE, "an operator of the team treasury".to_owned()),
                (
                    "wallet",
                    format!("{WALLET} {}, at most $0.05 a payment and $1 a day", self.house.wallet_address),
                ),
                ("seller", format!("{}, pages behind an x402 paywall", self.origin)),
            ],
        )?;
        self.bought(&mut teller).await?;
        let refusals = [
            (PREMIUM, "$0.01, a page its workflow has no business with", DenyCode::EndpointOutOfScope),
            (PARIS, "$0.01, where the seller suddenly names another payee", DenyCode::PayeeUnaccepted),
            (ARCHIVE, "$0.25, five times what one payment may be", DenyCode::CeilingExceeded),
        ];
        for (path, why, code) in refusals {
            self.refused(&mut teller, path, why, code).await?;
        }
        self.suspended(&mut teller).await?;
        self.refused(&mut teller, LONDON, "$0.01, as in step 1", DenyCode::NotActive).await?;
        self.audited(&mut teller).await?;
        teller.end()?;
        Ok(teller.all_as_expected())
    }

    /// A payment that is in order, and the same one asked for twice.
    async fn bought(&mut self, teller: &mut Teller) -> anyhow::Result<()> {
        let step = Step { who: CRAWLER, what: format!("buys {LONDON} for $0.01"), expected: OK };
        let wish = self.agent.wish(&format!("{}{LONDON}", self.origin)).await?;
        let ending = match self.agent.ask(&wish, "london-1").await? {
            Answer::Denied(denied) => refusal(denied),
            Answer::Signed(signed) => self.used(&wish, signed).await?,
        };
        Ok(teller.tell(&step, &ending)?)
    }

    /// Sends a signed payment, then pretends that the answer was lost.
    async fn used(&mut self, wish: &Wish, signed: v1::Signed) -> anyhow::Result<Ending> {
        let delivery = self.agent.pay(wish, &signed).await?;
        let again = match self.agent.ask(wish, "london-1").await? {
            Answer::Signed(again) => Some(again),
            Answer::Denied(_) => None,
        };
        let replay = self.agent.pay(wish, &signed).await?;
        let policies = self.agent.decision(&signed.decision_id).await?.policies;
        let mut ending = Ending {
            code: OK.to_owned(),
            policies,
            decision_id: signed.decision_id.clone(),
            ..Ending::default()
        };
        ending.see(
            delivery.status == StatusCode::OK,
            format!(
                "the seller checks the signature and answers {}: {}",
                delivery.status.as_u16(),
                delivery.body
            ),
        );
        ending.see(
            again.is_some_and(|again| again.payload == signed.payload),
            format!(
                "asked again with the same request id: the same {} bytes, no second payment",
                signed.payload.len()
            ),
        );
        ending.see(
            replay.status == StatusCode::PAYMENT_REQUIRED,
            format!("sent twice, the seller takes it once: {}", replay.status.as_u16()),
        );
        Ok(ending)
    }

    /// A payment that must not be made.
    async fn refused(
        &mut self,
        teller: &mut Teller,
        path: &str,
        why: &str,
        code: DenyCode,
    ) -> anyhow::Result<()> {
        let step = Step { who: CRAWLER, what: format!("wants {path} for {why}"), expected: code.as_str() };
        let wish = self.agent.wish(&format!("{}{path}", self.origin)).await?;
        let request_id = format!("{}-{}", path.trim_matches('/').replace('/', "-"), code.as_str());
        let ending = match self.agent.ask(&wish, &request_id).await? {
            Answer::Denied(denied) => refusal(denied),
            Answer::Signed(signed) => {
                Ending { code: OK.to_owned(), decision_id: signed.decision_id, ..Ending::default() }
            }
        };
        Ok(teller.tell(&step, &ending)?)
    }

    /// An operator stops the wallet.
    async fn suspended(&mut self, teller: &mut Teller) -> anyhow::Result<()> {
        let reason = "the crawler asks for strange things";
        let what = format!("suspends wallet {WALLET}: \"{reason}\"");
        let step = Step { who: ALICE, what, expected: OK };
        let subject = v1::Subject { kind: "wallet".to_owned(), name: WALLET.to_owned() };
        let request = v1::LifecycleRequest { subject: Some(subject), reason: reason.to_owned() };
        let response = self.governance.suspend(request).await?.into_inner();
        let ending = match response.result.context("the sidecar gave an empty answer")? {
            Act::Denied(denied) => refusal(denied),
            Act::Done(v1::LifecycleDone { decision_id, status, durable, .. }) => {
                let mut ending = Ending { code: OK.to_owned(), decision_id, ..Ending::default() };
                ending.see(
                    durable && status == "suspended",
                    format!("the wallet is {status}: from now on none of its signatures leaves"),
                );
                ending
            }
        };
        Ok(teller.tell(&step, &ending)?)
    }

    /// Everything that happened, from the journal, and the proof that nobody changed it.
    async fn audited(&mut self, teller: &mut Teller) -> anyhow::Result<()> {
        teller.line(&format!("\n{}", self.output.paint(crate::output::Tone::Strong, "The audit trail")))?;
        let request = v1::WatchRequest { from_seq: 1, until_now: true, ..Default::default() };
        let mut stream = self.audit.watch(request).await?.into_inner();
        let mut seen: u64 = 0;
        while let Some(v1::WatchResponse { decision, .. }) = stream.message().await? {
            let decision = decision.context("the sidecar gave an empty record")?;
            seen = seen.saturating_add(1);
            teller.line(&format!("  {}", record::line(&decision, self.output)))?;
        }
        let path = self.house.config.journal.clone();
        let verify = move || Reader::open(&path).map(|reader| reader.verify(|_, _| {}));
        match tokio::task::spawn_blocking(verify).await?? {
            Ok(verified) => {
                let unseen = format!("the journal has {} records, the stream had {seen}", verified.records);
                let problem = (verified.records != seen).then_some(unseen.as_str());
                teller.verified(verified.records, &verified.last_chain.to_string(), problem)?;
            }
            Err(error) => teller.verified(seen, "", Some(&error.to_string()))?,
        }
        Ok(())
    }
}

impl Ending {
    /// Something that must have been seen.
    fn see(&mut self, seen: bool, what: String) {
        if seen { self.notes.push(what) } else { self.missing.push(format!("not so: {what}")) }
    }
}

fn refusal(denied: v1::Denied) -> Ending {
    let v1::Denied { code, message, policies, decision_id, offers: _ } = denied;
    // The message repeats the reasons and then says what to do.
    let advice = message.rsplit(": ").next().map(|advice| format!("to do: {advice}"));
    Ending { code, policies, decision_id, notes: advice.into_iter().collect(), missing: Vec::new() }
}
