//! strace, which kills a process or makes its system calls fail at a chosen one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Sidecar;

/// How long strace may take to attach or to let go.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// What happens at a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// The process is killed before the call is made.
    Kill,
    /// The call is not made and fails with this error.
    Error(&'static str),
}

/// What to do to which system call. strace counts calls for each thread on its own.
#[derive(Clone, Copy, Debug)]
pub struct Injection {
    /// The system call.
    pub syscall: &'static str,
    /// What happens.
    pub blow: Blow,
    /// At which call, from 1.
    pub when: usize,
    /// Whether at every later call too.
    pub onwards: bool,
}

/// A strace attached to a running sidecar; it lets go when dropped.
#[derive(Debug)]
pub struct Strace {
    child: Child,
    log: PathBuf,
}

impl Injection {
    fn expression(&self) -> String {
        let Self { syscall, blow, when, onwards } = self;
        let blow = match blow {
            Blow::Kill => "signal=SIGKILL".to_owned(),
            Blow::Error(error) => format!("error={error}"),
        };
        format!("inject={syscall}:{blow}:when={when}{}", if *onwards { "+" } else { "" })
    }

    /// In a few words.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { syscall, blow, when, onwards } = self;
        format!("{blow:?} at {syscall} {when}{}", if *onwards { " and later" } else { "" })
    }

    /// The command, with the injection from its first system call on.
    #[must_use]
    pub fn strike_from_start(&self, command: &Command, log: &Path) -> Command {
        under_strace(command, self.syscall, &["-e", &self.expression()], log)
    }
}

/// The command, with its system calls written down from the first on.
#[must_use]
pub fn watched(command: &Command, syscalls: &str, log: &Path) -> Command {
    under_strace(command, syscalls, &[], log)
}

/// The command, for a process that asks the kernel for the time at each call instead of reading it from the vDSO, where
/// nobody could turn it. It must be told the time once before this strace lets go.
#[must_use]
pub fn without_vdso(command: &Command, log: &Path) -> Command {
    under_strace(command, "prctl", &["-e", "inject=prctl:error=EINVAL"], log)
}

fn under_strace(command: &Command, syscalls: &str, more: &[&str], log: &Path) -> Command {
    let mut strace = Command::new("strace");
    // As a grandchild, so that the process started here is the sidecar itself; and it can be told to end.
    strace.args(["-D", "-I2"]).args(arguments(syscalls, log)).args(more);
    strace.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    strace
}

/// What every strace is told: all threads, one log, nothing but the calls in question.
fn arguments(syscalls: &str, log: &Path) -> Vec<String> {
    let log = log.display().to_string();
    ["-f", "-o", &log, "-e", &format!("trace={syscalls}")].map(str::to_owned).to_vec()
}

/// How often an injection struck, by strace's own account.
#[must_use]
pub fn struck(log: &Path) -> usize {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().filter(|line| line.contains("(INJECTED)") || line.contains("+++ killed by SIGKILL")).count()
}

/// The system calls a strace noted, one line each.
#[must_use]
pub fn noted(log: &Path) -> Vec<String> {
    fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect()
}

impl Strace {
    /// Attaches to a sidecar and every thread it has or makes, to strike. Each count begins now.
    #[must_use]
    pub fn strike(sidecar: &Sidecar, injection: &Injection, log: &Path) -> Self {
        Self::attach(sidecar, injection.syscall, &["-e", &injection.expression()], log)
    }

    /// Attaches to write down the given system calls.
    #[must_use]
    pub fn watch(sidecar: &Sidecar, syscalls: &str, log: &Path) -> Self {
        Self::attach(sidecar, syscalls, &[], log)
    }

    /// Attaches to stop the wall clock at a time. It is read first, the clock since boot second.
    #[must_use]
    pub fn stop_clock(sidecar: &Sidecar, unix_secs: u64, log: &Path) -> Self {
        let timespec = [unix_secs.to_ne_bytes(), 0u64.to_ne_bytes()].concat();
        let bytes: String = timespec.iter().map(|byte| format!("{byte:02x}")).collect();
        let injection = format!("inject=clock_gettime:poke_exit=@arg2={bytes}:when=1+2");
        Self::attach(sidecar, "clock_gettime", &["-e", &injection], log)
    }

    pub(super) fn attach(sidecar: &Sidecar, syscalls: &str, more: &[&str], log: &Path) -> Self {
        let said = log.with_extension("said");
        let mut command = Command::new("strace");
        command.args(arguments(syscalls, log)).args(more).args(["-p", &sidecar.pid().to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&said).unwrap());
        let mut strace = Self { child: command.spawn().unwrap(), log: log.to_owned() };
        until("strace is attached", || {
            let text = fs::read_to_string(&said).unwrap();
            if let Some(status) = strace.child.try_wait().unwrap() {
                panic!("strace ended ({status}): {text}");
            }
            text.contains("attached")
        });
        strace
    }

    /// How often it struck.
    #[must_use]
    pub fn struck(&self) -> usize {
        struck(&self.log)
    }

    /// Waits until it ends because there is nobody left to trace.
    ///
    /// # Panics
    /// When it does not.
    pub fn outlive(&mut self) {
        until("strace has seen the process end", || self.child.try_wait().unwrap().is_some());
    }

    /// Lets the sidecar go, if it lives, and waits until it did.
    ///
    /// # Panics
    /// When it does not.
    pub fn detach(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        if self.child.try_wait().unwrap().is_none() {
            // It may end by itself meanwhile.
            let _ = kill_process(pid, Signal::INT);
            until("strace lets go", || self.child.try_wait().unwrap().is_some());
        }
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets a sidecar go that is traced from its start.
///
/// # Panics
/// When it is not let go.
pub fn let_go(sidecar: &Sidecar) {
    let tracer = || {
        let status = fs::read_to_string(format!("/proc/{}/status", sidecar.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:")).unwrap();
        Pid::from_raw(line.trim().parse().unwrap())
    };
    if let Some(pid) = tracer() {
        // It may end by itself meanwhile.
        let _ = kill_process(pid, Signal::INT);
    }
    until("strace lets go", || tracer().is_none());
}

pub(super) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "gave up waiting until {what}");
        std::thread::sleep(LOOK_INTERVAL);
    }
}
