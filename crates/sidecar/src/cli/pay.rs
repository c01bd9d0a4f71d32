use std::io::Write as _;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use pursekeeper_api::v1::report_outcome_request::Outcome;
use pursekeeper_api::v1::sign_payment_response::Result as Answer;
use pursekeeper_api::{Signer, v1};
use pursekeeper_core::Endpoint;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};
use serde_json::{Value, json};

use super::{ConfigArg, Exit, block_on, client};
use crate::http::{self, Call};
use crate::output::{Output, Tone};

/// Longest body that is printed as part of a JSON object, in bytes. Without `--output json` there is no limit.
const JSON_BODY_LEN_MAX: usize = 16 * 1024 * 1024;
/// Longest text of a seller that is shown, in characters.
const SHOWN_LEN_MAX: usize = 200;

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
    /// What to fetch.
    #[arg(value_parser = url)]
    url: Url,
    /// The HTTP method; GET, or POST with --data.
    #[arg(short = 'X', long, value_parser = method)]
    method: Option<Method>,
    /// A header to send; repeat it for more.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The body to send. Its content type is application/json if it is JSON, else application/octet-stream, unless a
    /// --header says otherwise.
    #[arg(short, long, value_name = "BODY", allow_hyphen_values = true)]
    data: Option<String>,
    /// The workflow that pays; needed only when the agent works for several.
    #[arg(long)]
    workflow: Option<String>,
    /// The wallet that pays; needed only when the workflow has several.
    #[arg(long)]
    wallet: Option<String>,
    /// Names this payment: the same id again sends the same payment again, never a second one. A new one each time
    /// unless given.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
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
    let call = args.call();
    // What the sidecar would refuse to judge is not asked for either: there is no way to pay for it.
    if let Err(error) = Endpoint::parse(call.method.as_str(), call.url.as_str()) {
        output.error(&error.into());
        return Ok(Exit::Usage);
    }
    block_on(fetch(args, call, output))
}

