//! What a review meeting asks.

mod in_json;
mod markdown;
mod sections;

use clap::{Args, ValueEnum};
use pursekeeper_api::{Governance, v1};

use super::{ConfigArg, Exit, block_on, client, moment};
use crate::output::{Output, Tone};
use sections::{Cell, Section};

/// Reports who owns which wallet, who spent what, what nobody uses, and what is left of what ended.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pursekeeper report
  pursekeeper report --unused-days 90 --format markdown > review.md
  pursekeeper report --output json | jq -r '.wallets[] | select(.unused).name'")]
pub(super) struct ReportArgs {
    /// A wallet that signed nothing for this many days is unused.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    unused_days: u32,
    /// How to print: for people, for a document, or for programs as `--output json` does.
    #[arg(long, value_enum)]
    format: Option<Form>,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Tables on a terminal.
    Text,
    /// A document for a review meeting.
    Markdown,
    /// For programs.
    Json,
}

impl Form {
    /// What was asked for; `--format` is the more exact word.
    fn of(format: Option<Self>, output: Output) -> Self {
        format.unwrap_or(if output.is_json() { Self::Json } else { Self::Text })
    }
}

pub(super) fn run(args: &ReportArgs, output: Output) -> anyhow::Result<Exit> {
    let request = v1::ReportRequest { unused_days: args.unused_days };
    let report = block_on(async {
        let mut governance = Governance::new(client::operators(&args.config.config).await?);
        client::answer(governance.report(request).await)
    })?;
    match Form::of(args.format, output) {
        Form::Json => output.json(&in_json::report(&report))?,
        Form::Markdown => output.line(&markdown::document(&report))?,
        Form::Text => show(&report, output)?,
    }
    Ok(Exit::Done)
}

fn show(report: &v1::ReportResponse, output: Output) -> anyhow::Result<()> {
    let v1::ReportResponse { time_unix_ms, bundle_digest, .. } = report;
    output.line(&format!("report of {}, bundle {bundle_digest}", moment::of_millis(*time_unix_ms)))?;
    for Section { title, note, heading, rows, empty } in sections::of(report) {
        output.line(&format!("\n{}", output.paint(Tone::Strong, title)))?;
        if rows.is_empty() {
            output.line(&output.paint(Tone::Faint, empty))?;
            continue;
        }
        if let Some(note) = note {
            output.line(&output.paint(Tone::Faint, &note))?;
        }
        let heading: Vec<String> = heading.iter().map(|title| title.to_uppercase()).collect();
        let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
        let rows: Vec<Vec<String>> =
            rows.into_iter().map(|row| row.into_iter().map(Cell::plain).collect()).collect();
        output.table(&heading, &rows)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    #[test]
    fn the_more_exact_word_wins() {
        let (text, json) = (Output::new(Format::Text), Output::new(Format::Json));
        assert_eq!(Form::of(None, text), Form::Text);
        assert_eq!(Form::of(None, json), Form::Json);
        assert_eq!(Form::of(Some(Form::Json), text), Form::Json);
        assert_eq!(Form::of(Some(Form::Markdown), json), Form::Markdown);
    }
}
