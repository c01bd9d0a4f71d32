//! The real binary over real files and sockets.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use pursekeeper_api::{Audit, Channel, Governance, Signer};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::PAYEE;

/// How long a sidecar may take to start or stop, on a machine that does many other things.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// How often an agent may call by the configuration that `init` writes, and what lets one user call as often as it can.
const CALL_LIMIT: &str = "agent_calls_per_sec_max: 500";
const NO_CALL_LIMITS: &str = "agent_calls_per_sec_max: 1000000\n  peer_calls_per_sec_max: 1000000";
/// A limit that `init` writes, and the same with one more that is as if there were none.
const QUEUE_LIMIT: &str = "queue_len_max: 1024";
const NO_REPEAT_LIMIT: &str = "queue_len_max: 1024\n  repeats_per_minute_max: 1000000";
/// The payee of the registry that `init` writes.
const STARTER_PAYEE: &str = "0x1111111111111111111111111111111111111111";

/// What connections live on. They answer a sidecar that takes its leave, also while the test that made them waits for it.
static CONNECTIONS: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

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
    ready: Duration,
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
        // A test says itself when a change is taken up; those of the following do not.
        purse.replace("pursekeeper.yaml", "\nlog:\n", "\nreload: { watch: false }\n\nlog:\n");
        purse
    }

    /// A purse with the same keys, rules and journal. No sidecar may be writing the journal meanwhile.
    #[must_use]
    pub fn copy(&self) -> Self {
        let copy = Self { dir: tempfile::tempdir_in(self.dir.path().parent().unwrap()).unwrap() };
        copy_all(&self.path("purse"), &copy.path("purse"));
        copy
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

    /// Lets one user call as often as it can: how often is another limit than how much may be spent.
    ///
    /// # Panics
    /// When the limits are not those that `init` wrote.
    pub fn lift_call_limits(&self) {
        self.replace("pursekeeper.yaml", CALL_LIMIT, NO_CALL_LIMITS);
    }

    /// Has every repeated denial and preview recorded on its own, however many there are.
    ///
    /// # Panics
    /// When the limits are not those that `init` wrote.
    pub fn lift_repeat_limit(&self) {
        self.replace("pursekeeper.yaml", QUEUE_LIMIT, NO_REPEAT_LIMIT);
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
    pub fn serve_by(&self, command: Command) -> Sidecar {
        self.try_serve_by(command)
            .unwrap_or_else(|(status, log)| panic!("the sidecar ended ({status}): {log}"))
    }

    /// The same, when it may end before it listens.
    ///
    /// # Errors
    /// How it ended, and what it wrote to standard error.
    pub fn try_serve_by(&self, command: Command) -> Result<Sidecar, (ExitStatus, String)> {
        let sockets = ["agent", "operator"].map(|name| self.file(&format!("run/{name}.sock")));
        let begun = Instant::now();
        let mut sidecar = self.start_by(command);
        let mut ended = None;
        until("it listens", || {
            ended = sidecar.child.try_wait().unwrap();
            ended.is_some() || sockets.iter().all(|socket| UnixStream::connect(socket).is_ok())
        });
        sidecar.ready = begun.elapsed();
        match ended {
            Some(status) => Err((status, sidecar.log())),
            None => Ok(sidecar),
        }
    }

    /// Starts a sidecar by a command of the caller's making, and waits for nothing.
    #[must_use]
    pub fn start_by(&self, mut command: Command) -> Sidecar {
        let log = File::create(self.path("log")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Sidecar { child, dir: self.path(""), ready: Duration::ZERO }
    }
}

impl Sidecar {
    /// What it wrote to standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap()
    }

    /// How long it took from the start of the process until both sockets could be connected to.
    #[must_use]
    pub fn ready(&self) -> Duration {
        self.ready
    }

    /// How it ended, once it has, within `patience`.
    #[must_use]
    pub fn ended_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let begun = Instant::now();
        loop {
            let status = self.child.try_wait().unwrap();
            if status.is_some() || begun.elapsed() >= patience {
                return status;
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    async fn connect(&self, socket: &str) -> Channel {
        CONNECTIONS.spawn(pursekeeper_api::connect(self.socket(socket))).await.unwrap().unwrap()
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

/// Copies a directory with everything in it, with modes and owners.
pub(crate) fn copy_all(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "cannot copy {} to {}", from.display(), to.display());
}

/// Looks again and again until it is so.
///
/// # Panics
/// When it takes too long.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "gave up waiting until {what}");
        std::thread::sleep(LOOK_INTERVAL);
    }
}
