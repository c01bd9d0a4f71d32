//! A pod: containers with users of their own that share a volume of sockets and nothing else. One may pay, one may not, one
//! may only sign in; others try what they may not.

use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use pursekeeper_tests::overspend::{Extent, Tally};
use pursekeeper_tests::{Purse, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const SIDECAR: u32 = 65_532;
const PAYER: u32 = 1001;
const READER: u32 = 1002;
const VISITOR: u32 = 1003;
const STRANGER: u32 = 1004;
const OPERATOR: u32 = 1100;
/// Who may open the sockets of agents, and those of operators.
const AGENTS: &str = "2000";
const OPERATORS: &str = "2001";
/// Where containers find what is mounted.
const SOCKETS: &str = "/sockets";
const AGENT_SOCKET: &str = "/sockets/agents/agent.sock";
const OPERATOR_SOCKET: &str = "/sockets/operators/operator.sock";

const POLICY: &str = r#"
@id("pod.reader") @reason("the reader buys nothing")
forbid (principal == Pursekeeper::Agent::"reader", action in Pursekeeper::Action::"Sign", resource);

@id("pod.visitor") @reason("the visitor signs in and pays nothing")
forbid (principal == Pursekeeper::Agent::"visitor", action == Pursekeeper::Action::"Pay", resource);
"#;

/// How long the sidecar may take to serve.
const SERVES_MAX: Duration = Duration::from_secs(20);

/// Mounts and a network that the containers share, gone when dropped.
struct Pod {
    purse: Purse,
    holder: Child,
    sidecar: Option<Child>,
    programs: PathBuf,
    binary: PathBuf,
}

/// A container that asks once.
struct Ask {
    user: u32,
    groups: &'static str,
    volumes: &'static [&'static str],
    command: Vec<&'static str>,
    /// What it prints begins with this.
    expected: &'static str,
}

pub(crate) fn run(_: Extent, bar: &ProgressBar) -> Tally {
    let mut tally = Tally::default();
    if !rustix::process::geteuid().is_root() {
        tally.fault("containers are made by root: run this as root");
        return tally;
    }
    let mut pod = Pod::start();
    pod.serve();
    let asks = asks();
    bar.set_length(u64::try_from(asks.len()).unwrap());
    for Ask { user, groups, volumes, command, expected } in &asks {
        let said = pod.ask((*user, groups), volumes, command);
        tally.expect(said.starts_with(expected), || {
            format!("user {user} of groups {groups}, {command:?}: `{said}` is not `{expected}…`")
        });
        bar.inc(1);
    }
    pod.stop(&mut tally);
    let records = records(&pod.purse);
    let by = |user: u32| {
        let of = |record: &&Value| {
            record.pointer("/asked/caller/source/uid").and_then(Value::as_u64) == Some(user.into())
        };
        records.iter().filter(of).count()
    };
    for user in [PAYER, READER, VISITOR] {
        tally.expect(by(user) > 0, || format!("no record names user {user}"));
    }
    tally.decisions = u64::try_from(records.len()).unwrap();
    let verified = pod.purse.run(&["audit", "verify"]);
    tally.expect(verified.status.success(), || format!("audit verify: {verified:?}"));
    tally.done = format!("{} containers of 5 users asked, and were answered as they should be", asks.len());
    tally
}

