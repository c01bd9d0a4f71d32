//! A sidecar that stands still after each of its system calls.
//!
//! strace counts calls for each thread on its own, and one act of an operator may be done by several threads, one after the
//! other. So every call that may change something is answered with a SIGSTOP, which holds the whole process once the call
//! is done: then the N-th stop is the N-th call, whichever thread made it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::strace::{Strace, noted};
use crate::Sidecar;

/// The calls that create, fill, rename or remove a file, or make that durable.
const SYSCALLS: &str = "openat,write,writev,pwrite64,pwritev,fdatasync,fsync,ftruncate,fallocate,rename,renameat,\
                        renameat2,unlink,unlinkat,mkdir,mkdirat";
/// How long a sidecar may take from one call to the next.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_micros(500);

/// A sidecar under such a strace.
#[derive(Debug)]
pub struct Steps {
    strace: Strace,
    log: PathBuf,
    dir: String,
    pid: Pid,
    stops: usize,
}

impl Steps {
    /// Attaches to a sidecar. Only calls on files below `dir` count.
    ///
    /// # Panics
    /// When strace cannot attach.
    #[must_use]
    pub fn attach(sidecar: &Sidecar, dir: &Path, log: &Path) -> Self {
        let injection = format!("inject={SYSCALLS}:signal=SIGSTOP");
        let strace = Strace::attach(sidecar, SYSCALLS, &["-y", "-e", &injection], log);
        let pid = Pid::from_raw(i32::try_from(sidecar.pid()).unwrap()).unwrap();
        let dir = format!("{}/", dir.display().to_string().trim_end_matches('/'));
        Self { strace, log: log.to_owned(), dir, pid, stops: 0 }
    }

    /// Lets it make its next call that counts, and returns what strace noted of it; the sidecar stands still. Nothing once
    /// `done`.
    ///
    /// # Panics
    /// When it makes no call and is not done.
    pub fn next(&mut self, done: impl Fn() -> bool) -> Option<String> {
        let begun = Instant::now();
        loop {
            let lines = noted(&self.log);
            let stops = lines.iter().enumerate().filter(|(_, line)| line.contains("--- SIGSTOP {"));
            if let Some((at, _)) = stops.into_iter().nth(self.stops) {
                self.stops += 1;
                match call_before(&lines, at).filter(|call| self.counts(call)) {
                    Some(call) => return Some(call.to_owned()),
                    None => self.go_on(),
                }
            } else if done() {
                return None;
            } else {
                assert!(begun.elapsed() < PATIENCE, "it neither makes a call nor is done");
                std::thread::sleep(LOOK_INTERVAL);
            }
        }
    }

    /// Whether a call changes something below the directory.
    fn counts(&self, call: &str) -> bool {
        let creates = !call.starts_with("openat") || call.contains("O_CREAT");
        creates && call.contains(&self.dir)
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        // It may have ended by itself.
        let _ = kill_process(self.pid, Signal::CONT);
    }

    /// Kills it where it stands.
    ///
    /// # Panics
    /// When it is gone already, or strace does not notice.
    pub fn kill(mut self) {
        kill_process(self.pid, Signal::KILL).unwrap();
        self.strace.outlive();
    }

    /// Lets it go for good.
    pub fn let_go(mut self) {
        self.go_on();
        self.strace.detach();
        // A stop that came between the two.
        self.go_on();
    }
}

/// The call after which a thread was stopped.
fn call_before(lines: &[String], stop: usize) -> Option<&str> {
    let (thread, _) = lines.get(stop)?.split_once(char::is_whitespace)?;
    let calls = lines[..stop].iter().rev().filter_map(|line| line.split_once(char::is_whitespace));
    let of_thread = calls.filter(|(other, _)| *other == thread).map(|(_, call)| call.trim_start());
    of_thread.into_iter().find(|call| !call.starts_with("---") && !call.starts_with("<..."))
}
