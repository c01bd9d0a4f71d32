//! The real binary over real files and sockets.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use pursekeeper_api::{Audit, Channel, Governance, Signer};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::PAYEE;

/// How long a sidecar may take to start or stop, on a machine that does many other things.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// The payee of the registry that `init` writes.
const STARTER_PAYEE: &str = "0x1111111111111111111111111111111111111111";

/// A directory made by `pursekeeper init`, gone when dropped.
#[derive(Debug)]
pub struct Purse {
    dir: TempDir,
}

/// A running sidecar, killed when dropped.
#[derive(Debug)]
pub struct Sidecar {
    child: Child,
    dir: PathBuf,
}

impl Purse {
    /// A fresh purse that pays [`PAYEE`].
    #[must_use]
    pub fn init() -> Self {
        Self::init_in(&std::env::temp_dir())
    }

    /// The same below a directory, to choose the disk.
    #[must_use]
    pub fn init_in(parent: &Path) -> Self {
        let purse = Self { dir: tempfile::tempdir_in(parent).unwrap() };
        let dir = purse.path("purse");
        let made = command().arg("init").arg(&dir).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        purse.replace("policies/registry.yaml", STARTER_PAYEE, PAYEE);
        purse
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// A file of the purse.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path("purse").join(name)
    }

    /// Changes a text file. What is replaced must be there.
    pub fn replace(&self, file: &str, from: &str, to: &str) {
        let path = self.file(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "`{from}` is not in {file}:\n{text}");
        fs::write(path, text.replace(from, to)).unwrap();
    }

    /// The command with this purse's configuration.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = command();
        command.args(args).env("PURSEKEEPER_CONFIG", self.file("pursekeeper.yaml"));
        command
    }

    /// Runs a command to its end.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command that must exit with `code`, and returns both outputs.
    #[must_use]
    pub fn exits(&self, code: i32, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.run(args);
        let text = [stdout, stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert_eq!(status.code(), Some(code), "{args:?}: {text}");
        text
    }

    /// Starts the sidecar and waits until it listens.
    #[must_use]
    pub fn serve(&self) -> Sidecar {
        self.serve_by(self.command(&["serve"]))
    }

    /// The same with a command of the caller's making.
    #[must_use]
    pub fn serve_by(&self, mut command: Command) -> Sidecar {
        let log = File::create(self.path("log")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut sidecar = Sidecar { child, dir: self.path("") };
        let sockets = ["agent", "operator"].map(|name| self.file(&format!("run/{name}.sock")));
        until("it listens", || {
            if let Some(status) = sidecar.child.try_wait().unwrap() {
                panic!("the sidecar ended ({status}): {}", sidecar.log());
            }
            sockets.iter().all(|socket| UnixStream::connect(socket).is_ok())
        });
        sidecar
    }
}

impl Sidecar {
    /// What it wrote to standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    async fn connect(&self, socket: &str) -> Channel {
        pursekeeper_api::connect(self.socket(socket)).await.unwrap()
    }

    /// `agent` or `operator`.
    #[must_use]
    pub fn socket(&self, name: &str) -> PathBuf {
        self.dir.join(format!("purse/run/{name}.sock"))
    }

    /// A new connection as the agent.
    pub async fn signer(&self) -> Signer {
        Signer::new(self.connect("agent").await)
    }

    /// A new connection as the operator.
    pub async fn governance(&self) -> Governance {
        Governance::new(self.connect("operator").await)
    }

    /// A new connection as the operator.
    pub async fn audit(&self) -> Audit {
        Audit::new(self.connect("operator").await)
    }

    /// Ends it as a crash does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits.
    #[must_use]
    pub fn stop(mut self) -> ExitStatus {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
        let mut status = None;
        until("it stops", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary named by `PURSEKEEPER_BIN`, or the one cargo built next to this test.
fn command() -> Command {
    let built = || {
        let test = std::env::current_exe().unwrap();
        let target = test.ancestors().nth(2).unwrap_or_else(|| Path::new("."));
        target.join("pursekeeper-under-test")
    };
    let binary = std::env::var_os("PURSEKEEPER_BIN").map_or_else(built, PathBuf::from);
    assert!(binary.is_file(), "no binary at {}", binary.display());
    let mut command = Command::new(binary);
    command.stdin(Stdio::null()).env_remove("PURSEKEEPER_CONFIG").env("NO_COLOR", "1");
    command
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "gave up waiting until {what}");
        std::thread::sleep(LOOK_INTERVAL);
    }
}
