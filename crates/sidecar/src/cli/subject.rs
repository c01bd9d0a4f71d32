//! Wallets, workflows, agents and services: the same verbs for each of them.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use pursekeeper_api::{Governance, v1};

use super::act::{self, Asked};
use super::confirm::{self, YesArg};
use super::outstanding::{self, OutstandingArgs};
use super::{ConfigArg, Exit, as_json, block_on, client, exposure};
use crate::output::{Output, Tone};

/// What an operator acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noun {
    Wallet,
    Workflow,
    Agent,
    Service,
}

impl Noun {
    pub(super) const ALL: [Self; 4] = [Self::Wallet, Self::Workflow, Self::Agent, Self::Service];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Wallet => "wallet",
            Self::Workflow => "workflow",
            Self::Agent => "agent",
            Self::Service => "service",
        }
    }

    /// The one of that name.
    pub(super) fn named(self, name: String) -> v1::Subject {
        v1::Subject { kind: self.as_str().to_owned(), name }
    }
}

/// What can be asked of workflows, agents and services.
#[derive(Debug, Subcommand)]
pub(super) enum SubjectCommand {
    /// List them: what is in force, what the registry declares, and what operators decided.
    #[command(after_help = "\
Examples:
  pursekeeper workflow list
  pursekeeper agent list --output json | jq -r '.[] | select(.status != \"active\").name'")]
    List(ConfigArg),
    #[command(flatten)]
    Verb(VerbCommand),
}

/// What can be asked of all four.
#[derive(Debug, Subcommand)]
pub(super) enum VerbCommand {
    /// Stop it now, without asking: when this returns, none of its signatures leave any more.
    #[command(after_help = "\
Examples:
  pursekeeper wallet suspend treasury --reason \"drill\"
  pursekeeper workflow suspend research --reason \"incident 17\"
  pursekeeper agent suspend crawler --reason \"loops\" --output json | jq .effective_micros")]
    Suspend(ActArgs),
    /// End a suspension, or a retirement that is not over.
    #[command(after_help = "\
Examples:
  pursekeeper wallet resume treasury --reason \"the drill is over\"
  pursekeeper workflow resume research --reason \"incident 17 is closed\"")]
    Resume(ActArgs),
    /// End it for ever, and void what it has signed as far as that can be. A wallet's key is destroyed.
    #[command(after_help = "\
This cannot be undone. What a message cannot void dies at its deadline: `exposure` shows it.

Examples:
  pursekeeper wallet revoke treasury --reason \"the key leaked\"
  pursekeeper agent revoke crawler --reason \"replaced\" --yes")]
    Revoke(EndArgs),
    /// Sign nothing new for it, and revoke it once nothing that it signed can be settled any more.
    #[command(after_help = "\
Until then `resume` takes it back.

Examples:
  pursekeeper workflow retire research --reason \"the project ended\"
  pursekeeper service retire weather --reason \"the contract ended\" --yes")]
    Retire(EndArgs),
    /// Sign what voids the payments it has signed, as far as that can be. It must be stopped or ending.
    #[command(after_help = "\
Each transaction goes to a token and needs gas from any account, not from the wallet. Whoever is first wins: the payment or
its cancellation. Once `chains` sees the cancellation, the money is free.

Examples:
  pursekeeper wallet cancel-outstanding treasury --reason \"the key leaked\" --out cancellations
  pursekeeper workflow cancel-outstanding research --reason \"ended\" --output json | jq -r '.cancellations[].calldata'")]
    CancelOutstanding(OutstandingArgs),
    /// Show what is outside: its signatures that can still be settled.
    #[command(after_help = "\
Examples:
  pursekeeper wallet exposure treasury
  pursekeeper service exposure weather --output json | jq -r .total.usd")]
    Exposure(NameArgs),
}

#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// Its name. A wallet may also be called by an address it has or had.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(super) name: String,
    #[command(flatten)]
    pub(super) config: ConfigArg,
}

#[derive(Debug, Args)]
pub(super) struct ActArgs {
    #[command(flatten)]
    pub(super) subject: NameArgs,
    /// Why, in words; recorded for ever.
    #[arg(long)]
    pub(super) reason: String,
}

