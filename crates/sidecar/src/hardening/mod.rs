//! What keeps a mistake in this process, or in what it is linked with, from reaching further than it must.
//!
//! [`seal_memory`] comes before anything is read: no core dump and no debugger sees the keys. [`confine`] comes before the
//! first thread is started, because threads inherit what their creator is confined by: Landlock leaves the files that the
//! configuration names, seccomp takes away what a sidecar never does.

mod calls;
mod files;
mod probe;

use std::fmt;
use std::path::Path;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use serde::Deserialize;
use tracing::warn;

use crate::config::Config;
pub(crate) use files::Reach;
pub(crate) use probe::{Examined, examine};

/// How much is made of it when something cannot be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// Without all of it, nothing is served.
    Enforce,
    /// What this kernel does not have is said, and served without.
    #[default]
    Warn,
    /// Nothing is confined. For debugging.
    Off,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
#[error(
    "`sandbox: enforce`, but {}: `pursekeeper selfcheck` tells more; use a kernel that has it, or `sandbox: warn`",
    .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
)]
pub(crate) struct HardeningError(Vec<Missing>);

/// Something that is not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// What.
    pub(crate) what: &'static str,
    /// Why.
    pub(crate) why: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} not in force ({})", self.what, self.why)
    }
}

/// Keeps what is in memory out of core dumps and debuggers of the same user.
pub(crate) fn seal_memory() -> Vec<Missing> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let steps = [
        ("no core dumps", setrlimit(Resource::Core, none)),
        ("not dumpable", set_dumpable_behavior(DumpableBehavior::NotDumpable)),
    ];
    let missing = |(what, done): (&'static str, rustix::io::Result<()>)| {
        done.err().map(|error| Missing { what, why: error.to_string() })
    };
    steps.into_iter().filter_map(missing).collect()
}

/// Confines this thread and every thread that it starts from now on, as configured, and returns what is missing. Nothing
/// is logged yet: the log may have threads.
///
/// # Errors
/// [`HardeningError`] when something is missing and the configuration does not do without.
pub(crate) fn confine(
    path: &Path,
    config: &Config,
    mut missing: Vec<Missing>,
) -> Result<Vec<Missing>, HardeningError> {
    if config.sandbox == Sandbox::Off {
        let why = "`sandbox: off`, so a mistake in this process reaches whatever its user may".to_owned();
        missing.push(Missing { what: "confined", why });
        return Ok(missing);
    }
    missing.extend(restrict(&Reach::of(path, config)));
    match config.sandbox {
        Sandbox::Enforce if !missing.is_empty() => Err(HardeningError(missing)),
        Sandbox::Enforce | Sandbox::Warn | Sandbox::Off => Ok(missing),
    }
}

/// Logs what is missing.
pub(crate) fn tell(missing: &[Missing]) {
    for Missing { what, why } in missing {
        warn!(what, why, "not in force");
    }
}

/// Leaves these files and takes away the calls.
pub(crate) fn restrict(reach: &Reach) -> Vec<Missing> {
    // The files first: to confine itself is among what is taken away.
    let steps =
        [("confined to its files", files::restrict(reach)), ("confined to its calls", calls::restrict())];
    steps.into_iter().filter_map(|(what, done)| done.err().map(|why| Missing { what, why })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_with_what_to_do() {
        let missing = Missing { what: "confined to its files", why: "no Landlock".to_owned() };
        let error = HardeningError(vec![missing]).to_string();
        assert!(
            error.contains("confined to its files not in force (no Landlock)")
                && error.contains("sandbox: warn")
        );
    }
}
