//! The `pursekeeper` command: one file per verb.

mod act;
mod as_json;
mod audit;
mod budget;
mod call;
mod check;
mod client;
mod clock;
mod confirm;
mod exposure;
mod hold;
mod init;
mod journal;
mod man;
mod moment;
mod outstanding;
mod pay;
mod payee;
mod pending;
mod policy;
mod reload;
mod report;
mod selfcheck;
mod serve;
mod sign_in;
mod status;
mod stop;
mod subject;
mod wallet;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::output::{Format, Output};
use subject::Noun;

/// Judging a payment allocates some thousand small values; glibc's allocator spends a tenth of the time on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit codes, as documented in docs/OPERATIONS.md and in `pursekeeper help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Something is wrong with files, configuration or the journal.
    Failed = 1,
    /// The command line is wrong, or what asks for confirmation was not confirmed.
    Usage = 2,
    /// Refused by policy: an answer, not an error.
    Denied = 3,
    /// The sidecar cannot be reached or cannot answer now.
    Unavailable = 4,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  something is wrong with a file, the configuration or the journal
  2  the command line is wrong, or nobody confirmed
  3  refused by policy
  4  the sidecar cannot be reached or cannot answer now";

/// A sidecar that holds an AI agent's wallet keys, judges every x402 payment by policy, records it, and only then signs.
#[derive(Debug, Parser)]
#[command(name = "pursekeeper", version, after_help = EXIT_CODES, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How to print: for people or for programs.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Where the sidecar's configuration is.
#[derive(Clone, Debug, Args)]
struct ConfigArg {
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "PURSEKEEPER_CONFIG", default_value = "pursekeeper.yaml")]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// See it work: a paywalled site, an agent, five payments, one audit trail. Needs nothing.
    Demo(crate::demo::DemoArgs),
    /// Make a directory with a configuration, policies, a journal and a fresh wallet.
    Init(init::InitArgs),
    /// Run the sidecar.
    Serve(serve::ServeArgs),
    /// Check configuration, bundle, keys and journal without starting anything.
    Check(check::CheckArgs),
    /// Fetch a URL and pay for it if it asks, like curl with a wallet.
    Pay(pay::PayArgs),
    /// Fetch a URL as the wallet that signs in to it (Sign-In-With-X).
    SignIn(sign_in::SignInArgs),
    /// See whether it signs, what is in force, and how many of what have which status.
    Status(status::StatusArgs),
    /// Make, take in, rotate, reassign, back up and recover wallets; stop, resume and end them.
    #[command(subcommand)]
    Wallet(wallet::WalletCommand),
    /// Stop, resume and end workflows.
    #[command(subcommand)]
    Workflow(subject::SubjectCommand),
    /// Stop, resume and end agents.
    #[command(subcommand)]
    Agent(subject::SubjectCommand),
    /// Stop, resume and end services.
    #[command(subcommand)]
    Service(subject::SubjectCommand),
    /// The kill switch: stop everything. When this returns, nothing leaves any more.
    SuspendAll(stop::SuspendAllArgs),
    /// End what suspend-all began.
    ResumeAll(stop::ResumeAllArgs),
    /// See what is outside: signatures that were handed out and can still be settled.
    Exposure(exposure::ExposureArgs),
    /// See what became of signatures, and free the money of dead ones.
    #[command(subcommand)]
    Hold(hold::HoldCommand),
    /// See which payees wait for an operator, and accept them.
    #[command(subcommand)]
    Payee(payee::PayeeCommand),
    /// Confirm a clock that jumped.
    #[command(subcommand)]
    Clock(clock::ClockCommand),
    /// See what may still be spent.
    #[command(subcommand)]
    Budget(budget::BudgetCommand),
    /// Read and verify the audit trail.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// See who owns what, who spent what, what nobody uses, and what is left of what ended.
    Report(report::ReportArgs),
    /// See what confines the sidecar on this machine: tries what should be impossible.
    Selfcheck(selfcheck::SelfcheckArgs),
    /// Check governance bundles.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Put the governance bundle in force as it lies on disk now.
    Reload(reload::ReloadArgs),
    /// Create a journal.
    #[command(subcommand)]
    Journal(journal::JournalCommand),
    /// Print shell completions.
    #[command(after_help = "Example:\n  pursekeeper completions bash > /etc/bash_completion.d/pursekeeper")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one page per command.
    Man(man::ManArgs),
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    // One process, one TLS provider; a second call would be an error nobody can act on.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    let output = Output::new(cli.output);
    let exit = match run(cli.command, output) {
        Ok(exit) => exit,
        // Whoever reads us has seen enough, as `head` does.
        Err(error) if is_broken_pipe(&error) => Exit::Done,
        Err(error) => {
            output.error(&error);
            exit_of(&error)
        }
    };
    ExitCode::from(exit as u8)
}

fn exit_of(error: &anyhow::Error) -> Exit {
    if error.is::<client::Unavailable>() {
        Exit::Unavailable
    } else if error.is::<confirm::Unconfirmed>() {
        Exit::Usage
    } else {
        Exit::Failed
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn run(command: Command, output: Output) -> anyhow::Result<Exit> {
    match command {
        Command::Demo(args) => crate::demo::run(&args, output),
        Command::Init(args) => init::run(&args, output),
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args, output),
        Command::Pay(args) => pay::run(args, output),
        Command::SignIn(args) => sign_in::run(args, output),
        Command::Status(args) => status::run(&args, output),
        Command::Wallet(command) => wallet::run(command, output),
        Command::Workflow(command) => subject::run(Noun::Workflow, command, output),
        Command::Agent(command) => subject::run(Noun::Agent, command, output),
        Command::Service(command) => subject::run(Noun::Service, command, output),
        Command::SuspendAll(args) => stop::suspend(args, output),
        Command::ResumeAll(args) => stop::resume(args, output),
        Command::Exposure(args) => exposure::run(args, output),
        Command::Hold(command) => hold::run(command, output),
        Command::Payee(command) => payee::run(command, output),
        Command::Clock(command) => clock::run(command, output),
        Command::Budget(command) => budget::run(command, output),
        Command::Audit(command) => audit::run(command, output),
        Command::Report(args) => report::run(&args, output),
        Command::Selfcheck(args) => selfcheck::run(&args, output),
        Command::Policy(command) => policy::run(&command, output),
        Command::Reload(args) => reload::run(args, output),
        Command::Journal(command) => journal::run(&command, output),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "pursekeeper", &mut std::io::stdout());
            Ok(Exit::Done)
        }
        Command::Man(args) => man::run(&args, Cli::command()),
    }
}

/// A runtime for commands that talk to the sidecar.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command that can be run, with its path.
    fn leaves(command: &clap::Command, path: &str) -> Vec<(String, clap::Command)> {
        let path = format!("{path} {}", command.get_name()).trim_start().to_owned();
        let below: Vec<_> = command.get_subcommands().flat_map(|below| leaves(below, &path)).collect();
        if below.is_empty() { vec![(path, command.clone())] } else { below }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_in_its_help() {
        for (path, command) in leaves(&Cli::command(), "") {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{path} has no example");
        }
    }

    #[test]
    fn who_does_not_confirm_used_it_wrongly() {
        let error = confirm::Unconfirmed("nothing was done".to_owned());
        assert_eq!(exit_of(&error.into()), Exit::Usage);
        assert_eq!(exit_of(&anyhow::anyhow!("other")), Exit::Failed);
    }
}
