use clap::Args;
use pursekeeper_api::v1;

use super::pages::{self, Pages};
use super::wanted::WantedArgs;
use crate::cli::{ConfigArg, Exit, moment};
use crate::output::{Output, Tone};
use crate::record::plain;

#[derive(Debug, Args)]
pub(in crate::cli) struct QueryArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    wanted: WantedArgs,
    /// The newest first.
    #[arg(long)]
    newest: bool,
    /// At most this many; all of them unless given.
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
}

pub(super) async fn run(args: QueryArgs, output: Output) -> anyhow::Result<Exit> {
    let QueryArgs { config, wanted, newest, limit } = args;
    let mut pages = Pages::new(pages::connect(&config.config).await?, wanted.filter(), newest);
    let mut left = limit.unwrap_or(u64::MAX);
    let mut any = false;
    while let Some(decisions) = pages.next(left).await? {
        left = left.saturating_sub(decisions.len() as u64);
        if output.is_json() {
            for decision in &decisions {
                output.line(&String::from_utf8_lossy(&decision.canonical))?;
            }
        } else {
            // Each page has a heading of its own: a table over a million records could not be laid out.
            let heading =
                ["SEQ", "TIME", "KIND", "VERDICT", "AGENT", "WORKFLOW", "WALLET", "SERVICE", "USD", "WHAT"];
            let rows: Vec<Vec<String>> = decisions.iter().map(|decision| row(decision, output)).collect();
            output.table(&heading, &rows)?;
        }
        any = true;
    }
    if !any && !output.is_json() {
        eprintln!("no record fits");
    }
    pages.tell_what_left();
    Ok(Exit::Done)
}

fn row(decision: &v1::Decision, output: Output) -> Vec<String> {
    let verdict = match decision.verdict.as_str() {
        "permit" => output.paint(Tone::Good, "permit"),
        "deny" => output.paint(Tone::Bad, &decision.code),
        _ => String::new(),
    };
    let kind = match decision.repeats {
        0 => decision.kind.clone(),
        times => format!("{} ({times} times)", decision.kind),
    };
    let call = decision.endpoint.as_ref().map(|v1::Endpoint { method, url }| format!("{method} {url}"));
    let what = call.unwrap_or_else(|| decision.message.clone());
    let usd = if decision.usd.is_empty() { String::new() } else { format!("${}", decision.usd) };
    vec![
        decision.seq.to_string(),
        moment::of_millis(decision.time_unix_ms),
        kind,
        verdict,
        decision.agent.clone(),
        decision.workflow.clone(),
        decision.wallet.clone(),
        decision.service.clone(),
        usd,
        plain(&what),
    ]
}
