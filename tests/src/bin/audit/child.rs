//! A command that is waited for, but not for ever.

use std::fs;
use std::io::Read as _;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
/// Clock ticks of a second in `/proc` (`getconf CLK_TCK`), which Linux fixes for programs.
const TICKS_PER_SEC: u64 = 100;

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Nothing if it had to be killed because it did not end.
    pub(crate) status: Option<ExitStatus>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// From its start to its end.
    pub(crate) took: Duration,
    /// On a processor.
    pub(crate) on_cpu: Duration,
    /// The most memory it had, in KiB.
    pub(crate) peak_kib: u64,
}

/// Runs a command that says little, and kills it after `patience`.
pub(crate) fn run(mut command: Command, patience: Duration) -> Ended {
    let begun = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut on_cpu, mut peak_kib) = (Duration::ZERO, 0);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if begun.elapsed() > patience {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        on_cpu = on_cpu_of(child.id()).unwrap_or(on_cpu);
        peak_kib = memory_kib(child.id(), "VmHWM").unwrap_or(peak_kib).max(peak_kib);
        std::thread::sleep(LOOK_INTERVAL);
    };
    let took = begun.elapsed();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ended { status, stdout, stderr, took, on_cpu, peak_kib }
}

/// A line of a process's status, in KiB.
pub(crate) fn memory_kib(pid: u32, line: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let found = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'))?;
    found.split_whitespace().next()?.parse().ok()
}

/// How long a process has been on processors: what others do on this machine is not counted.
fn on_cpu_of(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ticks = ticks(11)? + ticks(12)?;
    Some(Duration::from_millis(ticks * 1_000 / TICKS_PER_SEC))
}