fn asks() -> Vec<Ask> {
    const AGENT: &[&str] = &["agents"];
    const BOTH: &[&str] = &["agents", "operators"];
    let ask = |(user, groups), volumes, command, expected| Ask { user, groups, volumes, command, expected };
    let agent = |user, command, expected| ask((user, AGENTS), AGENT, command, expected);
    let call = |what, id| vec!["/programs/caller", AGENT_SOCKET, what, id];
    let govern = || vec!["/programs/caller", OPERATOR_SOCKET, "status", "-"];
    let shell = |script| vec!["sh", "-c", script];
    vec![
        agent(PAYER, call("pay", "a"), "signed"),
        agent(PAYER, call("sign-in", "b"), "signed in"),
        agent(READER, call("pay", "c"), "denied: "),
        agent(READER, call("sign-in", "d"), "denied: "),
        agent(VISITOR, call("pay", "e"), "denied: "),
        agent(VISITOR, call("sign-in", "f"), "signed in"),
        // Whoever says to be another, and whoever nobody knows.
        agent(READER, [call("pay", "g"), vec!["crawler"]].concat(), "refused: IDENTITY_MISMATCH"),
        agent(STRANGER, call("pay", "h"), "refused: UID_UNMAPPED"),
        // Operators govern and do not pay; agents reach nothing that governs.
        ask((OPERATOR, OPERATORS), BOTH, govern(), "serving"),
        ask((OPERATOR, AGENTS), BOTH, call("pay", "i"), "refused: "),
        agent(PAYER, vec!["/programs/caller", AGENT_SOCKET, "status", "-"], "refused: "),
        agent(PAYER, govern(), "unreachable"),
        ask((PAYER, AGENTS), BOTH, govern(), "unreachable"),
        ask((PAYER, OPERATORS), BOTH, govern(), "refused: "),
        // Without the group a socket is closed, and without the volume there is none.
        ask((PAYER, "3000"), AGENT, call("pay", "j"), "unreachable"),
        ask((PAYER, AGENTS), &[], call("pay", "k"), "unreachable"),
        // Nobody takes the socket's place, sees the sidecar, or has a way out.
        agent(PAYER, shell("rm /sockets/agents/agent.sock 2>/dev/null; echo $?"), "1"),
        agent(PAYER, shell("ls -d /purse 2>/dev/null | wc -l"), "0"),
        agent(PAYER, shell("cat /proc/*/comm | grep -c pursekeeper || true"), "0"),
        agent(PAYER, shell("tail -n +3 /proc/net/dev | grep -vc ' lo:' || true"), "0"),
        agent(PAYER, call("pay", "l"), "signed"),
    ]
}

impl Pod {
    fn start() -> Self {
        let purse = Purse::init();
        let registry = "policies/registry.yaml";
        purse.replace(registry, "alice: { uids: [0]", &format!("alice: {{ uids: [{OPERATOR}]"));
        let crawler = format!("    uids: [{PAYER}]\n    workflows: [market-research]\n");
        purse.replace(registry, "    uids: [0]\n    workflows: [market-research]\n", &crawler);
        let others: String = [("reader", READER), ("visitor", VISITOR)]
            .map(|(name, user)| format!("  {name}:\n    uids: [{user}]\n    workflows: [market-research]\n"))
            .concat();
        purse.replace(registry, "\nagents:\n", &format!("\nagents:\n{others}"));
        fs::write(purse.file("policies/pod.cedar"), POLICY).unwrap();
        let config = "pursekeeper.yaml";
        purse.replace(config, "dev: true\n", "");
        let sockets = [
            ("run/agent.sock, mode: \"0660\"", "agents/agent.sock", AGENTS),
            ("run/operator.sock, mode: \"0600\"", "operators/operator.sock", OPERATORS),
        ];
        for (before, path, group) in sockets {
            purse.replace(config, before, &format!("run/{path}, mode: \"0660\", group: {group}"));
        }
        for dir in ["run/agents", "run/operators"] {
            fs::create_dir_all(purse.file(dir)).unwrap();
        }
        give_away(&purse.file(""));
        let binary = PathBuf::from(env::var("PURSEKEEPER_BIN").unwrap());
        let programs = env::current_exe().unwrap().parent().unwrap().to_owned();
        let holder = hold(&purse);
        Self { purse, holder, sidecar: None, programs, binary }
    }

