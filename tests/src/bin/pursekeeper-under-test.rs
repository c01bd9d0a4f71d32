//! The `pursekeeper` command, built by the same call of cargo as the tests, so that it is never another version.
//!
//! Cargo builds a test's own binaries before the test, but not those of its dependencies.

use std::process::ExitCode;

fn main() -> ExitCode {
    pursekeeper::cli::main()
}