#[derive(Debug, Args)]
pub(super) struct EndArgs {
    #[command(flatten)]
    pub(super) act: ActArgs,
    #[command(flatten)]
    pub(super) yes: YesArg,
}

/// A verb that changes a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Suspend,
    Resume,
    Revoke,
    Retire,
}

impl Verb {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Revoke => "revoke",
            Self::Retire => "retire",
        }
    }

    /// What it means beyond the exposure, for one that is confirmed.
    fn meaning(self, noun: Noun) -> Vec<&'static str> {
        match (self, noun) {
            (Self::Suspend | Self::Resume, _) => Vec::new(),
            (Self::Revoke, Noun::Wallet) => vec![
                "Its key is destroyed: what the wallet holds moves only with a backup of it.",
                "This cannot be undone.",
            ],
            (Self::Revoke, Noun::Workflow) => {
                vec!["Wallets that serve nothing else are suspended with it.", "This cannot be undone."]
            }
            (Self::Revoke, Noun::Agent | Noun::Service) => vec!["This cannot be undone."],
            (Self::Retire, Noun::Wallet) => vec![
                "It signs nothing new, and once nothing that it signed can be settled any more, it is revoked and its key \
                 destroyed. Until then `resume` takes it back.",
            ],
            (Self::Retire, Noun::Workflow | Noun::Agent | Noun::Service) => vec![
                "Nothing new is signed for it, and once nothing that was signed can be settled any more, it is revoked. \
                 Until then `resume` takes it back.",
            ],
        }
    }
}

pub(super) fn run(noun: Noun, command: SubjectCommand, output: Output) -> anyhow::Result<Exit> {
    match command {
        SubjectCommand::List(config) => list(noun, &config, output),
        SubjectCommand::Verb(command) => run_verb(noun, command, output),
    }
}

pub(super) fn run_verb(noun: Noun, command: VerbCommand, output: Output) -> anyhow::Result<Exit> {
    match command {
        VerbCommand::Suspend(args) => block_on(change(noun, Verb::Suspend, args, false, output)),
        VerbCommand::Resume(args) => block_on(change(noun, Verb::Resume, args, false, output)),
        VerbCommand::Revoke(args) => end(noun, Verb::Revoke, args, output),
        VerbCommand::Retire(args) => end(noun, Verb::Retire, args, output),
        VerbCommand::CancelOutstanding(args) => outstanding::run(noun, args, output),
        VerbCommand::Exposure(NameArgs { name, config }) => {
            exposure::show(Some(noun.named(name)), &config, output)
        }
    }
}

fn end(noun: Noun, verb: Verb, args: EndArgs, output: Output) -> anyhow::Result<Exit> {
    let EndArgs { act, yes } = args;
    let ask = yes.is_to_ask()?;
    block_on(change(noun, verb, act, ask, output))
}

async fn change(noun: Noun, verb: Verb, args: ActArgs, ask: bool, output: Output) -> anyhow::Result<Exit> {
    let ActArgs { subject: NameArgs { name, config }, reason } = args;
    let mut governance = Governance::new(client::operators(&config.config).await?);
    let subject = noun.named(name);
    if ask {
        let outside = exposure::total(&mut governance, subject.clone()).await;
        confirm::ask(&meaning(noun, verb, &subject.name, &outside), &subject.name)?;
    }
    let request = v1::LifecycleRequest { subject: Some(subject.clone()), reason };
    let answered = match verb {
        Verb::Suspend => governance.suspend(request).await,
        Verb::Resume => governance.resume(request).await,
        Verb::Revoke => governance.revoke(request).await,
        Verb::Retire => governance.retire(request).await,
    };
    let next = format!("pursekeeper {} cancel-outstanding {} --reason …", noun.as_str(), subject.name);
    let asked = Asked { subject: &subject, verb: verb.as_str(), done: "", next: Some(next) };
    act::show(client::answer(answered)?, &asked, output)
}

