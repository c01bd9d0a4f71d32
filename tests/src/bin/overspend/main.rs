//! Tries to make Pursekeeper overspend, by crashing and confusing it. Run by `tests/overspend/run`.

mod clock;
mod crash;
mod faults;
mod full;
mod kills;
mod moments;
mod pool;
mod report;
mod scenarios;
mod script;
mod strace;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use pursekeeper_tests::overspend::Extent;

use crate::report::Row;
use crate::scenarios::{ALL, Scenario};

/// Tries to make Pursekeeper overspend, by crashing and confusing it.
#[derive(Debug, Parser)]
#[command(name = "overspend")]
struct Cli {
    /// Run a part of it, chosen by the seed, in a few minutes.
    #[arg(long)]
    sample: bool,
    /// What the sample is chosen by.
    #[arg(long, default_value_t = 0, requires = "sample")]
    seed: u64,
    /// Run one scenario.
    #[arg(long, value_parser = ALL.map(|scenario| scenario.name))]
    only: Option<String>,
    /// How to print: for people or for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let extent = if cli.sample { Extent::Sample { seed: cli.seed } } else { Extent::Everything };
    let wanted = |scenario: &&Scenario| cli.only.as_ref().is_none_or(|only| only == scenario.name);
    let rows: Vec<Row> = ALL.iter().filter(wanted).map(|scenario| attempt(scenario, extent)).collect();
    match cli.output {
        Format::Text => print!("{}", report::table(&rows)),
        Format::Json => println!("{}", report::json(&rows, extent)),
    }
    if rows.iter().all(|row| row.tally.passed()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn attempt(scenario: &Scenario, extent: Extent) -> Row {
    let bar = progress(scenario.name);
    let begun = Instant::now();
    let tally = pool::caught(|| (scenario.run)(extent, &bar));
    bar.finish_and_clear();
    let row = Row { name: scenario.name, tally, took: begun.elapsed() };
    eprintln!("{}", report::line(&row));
    row
}

fn progress(name: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg:<20} {pos:>5}/{len} {elapsed_precise}").unwrap();
    let bar = ProgressBar::new(1).with_style(style).with_message(name);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
