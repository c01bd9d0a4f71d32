use clap::{Args, Subcommand, ValueEnum};
use pursekeeper_api::{Governance, v1};
use serde_json::json;

use super::{ConfigArg, Exit, block_on, client};
use crate::output::{Output, Tone};

#[derive(Debug, Subcommand)]
pub(super) enum PayeeCommand {
    /// List the payees of services that leave them to operators (`first_use: pending`): who asked to pay them, and who
    /// accepted them.
    #[command(
        after_help = "Examples:\n  pursekeeper payee list --state pending\n  pursekeeper payee list --service weather --output json | jq '.[].payee'"
    )]
    List(ListArgs),
    /// Let a service pay an address that an agent asked to pay. You answer for that: compare it with what the seller
    /// publishes first.
    Accept(AcceptArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only those of this service.
    #[arg(long, value_name = "SERVICE", default_value = "", hide_default_value = true)]
    service: String,
    /// Only those in this state.
    #[arg(long, value_enum)]
    state: Option<State>,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    /// Refused until an operator accepts them.
    Pending,
    /// Accepted by an operator.
    Accepted,
    /// In the service's list by now.
    Listed,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  pursekeeper payee accept weather 0x6bE854D8F38Acab8844843C07447E4E0F528c054 --reason \"the address on their pricing page, read over TLS\""
)]
pub(super) struct AcceptArgs {
    /// The service, as `payee list` shows it.
    service: String,
    /// The address, as `payee list` shows it.
    address: String,
    /// Why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(command: PayeeCommand, output: Output) -> anyhow::Result<Exit> {
    match command {
        PayeeCommand::List(args) => list(args, output),
        PayeeCommand::Accept(args) => accept(args, output),
    }
}

fn list(args: ListArgs, output: Output) -> anyhow::Result<Exit> {
    let ListArgs { service, state, config } = args;
    let state = match state {
        None => "",
        Some(State::Pending) => "pending",
        Some(State::Accepted) => "accepted",
        Some(State::Listed) => "listed",
    };
    let request = v1::ListPayeesRequest { service, state: state.to_owned() };
    let v1::ListPayeesResponse { payees, more } = block_on(async {
        let mut governance = Governance::new(client::operators(&config.config).await?);
        client::answer(governance.list_payees(request).await)
    })?;
    if output.is_json() {
        output.json(&payees.iter().map(as_json).collect())?;
    } else {
        let rows: Vec<Vec<String>> = payees.iter().map(|payee| row(payee, output)).collect();
        let heading = ["SERVICE", "PAYEE", "STATE", "ASKED AT", "AGENT", "ASKED IN", "ACCEPTED BY"];
        output.table(&heading, &rows)?;
    }
    if more {
        eprintln!("there are more: name a --service or a --state");
    }
    Ok(Exit::Done)
}

fn row(payee: &v1::Payee, output: Output) -> Vec<String> {
    let v1::Payee { service, payee, state, refusal, acceptance } = payee;
    let v1::PayeeRefusal { decision_id, time_unix_ms, agent, .. } = refusal.clone().unwrap_or_default();
    let at = refusal.as_ref().and_then(|_| {
        let millis = i64::try_from(time_unix_ms).ok()?;
        jiff::Timestamp::from_millisecond(millis).ok()
    });
    let accepted = acceptance
        .as_ref()
        .map(|v1::PayeeAcceptance { operator, reason, .. }| format!("{operator}: {reason}"));
    vec![
        service.clone(),
        payee.clone(),
        state.clone(),
        at.map(|at| at.to_string()).unwrap_or_default(),
        agent,
        decision_id,
        output.paint(Tone::Faint, &accepted.unwrap_or_default()),
    ]
}

fn as_json(payee: &v1::Payee) -> serde_json::Value {
    let v1::Payee { service, payee, state, refusal, acceptance } = payee;
    let refusal = refusal.as_ref().map(|refusal| {
        let v1::PayeeRefusal { decision_id, time_unix_ms, agent, workflow, endpoint, network, usd } = refusal;
        let endpoint = endpoint.as_ref().map(|call| json!({ "method": call.method, "url": call.url }));
        json!({
            "decision_id": decision_id, "time_unix_ms": time_unix_ms, "agent": agent, "workflow": workflow,
            "endpoint": endpoint, "network": network, "usd": usd,
        })
    });
    let acceptance = acceptance.as_ref().map(|acceptance| {
        let v1::PayeeAcceptance { decision_id, time_unix_ms, operator, reason } = acceptance;
        json!({
            "decision_id": decision_id, "time_unix_ms": time_unix_ms, "operator": operator, "reason": reason,
        })
    });
    json!({ "service": service, "payee": payee, "state": state, "refusal": refusal, "acceptance": acceptance })
}

fn accept(args: AcceptArgs, output: Output) -> anyhow::Result<Exit> {
    let AcceptArgs { service, address, reason, config } = args;
    let done = format!("payee {address} is accepted for service {service}");
    let request = v1::AcceptPayeeRequest { service, payee: address, reason };
    let response = block_on(async {
        let mut governance = Governance::new(client::operators(&config.config).await?);
        client::answer(governance.accept_payee(request).await)
    })?;
    client::show_act(response, &done, output)
}