    /// A container in the pod.
    fn container(&self, (user, groups): (u32, &str), volumes: &[String], command: &[&str]) -> Command {
        let mut container = Command::new("nsenter");
        let holder = self.holder.id();
        container.arg(format!("--net=/proc/{holder}/ns/net")).arg(format!("--mount=/proc/{holder}/ns/mnt"));
        container.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/siege/container"));
        container.args([user.to_string().as_str(), groups]).args(volumes).arg("--").args(command);
        container.stdin(Stdio::null());
        container
    }

    fn serve(&mut self) {
        let binary = self.binary.file_name().unwrap().to_str().unwrap().to_owned();
        let volumes = [
            format!("{}:/programs:ro", self.binary.parent().unwrap().display()),
            format!("{}:/purse", self.purse.file("").display()),
        ];
        let program = format!("/programs/{binary}");
        let command = [program.as_str(), "serve", "--config", "/purse/pursekeeper.yaml"];
        let groups = format!("{AGENTS},{OPERATORS}");
        let log = fs::File::create(self.purse.file("log")).unwrap();
        let mut serving = self.container((SIDECAR, &groups), &volumes, &command);
        self.sidecar = Some(serving.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let ask = ["/programs/caller", OPERATOR_SOCKET, "status", "-"];
        let begun = Instant::now();
        loop {
            let said = self.ask((OPERATOR, OPERATORS), &["operators"], &ask);
            if said == "serving" {
                return;
            }
            let log = fs::read_to_string(self.purse.file("log")).unwrap();
            assert!(begun.elapsed() < SERVES_MAX, "it does not serve: {said}; {log}");
        }
    }

    /// What a container prints.
    fn ask(&self, who: (u32, &str), volumes: &[&str], command: &[&str]) -> String {
        let mut all = vec![format!("{}:/programs:ro", self.programs.display())];
        for volume in volumes {
            all.push(format!("{}:{SOCKETS}/{volume}:ro", self.purse.file("run").join(volume).display()));
        }
        let output = self.container(who, &all, command).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).trim().to_owned()
    }

    fn stop(&mut self, tally: &mut Tally) {
        let Some(mut container) = self.sidecar.take() else { return };
        // The container's first process is the sidecar itself.
        let id = container.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let sidecar = Pid::from_raw(children.trim().parse().unwrap()).unwrap();
        kill_process(sidecar, Signal::TERM).unwrap();
        let mut status = None;
        until("it stops", || {
            status = container.try_wait().unwrap();
            status.is_some()
        });
        tally.expect(status.is_some_and(|status| status.success()), || {
            format!(
                "it ended with {status:?}: {}",
                fs::read_to_string(self.purse.file("log")).unwrap_or_default()
            )
        });
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        for child in self.sidecar.iter_mut().chain([&mut self.holder]) {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A process that holds the pod's network, with nothing but loopback, and its volumes in memory.
fn hold(purse: &Purse) -> Child {
    let volume = |name: &str, group: &str| {
        let dir = purse.file("run").join(name);
        format!("mount -t tmpfs -o mode=2770,uid={SIDECAR},gid={group} none '{}'", dir.display())
    };
    let script = format!(
        "set -e; mount --make-rprivate /; {}; {}; chmod 2771 '{}'; echo held; exec sleep infinity",
        volume("agents", AGENTS),
        volume("operators", OPERATORS),
        purse.file("run").display(),
    );
    let mut holder = Command::new("unshare");
    holder.args(["--net", "--mount", "sh", "-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = holder.spawn().unwrap();
    let mut told = [0; 5];
    let mut stdout = child.stdout.take().unwrap();
    std::io::Read::read_exact(&mut stdout, &mut told).unwrap();
    assert_eq!(&told, b"held\n");
    child
}

/// Makes everything below `dir` the sidecar's.
fn give_away(dir: &Path) {
    chown(dir, Some(SIDECAR), Some(SIDECAR)).unwrap();
    if dir.is_dir() {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
        for entry in fs::read_dir(dir).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}

fn records(purse: &Purse) -> Vec<Value> {
    let text = purse.exits(0, &["audit", "export"]);
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.map(|line| line.get("record").cloned().unwrap_or(line)).collect()
}
