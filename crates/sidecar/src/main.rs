//! The `pursekeeper` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    pursekeeper::cli::main()
}
