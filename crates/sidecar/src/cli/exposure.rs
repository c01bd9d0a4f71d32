//! Signatures that were handed out and can still be settled.

use clap::Args;
use pursekeeper_api::{Governance, v1};
use serde_json::json;

use super::subject::Noun;
use super::{ConfigArg, Exit, as_json, block_on, client, moment};
use crate::output::{Output, Tone};

/// Signatures asked for at once: as many as the sidecar gives.
const PAGE_LEN: u32 = 1000;

/// Shows what is outside: signatures that were handed out and can still be settled.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pursekeeper exposure
  pursekeeper exposure --workflow research
  pursekeeper exposure --wallet treasury --output json | jq -r .total.usd")]
pub(super) struct ExposureArgs {
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct Of {
    /// Only what this wallet signed: its name, or an address it has or had.
    #[arg(long, value_name = "NAME")]
    wallet: Option<String>,
    /// Only what was signed for this workflow.
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Only what this agent asked for.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Only what was signed for this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
}

impl Of {
    fn subject(self) -> Option<v1::Subject> {
        let Self { wallet, workflow, agent, service } = self;
        let named = [
            (Noun::Wallet, wallet),
            (Noun::Workflow, workflow),
            (Noun::Agent, agent),
            (Noun::Service, service),
        ];
        named.into_iter().find_map(|(noun, name)| Some(noun.named(name?)))
    }
}

/// What is outside.
struct Outside {
    total: v1::ExposureTotal,
    signatures: Vec<v1::ExposedSignature>,
}

pub(super) fn run(args: ExposureArgs, output: Output) -> anyhow::Result<Exit> {
    let ExposureArgs { of, config } = args;
    show(of.subject(), &config, output)
}

/// Shows what is outside of one subject, or of all.
pub(super) fn show(subject: Option<v1::Subject>, config: &ConfigArg, output: Output) -> anyhow::Result<Exit> {
    let Outside { total, signatures } = block_on(async {
        let mut governance = Governance::new(client::operators(&config.config).await?);
        fetch(&mut governance, subject).await
    })?;
    if output.is_json() {
        let signatures: Vec<_> = signatures.iter().map(as_json::exposed).collect();
        output.json(&json!({ "total": as_json::exposure(&total), "signatures": signatures }))?;
        return Ok(Exit::Done);
    }
    if !signatures.is_empty() {
        let rows: Vec<Vec<String>> = signatures.iter().map(|signature| row(signature, output)).collect();
        let heading =
            ["DECISION", "USD", "AMOUNT", "ASSET", "WALLET", "PAYEE", "ENDPOINT", "UNTIL", "CANCELLATION"];
        output.table(&heading, &rows)?;
        output.line("")?;
    }
    output.line(&sentence(&total))?;
    Ok(Exit::Done)
}

/// The total alone.
pub(super) async fn total(
    governance: &mut Governance,
    subject: v1::Subject,
) -> anyhow::Result<v1::ExposureTotal> {
    let request = v1::ExposureRequest { subject: Some(subject), after_seq: 0, limit: 1 };
    Ok(client::answer(governance.exposure(request).await)?.total.unwrap_or_default())
}

async fn fetch(governance: &mut Governance, subject: Option<v1::Subject>) -> anyhow::Result<Outside> {
    let (mut total, mut signatures) = (None, Vec::new());
    let mut after_seq = 0;
    loop {
        let request = v1::ExposureRequest { subject: subject.clone(), after_seq, limit: PAGE_LEN };
        let page = client::answer(governance.exposure(request).await)?;
        total = total.or(page.total);
        let Some(next) = after(after_seq, &page.signatures) else {
            return Ok(Outside { total: total.unwrap_or_default(), signatures });
        };
        signatures.extend(page.signatures);
        after_seq = next;
    }
}

/// After which record the next page begins; nothing when there is none.
fn after(before: u64, page: &[v1::ExposedSignature]) -> Option<u64> {
    let last = page.iter().filter_map(|signature| Some(signature.hold.as_ref()?.seq)).max()?;
    // A page that does not lead further would be asked for without end.
    Some(last).filter(|last| *last > before)
}

fn row(signature: &v1::ExposedSignature, output: Output) -> Vec<String> {
    let v1::ExposedSignature { hold, cancellation } = signature;
    let v1::Hold { decision_id, wallet, endpoint, network, asset, payee, amount, usd, held_until, .. } =
        hold.clone().unwrap_or_default();
    let v1::Endpoint { method, url } = endpoint.unwrap_or_default();
    let tone = match cancellation.as_str() {
        "not-cancellable" => Tone::Bad,
        "signed" => Tone::Good,
        _ => Tone::Faint,
    };
    vec![
        decision_id,
        format!("${usd}"),
        amount,
        format!("{asset} on {network}"),
        wallet,
        payee,
        format!("{method} {url}").trim().to_owned(),
        moment::of_secs(held_until),
        output.paint(tone, cancellation),
    ]
}

/// A total in words.
pub(super) fn sentence(total: &v1::ExposureTotal) -> String {
    let v1::ExposureTotal { signatures, usd, cancellable, until } = total;
    if *signatures == 0 {
        return "nothing that was signed can still be settled".to_owned();
    }
    let noun = if *signatures == 1 { "signature" } else { "signatures" };
    let voided = match (signatures, cancellable) {
        (1, 0) => "it cannot be voided".to_owned(),
        (1, _) => "it can be voided".to_owned(),
        (_, 0) => "none of them can be voided".to_owned(),
        (all, some) if all == some => "all of them can be voided".to_owned(),
        (_, some) => format!("{some} of them can be voided"),
    };
    format!(
        "{signatures} {noun} over ${usd} can still be settled until {}, {voided}",
        moment::of_secs(*until)
    )
}

/// A total in a cell of a table: nothing, or how many and how much.
pub(super) fn cell(total: Option<&v1::ExposureTotal>) -> String {
    match total {
        Some(v1::ExposureTotal { signatures, usd, .. }) if *signatures > 0 => format!("{signatures}, ${usd}"),
        Some(_) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_is_a_sentence() {
        let table = [
            (0, 0, "nothing that was signed can still be settled"),
            (
                1,
                0,
                "1 signature over $0.50 can still be settled until 2026-11-18T11:06:40Z, it cannot be voided",
            ),
            (
                1,
                1,
                "1 signature over $0.50 can still be settled until 2026-11-18T11:06:40Z, it can be voided",
            ),
            (
                2,
                0,
                "2 signatures over $0.50 can still be settled until 2026-11-18T11:06:40Z, none of them can be voided",
            ),
            (
                3,
                2,
                "3 signatures over $0.50 can still be settled until 2026-11-18T11:06:40Z, 2 of them can be voided",
            ),
            (
                3,
                3,
                "3 signatures over $0.50 can still be settled until 2026-11-18T11:06:40Z, all of them can be voided",
            ),
        ];
        for (signatures, cancellable, text) in table {
            let usd = "0.50".to_owned();
            assert_eq!(
                sentence(&v1::ExposureTotal { signatures, usd, cancellable, until: 1_795_000_000 }),
                text
            );
        }
    }

    fn signature(seq: u64) -> v1::ExposedSignature {
        let hold = v1::Hold { seq, ..v1::Hold::default() };
        v1::ExposedSignature { hold: Some(hold), cancellation: "cancellable".to_owned() }
    }

    #[test]
    fn pages_end_when_nothing_new_comes() {
        assert_eq!(after(0, &[]), None);
        assert_eq!(after(0, &[signature(3), signature(7)]), Some(7));
        assert_eq!(after(7, &[signature(3), signature(7)]), None, "a page that was had before");
        assert_eq!(after(7, &[v1::ExposedSignature::default()]), None);
    }

    #[test]
    fn at_most_one_subject_is_asked_for() {
        let of = |wallet: Option<&str>, agent: Option<&str>| {
            let owned = |name: Option<&str>| name.map(str::to_owned);
            Of { wallet: owned(wallet), workflow: None, agent: owned(agent), service: None }.subject()
        };
        assert_eq!(of(None, None), None);
        assert_eq!(of(Some("treasury"), None).unwrap().kind, "wallet");
        assert_eq!(of(None, Some("crawler")).unwrap(), Noun::Agent.named("crawler".to_owned()));
    }
}
