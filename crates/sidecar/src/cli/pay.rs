use anyhow::Context as _;
use clap::Args;
use pursekeeper_api::v1::report_outcome_request::Outcome;
use pursekeeper_api::v1::sign_payment_response::Result as Answer;
use pursekeeper_api::{Signer, v1};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use super::call::{self, CallArgs, printable};
use super::{ConfigArg, Exit, block_on, client, moment};
use crate::http::{self, Call};
use crate::output::{Output, Tone};

#[derive(Debug, Args)]
#[command(after_help = "\
The body goes to standard output exactly as received, everything else to standard error.
Redirects are not followed: ask for the new URL yourself, so that it is judged.

Examples:
  pursekeeper pay https://api.example.com/weather
  pursekeeper pay https://api.example.com/infer -d '{\"prompt\":\"hello\"}'
  pursekeeper pay https://api.example.com/weather --preview
  pursekeeper pay https://api.example.com/report --request-id report-2026-11-22 --output json")]
pub(super) struct PayArgs {
    #[command(flatten)]
    call: CallArgs,
    /// Ask what the answer would be; sign nothing and pay nothing.
    #[arg(long)]
    preview: bool,
    #[command(flatten)]
    config: ConfigArg,
}

/// A payment that was signed, and what the sidecar recorded about it.
struct Purchase {
    request_id: String,
    signed: v1::Signed,
    /// None when the sidecar could not be asked any more.
    decision: Option<v1::Decision>,
}

pub(super) fn run(args: PayArgs, output: Output) -> anyhow::Result<Exit> {
    match args.call.read() {
        Ok(call) => block_on(fetch(args, call, output)),
        Err(error) => {
            output.error(&error);
            Ok(Exit::Usage)
        }
    }
}

async fn fetch(args: PayArgs, call: Call, output: Output) -> anyhow::Result<Exit> {
    let client = call.client()?;
    let unpaid = call.send(&client, None).await?;
    if unpaid.status() != StatusCode::PAYMENT_REQUIRED {
        return deliver(unpaid, None, output).await;
    }
    let challenge = http::challenge(unpaid).await?;
    let request_id = args.call.request_id("pay")?;
    let mut signer = Signer::new(client::agents(&args.config.config).await?);
    let request = v1::SignPaymentRequest {
        request_id: request_id.clone(),
        challenge: Some(challenge),
        endpoint: Some(call.endpoint()),
        workflow: args.call.workflow,
        wallet: args.call.wallet,
        labels: std::collections::HashMap::new(),
        eip2612: None,
    };
    if args.preview {
        return preview(client::answer(signer.preview(request).await)?, output);
    }
    let signed = match client::answer(signer.sign_payment(request).await)?.result {
        Some(Answer::Signed(signed)) => signed,
        Some(Answer::Denied(denied)) => {
            client::show_refusal(&denied, output)?;
            return Ok(Exit::Denied);
        }
        None => anyhow::bail!("the sidecar gave an empty answer"),
    };
    let decision = v1::GetDecisionRequest { decision_id: signed.decision_id.clone() };
    // Only to say what was paid: the payment does not depend on it.
    let decision =
        signer.get_decision(decision).await.ok().and_then(|response| response.into_inner().decision);
    let purchase = Purchase { request_id, signed, decision };
    let paid = match call.send(&client, Some(&purchase.signed)).await {
        Ok(paid) => paid,
        Err(error) => {
            purchase.report(&mut signer, Outcome::Error(format!("{error:#}"))).await;
            return Err(error.context(purchase.advice()));
        }
    };
    purchase.report(&mut signer, outcome(&paid)).await;
    deliver(paid, Some(&purchase), output).await.with_context(|| purchase.advice())
}

/// Says whether it would be paid.
fn preview(answer: v1::PreviewResponse, output: Output) -> anyhow::Result<Exit> {
    use v1::preview_response::Result as Previewed;
    let v1::WouldSign { decision_id, wallet_address, offer_index, usd, warnings } = match answer.result {
        Some(Previewed::WouldSign(would)) => would,
        Some(Previewed::Denied(denied)) => {
            client::show_refusal(&denied, output)?;
            return Ok(Exit::Denied);
        }
        None => anyhow::bail!("the sidecar gave an empty answer"),
    };
    if output.is_json() {
        let would = json!({
            "decision_id": decision_id, "wallet_address": wallet_address, "offer_index": offer_index,
            "usd": usd, "warnings": warnings,
        });
        output.json(&json!({ "would_sign": would }))?;
        return Ok(Exit::Done);
    }
    output.line(&format!("would pay ${usd} from {wallet_address} (decision {decision_id})"))?;
    for warning in warnings {
        output.line(&format!("  {}", output.paint(Tone::Faint, &warning)))?;
    }
    Ok(Exit::Done)
}

