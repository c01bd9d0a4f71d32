//! What the programs share that try to break the real binary: what they try, how it is run, and what is told of it.

pub mod pool;
pub mod steps;
pub mod strace;
pub mod told;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::builder::PossibleValuesParser;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::overspend::{Extent, Tally};

/// What a scenario found: a tally, and whatever else is worth telling.
pub trait Finding: From<Tally> {
    /// What was done, and what was wrong.
    fn tally(&self) -> &Tally;
}

/// Something that might break it.
#[derive(Clone, Copy, Debug)]
pub struct Scenario<F> {
    /// What it is called, in the table and after `--only`.
    pub name: &'static str,
    /// Tries it.
    pub run: fn(Extent, &ProgressBar) -> F,
}

/// A scenario that was tried.
#[derive(Clone, Debug)]
pub struct Row<F> {
    /// What it is called.
    pub name: &'static str,
    /// What came of it.
    pub finding: F,
    /// How long it took.
    pub took: Duration,
}

/// A program that tries scenarios.
#[derive(Clone, Copy, Debug)]
pub struct Harness<F: 'static> {
    /// What it is called.
    pub name: &'static str,
    /// What it tries.
    pub about: &'static str,
    /// In the order in which they are tried.
    pub scenarios: &'static [Scenario<F>],
    /// What came of them, for people.
    pub table: fn(&[Row<F>]) -> String,
    /// What came of them, for programs.
    pub json: fn(&[Row<F>], Extent) -> Value,
}

#[derive(Debug, Parser)]
struct Options {
    /// Run a part of it, chosen by the seed, in a few minutes.
    #[arg(long)]
    sample: bool,
    /// What the sample is chosen by.
    #[arg(long, default_value_t = 0, requires = "sample")]
    seed: u64,
    /// Run only this scenario. May be given several times.
    #[arg(long, value_name = "SCENARIO")]
    only: Vec<String>,
    /// How to print: for people or for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Finding for Tally {
    fn tally(&self) -> &Tally {
        self
    }
}

impl<F: Finding> Row<F> {
    /// In a word.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        if self.finding.tally().passed() { "ok" } else { "FAILED" }
    }

    /// What is said as soon as a scenario is done, with what was wrong.
    fn line(&self) -> String {
        let tally = self.finding.tally();
        let faults: String = tally.faults.iter().map(|fault| format!("\n    {fault}")).collect();
        format!("{:<20} {:<6} {:>6.1?}  {}{faults}", self.name, self.verdict(), self.took, tally.done)
    }
}

impl<F: Finding> Harness<F> {
    /// Does what the arguments ask for.
    #[must_use]
    pub fn run(&self) -> ExitCode {
        let options = self.options();
        let extent = if options.sample { Extent::Sample { seed: options.seed } } else { Extent::Everything };
        let only = &options.only;
        let wanted =
            |scenario: &&Scenario<F>| only.is_empty() || only.iter().any(|only| only == scenario.name);
        let rows: Vec<Row<F>> =
            self.scenarios.iter().filter(wanted).map(|scenario| attempt(scenario, extent)).collect();
        match options.output {
            Format::Text => print!("{}", (self.table)(&rows)),
            Format::Json => println!("{}", (self.json)(&rows, extent)),
        }
        if rows.iter().all(|row| row.finding.tally().passed()) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn options(&self) -> Options {
        let names = PossibleValuesParser::new(self.scenarios.iter().map(|scenario| scenario.name));
        let command = Options::command().name(self.name).about(self.about);
        let command = command.mut_arg("only", |only| only.value_parser(names));
        Options::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
    }
}

fn attempt<F: Finding>(scenario: &Scenario<F>, extent: Extent) -> Row<F> {
    let bar = progress(scenario.name);
    let begun = Instant::now();
    let finding = pool::caught(|| (scenario.run)(extent, &bar));
    bar.finish_and_clear();
    let row = Row { name: scenario.name, finding, took: begun.elapsed() };
    eprintln!("{}", row.line());
    row
}

fn progress(name: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg:<20} {pos:>5}/{len} {elapsed_precise}");
    let bar = ProgressBar::new(1).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar.with_message(name)
}

/// The seed of a sample, as it is told.
#[must_use]
pub fn seed(extent: Extent) -> Option<u64> {
    match extent {
        Extent::Everything => None,
        Extent::Sample { seed } => Some(seed),
    }
}