/// What an act means, in lines, for the person who is to confirm it.
fn meaning(noun: Noun, verb: Verb, name: &str, outside: &anyhow::Result<v1::ExposureTotal>) -> Vec<String> {
    let outside = match outside {
        Ok(total) => format!("Outside: {}.", exposure::sentence(total)),
        // An emergency does not wait for the books.
        Err(error) => format!("What is outside cannot be told: {error}."),
    };
    let first = format!("You are about to {} {} {name}.", verb.as_str(), noun.as_str());
    let rest = verb.meaning(noun).into_iter().map(str::to_owned);
    [first, outside].into_iter().chain(rest).collect()
}

fn list(noun: Noun, config: &ConfigArg, output: Output) -> anyhow::Result<Exit> {
    let status = block_on(async {
        let mut governance = Governance::new(client::operators(&config.config).await?);
        client::answer(governance.status(v1::StatusRequest {}).await)
    })?;
    let is_one = |status: &&v1::SubjectStatus| {
        status.subject.as_ref().is_some_and(|subject| subject.kind == noun.as_str())
    };
    let subjects = status.subjects.iter().filter(is_one);
    if output.is_json() {
        output.json(&subjects.map(as_json::subject_status).collect())?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = subjects.map(|status| row(status, output)).collect();
    let title = noun.as_str().to_uppercase();
    output.table(&[&title, "STATUS", "DECLARED", "OPERATORS"], &rows)?;
    Ok(Exit::Done)
}

fn row(status: &v1::SubjectStatus, output: Output) -> Vec<String> {
    let v1::SubjectStatus { subject, status, declared, journal, address: _ } = status;
    let name = subject.as_ref().map(|subject| subject.name.clone()).unwrap_or_default();
    vec![name, paint_status(status, output), declared.clone(), journal.clone()]
}

/// A status in the colour of its meaning.
pub(super) fn paint_status(status: &str, output: Output) -> String {
    let tone = match status {
        "active" => Tone::Good,
        "draining" | "pending" => Tone::Faint,
        _ => Tone::Bad,
    };
    output.paint(tone, status)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: SubjectCommand,
    }

    fn parse(args: &[&str]) -> Result<SubjectCommand, clap::Error> {
        Line::try_parse_from([&["agent"], args].concat()).map(|line| line.command)
    }

    #[test]
    fn every_act_needs_a_name_and_a_reason() {
        for verb in ["suspend", "resume", "revoke", "retire", "cancel-outstanding"] {
            assert!(parse(&[verb]).is_err(), "{verb}");
            assert!(parse(&[verb, "crawler"]).is_err(), "{verb}");
            assert!(parse(&[verb, "", "--reason", "drill"]).is_err(), "{verb}");
            assert!(parse(&[verb, "crawler", "--reason", "drill"]).is_ok(), "{verb}");
        }
        assert!(parse(&["exposure", "crawler", "--reason", "drill"]).is_err());
        assert!(parse(&["exposure", "crawler"]).is_ok() && parse(&["list"]).is_ok());
    }

    #[test]
    fn only_what_ends_something_asks() {
        for verb in ["suspend", "resume", "cancel-outstanding"] {
            assert!(parse(&[verb, "crawler", "--reason", "drill", "--yes"]).is_err(), "{verb}");
        }
        for verb in ["revoke", "retire"] {
            assert!(parse(&[verb, "crawler", "--reason", "drill", "--yes"]).is_ok(), "{verb}");
        }
    }

    #[test]
    fn whoever_confirms_is_told_what_it_means() {
        let outside = v1::ExposureTotal { signatures: 2, usd: "0.30".to_owned(), cancellable: 2, until: 0 };
        let said = meaning(Noun::Wallet, Verb::Revoke, "treasury", &Ok(outside)).join("\n");
        assert!(
            said.starts_with("You are about to revoke wallet treasury.\nOutside: 2 signatures over $0.30")
        );
        assert!(said.contains("key is destroyed") && said.contains("cannot be undone"), "{said}");
        let said =
            meaning(Noun::Agent, Verb::Revoke, "crawler", &Err(anyhow::anyhow!("no books"))).join("\n");
        assert!(said.contains("cannot be told: no books") && !said.contains("key"), "{said}");
        for noun in Noun::ALL {
            let said = meaning(noun, Verb::Retire, "x", &Ok(v1::ExposureTotal::default())).join("\n");
            assert!(said.contains("`resume` takes it back"), "{said}");
        }
    }
}
