use anyhow::Context as _;
use clap::Args;
use pursekeeper_api::v1::sign_in_request::Challenge;
use pursekeeper_api::v1::sign_in_response::Result as Answer;
use pursekeeper_api::{Signer, v1};
use reqwest::StatusCode;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Map, json};

use super::call::{self, CallArgs};
use super::{ConfigArg, Exit, block_on, client, moment};
use crate::http::Call;
use crate::output::Output;

#[derive(Debug, Args)]
#[command(after_help = "\
The body goes to standard output exactly as received, everything else to standard error. A sign-in is for one call; at
services that take prepaid credit each one is spent.

Examples:
  pursekeeper sign-in https://api.example.com/me
  pursekeeper sign-in https://api.venice.ai/api/v1/chat/completions --venice -d '{\"model\":\"…\"}'
  pursekeeper sign-in https://api.example.com/me --output json")]
pub(super) struct SignInArgs {
    #[command(flatten)]
    call: CallArgs,
    /// Sign in as Venice wants it, which sends no challenge first.
    #[arg(long)]
    venice: bool,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(args: SignInArgs, output: Output) -> anyhow::Result<Exit> {
    match args.call.read() {
        Ok(call) => block_on(fetch(args, call, output)),
        Err(error) => {
            output.error(&error);
            Ok(Exit::Usage)
        }
    }
}

async fn fetch(args: SignInArgs, mut call: Call, output: Output) -> anyhow::Result<Exit> {
    let client = call.client()?;
    let challenge = if args.venice {
        Challenge::Venice(v1::VeniceSignIn {})
    } else {
        let stranger = call.send(&client, None).await?;
        if !matches!(stranger.status(), StatusCode::PAYMENT_REQUIRED | StatusCode::UNAUTHORIZED) {
            return call::deliver(stranger, Map::new(), output).await;
        }
        let header = stranger.headers().get("payment-required");
        let header = header
            .context("the server does not ask for a Sign-In-With-X: it sent no PAYMENT-REQUIRED header")?;
        Challenge::PaymentRequired(header.as_bytes().to_vec())
    };
    let request = v1::SignInRequest {
        request_id: args.call.request_id("sign-in")?,
        challenge: Some(challenge),
        endpoint: Some(call.endpoint()),
        workflow: args.call.workflow,
        wallet: args.call.wallet,
        labels: std::collections::HashMap::new(),
    };
    let mut signer = Signer::new(client::agents(&args.config.config).await?);
    let signed = match client::answer(signer.sign_in(request).await)?.result {
        Some(Answer::SignedIn(signed)) => signed,
        Some(Answer::Denied(denied)) => {
            client::show_refusal(&denied, output)?;
            return Ok(Exit::Denied);
        }
        None => anyhow::bail!("the sidecar gave an empty answer"),
    };
    for v1::Header { name, value } in &signed.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).context("the sign-in's header")?;
        call.headers.insert(name, HeaderValue::from_str(value).context("the sign-in's header")?);
    }
    let response = call.send(&client, None).await?;
    let v1::SignedIn { decision_id, wallet_address, expires_at, message, .. } = signed;
    if response.status().is_success() {
        eprintln!(
            "signed in as {wallet_address}\n  decision {decision_id}, until {}",
            moment::of_secs(expires_at)
        );
    } else {
        call::say_refused(&response);
    }
    let signed_in = json!({
        "wallet_address": wallet_address, "decision_id": decision_id, "expires_at": expires_at, "message": message,
    });
    call::deliver(response, Map::from_iter([("signed_in".to_owned(), signed_in)]), output).await
}