async fn fetch(args: PayArgs, call: Call, output: Output) -> anyhow::Result<Exit> {
    let client = call.client()?;
    let unpaid = call.send(&client, None).await?;
    if unpaid.status() != StatusCode::PAYMENT_REQUIRED {
        return deliver(unpaid, None, output).await;
    }
    let challenge = http::challenge(unpaid).await?;
    let request_id = args.request_id.map_or_else(fresh_id, Ok)?;
    let mut signer = Signer::new(client::agents(&args.config.config).await?);
    let request = v1::SignPaymentRequest {
        request_id: request_id.clone(),
        challenge: Some(challenge),
        endpoint: Some(call.endpoint()),
        workflow: args.workflow,
        wallet: args.wallet,
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
async fn deliver(
    mut response: Response,
    purchase: Option<&Purchase>,
    output: Output,
) -> anyhow::Result<Exit> {
    let status = response.status();
    let settlement = http::settlement(response.headers());
    say(&response, purchase, settlement.as_ref());
    if output.is_json() {
        let body = http::read(response, JSON_BODY_LEN_MAX).await?;
        output.json(&as_json(status, &body, purchase, settlement))?;
    } else {
        let mut stdout = std::io::stdout().lock();
        while let Some(chunk) = response.chunk().await.context("the answer broke off")? {
            stdout.write_all(&chunk)?;
        }
        stdout.flush()?;
    }
    Ok(if status.is_success() { Exit::Done } else { Exit::Failed })
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
    eprintln!("the seller answered {status}");
    if let Some(location) = response.headers().get(LOCATION).and_then(|location| location.to_str().ok()) {
        eprintln!("  it points to {}; ask for that yourself", printable(location));
    }
    if let Some(purchase) = purchase {
        if let Some(reason) = http::refusal(response.headers()) {
            eprintln!("  it says: {}", printable(&reason));
        }
        eprintln!("  {}", purchase.advice());
    }
}

fn as_json(status: StatusCode, body: &[u8], purchase: Option<&Purchase>, settlement: Option<Value>) -> Value {
    let mut answer = json!({
        "status": status.as_u16(),
        "paid": purchase.map(Purchase::as_json),
        "payment_response": settlement,
        "decision_id": purchase.map(|purchase| &purchase.signed.decision_id),
    });
    let (field, body) = match std::str::from_utf8(body) {
        Ok(text) => ("body", text.to_owned()),
        Err(_) => ("body_base64", STANDARD.encode(body)),
    };
    if let Some(fields) = answer.as_object_mut() {
        fields.insert(field.to_owned(), body.into());
    }
    answer
}

impl PayArgs {
    fn call(&self) -> Call {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        let body = self.data.as_ref().map(|data| data.clone().into_bytes());
        if let Some(body) = &body
            && !headers.contains_key(CONTENT_TYPE)
        {
            let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
            let content_type = if is_json { "application/json" } else { "application/octet-stream" };
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let default = if body.is_some() { Method::POST } else { Method::GET };
        let method = self.method.clone().unwrap_or(default);
        Call { method, url: self.url.clone(), headers, body }
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
        let until = i64::try_from(valid_before).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
        let until = until.map_or_else(|| valid_before.to_string(), |until| until.to_string());
        format!(
            "the payment of decision {} is signed and can be taken until {until}; to try again, add `--request-id {}`: \
             it sends the same payment, never a second one",
            self.signed.decision_id, self.request_id
        )
    }
}

/// An id nobody used before.
fn fresh_id() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    Ok(format!("pay-{}", hex::encode(bytes)))
}

/// A stranger's text without what could move the cursor or change colours.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN_LEN_MAX).collect()
}

fn url(text: &str) -> Result<Url, String> {
    Url::parse(text)
        .map_err(|error| format!("{error}: write a whole URL such as https://api.example.com/weather"))
}

fn method(text: &str) -> Result<Method, String> {
    text.to_ascii_uppercase().parse().map_err(|_| "not an HTTP method".to_owned())
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write `name: value`")?;
    let name = name.trim().parse().map_err(|_| format!("`{}` is not the name of a header", name.trim()))?;
    // The value may be a secret and is not repeated.
    let value =
        value.trim().parse().map_err(|_| format!("the value of `{name}` cannot stand in a header"))?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        pay: PayArgs,
    }

    fn parse(args: &[&str]) -> Result<PayArgs, clap::Error> {
        let words = ["pay"].iter().chain(args);
        Command::try_parse_from(words).map(|command| command.pay)
    }

    #[test]
    fn what_is_no_call_is_a_wrong_command_line() {
        for args in [
            &[][..],
            &["/weather"],
            &["api.example.com"],
            &["https://a.example", "-X", "G T"],
            &["https://a.example", "-H", "no colon"],
            &["https://a.example", "-H", "two words: x"],
            &["https://a.example", "-H", "a: line\nbreak"],
        ] {
            assert!(parse(args).is_err(), "{args:?}");
        }
        let insecure = parse(&["http://a.example"]).unwrap();
        let output = Output::new(crate::output::Format::Text);
        assert_eq!(run(insecure, output).unwrap(), Exit::Usage);
    }

    #[test]
    fn the_rest_follows_from_what_is_given() {
        let table: [(&[&str], &str, Option<&str>); 6] = [
            (&[], "GET", None),
            (&["-X", "delete"], "DELETE", None),
            (&["-d", r#"{"a":1}"#], "POST", Some("application/json")),
            (&["-d", "a=1"], "POST", Some("application/octet-stream")),
            (&["-d", "-1", "-X", "PUT"], "PUT", Some("application/json")),
            (&["-d", "a=1", "-H", "Content-Type: text/plain"], "POST", Some("text/plain")),
        ];
        for (args, method, content_type) in table {
            let call = parse(&[&["https://a.example/x"], args].concat()).unwrap().call();
            assert_eq!(call.method.as_str(), method);
            let sent = call.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap());
            assert_eq!((sent, call.body.is_some()), (content_type, content_type.is_some()), "{args:?}");
        }
    }

    #[test]
    fn an_id_is_drawn_anew_and_accepted_by_the_gate() {
        let (one, two) = (fresh_id().unwrap(), fresh_id().unwrap());
        assert_ne!(one, two);
        assert!(pursekeeper_core::RequestId::parse(&one).is_ok());
    }

    #[test]
    fn a_body_that_is_no_text_is_base64() {
        let of = |body: &[u8]| as_json(StatusCode::OK, body, None, None);
        assert_eq!((&of(b"a")["body"], &of(b"a")["paid"]), (&json!("a"), &Value::Null));
        assert_eq!((&of(b"\xff")["body_base64"], of(b"\xff").get("body")), (&json!("/w=="), None));
    }

    #[test]
    fn a_seller_cannot_steer_the_terminal() {
        assert_eq!(printable("a\x1b[31mb\r\nc"), "a[31mbc");
        assert_eq!(printable(&"x".repeat(1000)).len(), SHOWN_LEN_MAX);
    }
}