/// What the seller's answer says about the payment.
fn outcome(response: &Response) -> Outcome {
    match http::settlement_header(response.headers()) {
        Some(header) => Outcome::PaymentResponse(header.as_bytes().to_vec()),
        None => Outcome::Error(format!("the seller answered {} without a settlement", response.status())),
    }
}

/// Hands over what the seller answered.
async fn deliver(response: Response, purchase: Option<&Purchase>, output: Output) -> anyhow::Result<Exit> {
    let settlement = http::settlement(response.headers());
    say(&response, purchase, settlement.as_ref());
    let beside = [
        ("paid", purchase.map(Purchase::as_json)),
        ("payment_response", settlement),
        ("decision_id", purchase.map(|purchase| purchase.signed.decision_id.as_str().into())),
    ];
    let beside = beside.into_iter().map(|(name, value)| (name.to_owned(), value.unwrap_or_default()));
    call::deliver(response, beside.collect(), output).await
}

/// Says on standard error what was paid, or why there is nothing to show for it.
fn say(response: &Response, purchase: Option<&Purchase>, settlement: Option<&Value>) {
    let status = response.status();
    if let Some(purchase) = purchase.filter(|_| status.is_success()) {
        eprintln!("{}", purchase.paid(settlement));
        return;
    }
    if status.is_success() {
        return;
    }
    call::say_refused(response);
    if let Some(purchase) = purchase {
        if let Some(reason) = http::refusal(response.headers()) {
            eprintln!("  it says: {}", printable(&reason));
        }
        eprintln!("  {}", purchase.advice());
    }
}

impl Purchase {
    /// Tells the sidecar what was seen. It is kept beside the payment; nothing depends on it.
    async fn report(&self, signer: &mut Signer, outcome: Outcome) {
        let decision_id = self.signed.decision_id.clone();
        let report = v1::ReportOutcomeRequest { decision_id, outcome: Some(outcome), remaining_usd: None };
        if let Err(status) = signer.report_outcome(report).await {
            eprintln!("the outcome was not recorded: {}", status.message());
        }
    }

    /// What is known about the money that was signed away.
    fn as_json(&self) -> Value {
        let v1::Signed { wallet_address, valid_before, .. } = &self.signed;
        let mut paid = json!({
            "request_id": self.request_id,
            "wallet_address": wallet_address,
            "valid_before": valid_before,
        });
        if let (Some(v1::Decision { wallet, network, asset, payee, amount, usd, .. }), Some(paid)) =
            (&self.decision, paid.as_object_mut())
        {
            let fields = [
                ("wallet", wallet),
                ("network", network),
                ("asset", asset),
                ("payee", payee),
                ("amount", amount),
                ("usd", usd),
            ];
            paid.extend(fields.map(|(name, value)| (name.to_owned(), Value::from(value.as_str()))));
        }
        paid
    }

    /// For a person: how much went from whom to whom.
    fn paid(&self, settlement: Option<&Value>) -> String {
        let v1::Signed { wallet_address, decision_id, warnings, .. } = &self.signed;
        let what = match &self.decision {
            Some(v1::Decision { usd, payee, wallet, .. }) => {
                format!("paid ${usd} from wallet {wallet} ({wallet_address}) to {payee}")
            }
            None => format!("paid from {wallet_address}"),
        };
        let transaction = settlement.and_then(|settlement| settlement.get("transaction")?.as_str());
        let transaction = transaction.filter(|transaction| !transaction.is_empty());
        let transaction =
            transaction.map(|text| format!(", transaction {}", printable(text))).unwrap_or_default();
        let near = warnings.iter().map(|warning| format!("\n  near a limit: {warning}")).collect::<String>();
        format!("{what}\n  decision {decision_id}{transaction}{near}")
    }

    /// What holds when a seller has the payment and did not deliver.
    fn advice(&self) -> String {
        let valid_before = self.signed.valid_before;
        let until = moment::of_secs(valid_before);
        format!(
            "the payment of decision {} is signed and can be taken until {until}; to try again, add `--request-id {}`: \
             it sends the same payment, never a second one",
            self.signed.decision_id, self.request_id
        )
    }
}
