use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man;

use super::Exit;

/// Prints the manual page to standard output.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pursekeeper man | man -l -\n  pursekeeper man --dir /usr/local/share/man/man1"
)]
pub(super) struct ManArgs {
    /// Write `pursekeeper.1` and a page per command into this directory instead.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &ManArgs, command: clap::Command) -> anyhow::Result<Exit> {
    match &args.dir {
        Some(dir) => {
            std::fs::create_dir_all(dir)?;
            clap_mangen::generate_to(command, dir)?;
        }
        None => Man::new(command).render(&mut std::io::stdout())?,
    }
    Ok(Exit::Done)
}
