//! The `pursekeeper` command: one file per verb.

mod audit;
mod budget;
mod call;
mod check;
mod client;
mod clock;
mod hold;
mod init;
mod journal;
mod man;
mod pay;
mod payee;
mod policy;
mod serve;
mod sign_in;
mod wallet;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::output::{Format, Output};

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
    /// The command line is wrong.
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
  2  the command line is wrong
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
    /// Create, import and list wallets; stop and resume them.
    #[command(subcommand)]
    Wallet(wallet::WalletCommand),
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
    /// Check governance bundles.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Create a journal.
    #[command(subcommand)]
    Journal(journal::JournalCommand),
    /// Print shell completions.
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
            if error.downcast_ref::<client::Unavailable>().is_some() {
                Exit::Unavailable
            } else {
                Exit::Failed
            }
        }
    };
    ExitCode::from(exit as u8)
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
        Command::Wallet(command) => wallet::run(command, output),
        Command::Hold(command) => hold::run(command, output),
        Command::Payee(command) => payee::run(command, output),
        Command::Clock(command) => clock::run(command, output),
        Command::Budget(command) => budget::run(command, output),
        Command::Audit(command) => audit::run(command, output),
        Command::Policy(command) => policy::run(&command, output),
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
