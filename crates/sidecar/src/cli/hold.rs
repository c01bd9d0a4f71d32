use clap::{Args, Subcommand, ValueEnum};
use pursekeeper_api::{Governance, v1};

use super::{ConfigArg, Exit, as_json, block_on, client, moment};
use crate::output::{Output, Tone};

#[derive(Debug, Subcommand)]
pub(super) enum HoldCommand {
    /// List signatures and what became of their money, with what agents claim.
    #[command(
        after_help = "Examples:\n  pursekeeper hold list --state held\n  pursekeeper hold list --output json | jq '.[].usd'"
    )]
    List(ListArgs),
    /// Free the money of a signature that is dead and was not settled. You answer for that: look at the chain first.
    Release(ReleaseArgs),
    /// Void a payment that was signed and not settled yet: print the transaction that does, for anybody to send.
    Cancel(CancelArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only those in this state.
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Only those signed after this record.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: u64,
    /// At most this many.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    /// May have been or may still be settled.
    Held,
    /// Was settled.
    Settled,
    /// Can never be settled.
    Released,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  pursekeeper hold release 01c5f0…-42 --reason \"not on chain, checked in block 123\""
)]
pub(super) struct ReleaseArgs {
    /// The decision that signed, as `hold list` shows it.
    decision: String,
    /// Why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The transaction goes to the token and needs gas from any account, not from the wallet. Whoever is first wins: the payment
or its cancellation. Once `chains` sees the cancellation, the money is free.

Examples:
  pursekeeper hold cancel 01c5f0…-42 --reason \"wrong order\"
  pursekeeper hold cancel 01c5f0…-42 --reason \"wrong order\" --output json | jq -r .calldata")]
pub(super) struct CancelArgs {
    /// The decision that signed, as `hold list` shows it.
    decision: String,
    /// Why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(command: HoldCommand, output: Output) -> anyhow::Result<Exit> {
    match command {
        HoldCommand::List(args) => list(&args, output),
        HoldCommand::Release(args) => release(args, output),
        HoldCommand::Cancel(args) => cancel(args, output),
    }
}

fn list(args: &ListArgs, output: Output) -> anyhow::Result<Exit> {
    let state = match args.state {
        None => "",
        Some(State::Held) => "held",
        Some(State::Settled) => "settled",
        Some(State::Released) => "released",
    };
    let request = v1::ListHoldsRequest { state: state.to_owned(), after_seq: args.after, limit: args.limit };
    let holds = block_on(async {
        let mut governance = Governance::new(client::operators(&args.config.config).await?);
        Ok(client::answer(governance.list_holds(request).await)?.holds)
    })?;
    if output.is_json() {
        output.json(&holds.iter().map(as_json::hold).collect())?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = holds.iter().map(|hold| row(hold, output)).collect();
    output
        .table(&["DECISION", "STATE", "USD", "SETTLED", "HELD UNTIL", "AGENT", "PAYEE", "CLAIMED"], &rows)?;
    Ok(Exit::Done)
}

fn row(hold: &v1::Hold, output: Output) -> Vec<String> {
    let v1::Hold { decision_id, state, usd, settled_usd, held_until, agent, payee, claims, .. } = hold;
    let claimed: Vec<String> = claims
        .iter()
        .map(|v1::Claim { outcome, detail }| format!("{outcome} {detail}").trim_end().to_owned())
        .collect();
    let settled = if settled_usd.is_empty() { String::new() } else { format!("${settled_usd}") };
    vec![
        decision_id.clone(),
        state.clone(),
        format!("${usd}"),
        settled,
        moment::of_secs(*held_until),
        agent.clone(),
        payee.clone(),
        output.paint(Tone::Faint, &claimed.join("; ")),
    ]
}

fn release(args: ReleaseArgs, output: Output) -> anyhow::Result<Exit> {
    let ReleaseArgs { decision, reason, config } = args;
    let request = v1::ReleaseRequest { decision_id: decision.clone(), reason };
    let response = block_on(async {
        let mut governance = Governance::new(client::operators(&config.config).await?);
        client::answer(governance.release(request).await)
    })?;
    client::show_act(response, &format!("the money of {decision} is free"), output)
}

fn cancel(args: CancelArgs, output: Output) -> anyhow::Result<Exit> {
    use v1::cancel_payment_response::Result as Outcome;
    let CancelArgs { decision: decision_id, reason, config } = args;
    let answer = block_on(async {
        let mut governance = Governance::new(client::operators(&config.config).await?);
        client::answer(governance.cancel_payment(v1::CancelPaymentRequest { decision_id, reason }).await)
    })?;
    let cancellation = match answer.result {
        Some(Outcome::Cancellation(cancellation)) => cancellation,
        Some(Outcome::Denied(denied)) => {
            client::show_refusal(&denied, output)?;
            return Ok(Exit::Denied);
        }
        None => anyhow::bail!("the sidecar gave an empty answer"),
    };
    if output.is_json() {
        output.json(&as_json::cancellation(&cancellation))?;
        return Ok(Exit::Done);
    }
    let v1::Cancellation { decision_id, network, asset, calldata, .. } = cancellation;
    let calldata = format!("0x{}", hex::encode(calldata));
    output
        .line(&format!("send this on {network} from any account that has gas (decision {decision_id}):"))?;
    output.line(&format!("  to    {asset}"))?;
    output.line(&format!("  data  {calldata}"))?;
    output
        .line(&output.paint(Tone::Faint, "the money stays bound until the chain shows that it was first"))?;
    Ok(Exit::Done)
}
