//! What is really in force in this process: asked of the kernel, and tried.

use std::io;
use std::process::Command;

use pursekeeper_custody::MemoryProtection;
use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, geteuid, getrlimit};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Examined {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Whether it is in force.
    pub(crate) active: bool,
    /// What was seen.
    pub(crate) seen: String,
}

/// Looks at everything. What is confined is tried, and must fail.
pub(crate) fn examine() -> Vec<Examined> {
    let is = |name, active, seen: String| Examined { name, active, seen };
    let core = getrlimit(Resource::Core).current;
    let dumpable = dumpable_behavior();
    let privileges = rustix::thread::no_new_privs();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |name: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.map_or_else(|| "unknown".to_owned(), |value| value.trim().to_owned())
    };
    let program = Command::new("/proc/self/exe").arg("--version").output().map(drop);
    let outside = std::fs::read_dir("/").map(drop);
    let memory = pursekeeper_custody::memory_protection();
    vec![
        is(
            "no core dumps",
            core == Some(0),
            format!("limit {}", core.map_or("none".to_owned(), |limit| limit.to_string())),
        ),
        is(
            "not dumpable",
            matches!(dumpable, Ok(DumpableBehavior::NotDumpable)),
            said(dumpable.as_ref().map(drop)),
        ),
        is(
            "keys neither swapped nor dumped",
            matches!(memory, Ok(MemoryProtection::Secret | MemoryProtection::Locked)),
            protected(&memory),
        ),
        is("no new privileges", matches!(privileges, Ok(true)), line("NoNewPrivs")),
        is("confined to its calls", is_refused(&program), format!("starting a program: {}", tried(&program))),
        is("confined to its files", is_refused(&outside), format!("reading /: {}", tried(&outside))),
        is("not root", !geteuid().is_root(), format!("uid {}", geteuid().as_raw())),
        is("no capabilities", is_zero(&line("CapEff")), line("CapEff")),
        is("root file system is read-only", is_read_only("/"), String::new()),
    ]
}

fn protected(memory: &io::Result<MemoryProtection>) -> String {
    let words = match memory {
        Ok(MemoryProtection::Secret) => "on pages that no other process can read, nor the kernel",
        Ok(MemoryProtection::Locked) => "on locked pages; this kernel has no `memfd_secret`",
        Ok(MemoryProtection::Swappable) => "left out of dumps, but the limit of locked memory is used up",
        Err(error) => return error.to_string(),
    };
    words.to_owned()
}

fn is_refused(tried: &io::Result<()>) -> bool {
    tried.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

fn tried(tried: &io::Result<()>) -> String {
    tried.as_ref().map_or_else(ToString::to_string, |()| "it can".to_owned())
}

fn said<E: std::fmt::Display>(result: Result<(), E>) -> String {
    result.map_or_else(|error| error.to_string(), |()| String::new())
}

fn is_zero(hex: &str) -> bool {
    !hex.is_empty() && hex.bytes().all(|digit| digit == b'0')
}

fn is_read_only(path: &str) -> bool {
    statvfs(path).is_ok_and(|disk| disk.f_flag.contains(StatVfsMountFlags::RDONLY))
}
