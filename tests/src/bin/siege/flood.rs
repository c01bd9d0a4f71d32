//! What hostile clients send over HTTP/2, while a good one goes on paying.

use std::env;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use pursekeeper_tests::overspend::{Extent, Rules, Scene, Tally, pay};
use pursekeeper_tests::{Sidecar, until};
use serde_json::Value;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

/// Every attack of `attacks.py`.
const ATTACKS: [&str; 16] = [
    "rapid-reset",
    "continuation",
    "empty-continuation",
    "ping",
    "ping-and-read",
    "settings",
    "priority",
    "window-update",
    "hpack-bomb",
    "zero-window",
    "empty-data",
    "huge-message",
    "garbage",
    "calls",
    "slowloris",
    "connections",
];
/// How long each lasts, in seconds, of everything and of a sample.
const LASTS_SECS: [usize; 2] = [20, 3];
/// Attackers at a time.
const ATTACKERS: usize = 2;
/// Connections of those attackers that hold many.
const CONNECTIONS: &str = "10000";
/// Whose the attackers are, and the good client's is ours.
const STRANGER: u32 = 1009;
/// How much memory it may take under attack, as a multiple of what it takes without.
const MEMORY_TIMES_MAX: u64 = 2;
/// How much it may write to its log under one attack, in bytes.
const LOG_BYTES_MAX: u64 = 256 * 1024;
/// Between two looks at its memory.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Agents that pay before the idle memory is taken, and how often each.
const WARM_UP_AGENTS: usize = 32;
const WARM_UP_PAYMENTS: usize = 20;

pub(crate) fn run(extent: Extent, bar: &ProgressBar) -> Tally {
    let [everything, sample] = LASTS_SECS;
    let lasts = Duration::from_secs(u64::try_from(extent.choose(everything, sample)).unwrap());
    bar.set_length(u64::try_from(ATTACKS.len()).unwrap());
    let mut tally = Tally::default();
    let scene = Scene::new(Rules::of(&[]));
    // The limits are those that everybody has.
    scene.purse.replace(
        "pursekeeper.yaml",
        "peer_calls_per_sec_max: 1000000",
        "peer_calls_per_sec_max: 5000",
    );
    scene.purse.replace("pursekeeper.yaml", "agent.sock, mode: \"0660\"", "agent.sock, mode: \"0666\"");
    let scene = Arc::new(scene);
    open_to_all(&scene);
    let (mut paid, mut most) = (0, 0);
    for attack in ATTACKS {
        let (payments, memory) = bear(&scene, attack, lasts, &mut tally);
        paid += payments;
        most = most.max(memory);
        bar.inc(1);
    }
    scene.examine("after the floods", &mut tally);
    scene.close(&mut tally);
    tally.done = format!(
        "{} attacks of {} s, {paid} payments meanwhile, at most {most} % of the idle memory",
        ATTACKS.len(),
        lasts.as_secs()
    );
    tally
}

/// One attack; how many payments were made meanwhile, and the most memory, as per cent of that of the idle sidecar.
fn bear(scene: &Arc<Scene>, attack: &str, lasts: Duration, tally: &mut Tally) -> (usize, u64) {
    let mut sidecar = scene.serve(tally);
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut good = runtime.block_on(sidecar.signer());
    runtime.block_on(warm_up(scene, &sidecar, attack, tally));
    let idle = resident(&sidecar);
    let log_before = sidecar.log().len();
    let over = Arc::new(AtomicBool::new(false));
    let attackers: Vec<Child> = (0..ATTACKERS).map(|_| attacker(&sidecar, attack, lasts)).collect();
    let watched = thread::spawn({
        let (over, pid) = (over.clone(), sidecar.pid());
        move || {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = most.max(resident_of(pid).unwrap_or(0));
                thread::sleep(LOOK_INTERVAL);
            }
            most
        }
    });
    let begun = Instant::now();
    let (mut payments, mut longest) = (0, Duration::ZERO);
    while begun.elapsed() < lasts {
        // One connection that is there already, and a new one each time.
        let mut fresh = runtime.block_on(sidecar.signer());
        for (way, signer) in [("old", &mut good), ("new", &mut fresh)] {
            let (id, asked) = (format!("{attack}-{way}-{payments}"), Instant::now());
            let outcome = runtime.block_on(pay(signer, &scene.witness, &id, "1000"));
            longest = longest.max(asked.elapsed());
            tally.expect(outcome.is_signed(), || format!("{attack}: {way} connection: {outcome:?}"));
            payments += 1;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let mut sent = [0_u64; 3];
    for attacker in attackers {
        let output = attacker.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        tally.expect(output.status.success(), || format!("{attack}: the attacker failed: {text}"));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        for (sum, field) in sent.iter_mut().zip(["connections", "frames", "closed"]) {
            *sum += told[field].as_u64().unwrap_or(0);
        }
    }
    over.store(true, Ordering::Relaxed);
    let most = watched.join().unwrap().max(idle);
    tally.expect(sidecar.ended_within(Duration::ZERO).is_none(), || {
        format!("{attack}: the sidecar ended: {}", sidecar.log())
    });
    tally.expect(most <= idle * MEMORY_TIMES_MAX, || {
        format!("{attack}: {most} KiB of memory, and {idle} KiB when it was idle")
    });
    let logged = u64::try_from(sidecar.log().len() - log_before).unwrap();
    let of_payments = 512 * u64::try_from(payments).unwrap();
    tally.expect(logged <= LOG_BYTES_MAX + of_payments, || format!("{attack}: {logged} bytes were logged"));
    let [connections, frames, closed] = sent;
    tally.expect(connections > 0, || format!("{attack}: no connection was made"));
    eprintln!(
        "    {attack:<20} {connections:>7} connections {frames:>9} frames {closed:>7} closed; {payments:>5} payments, \
         longest {longest:>7.1?}; memory {idle} → {most} KiB"
    );
    let status = sidecar.stop();
    tally.expect(status.success(), || format!("{attack}: it ended with {status}"));
    (payments, most * 100 / idle)
}

/// Has the sidecar work as it does in a pod, so that what it takes for that is not put down to the attack: an allocator
/// keeps what a thread once needed.
async fn warm_up(scene: &Arc<Scene>, sidecar: &Sidecar, attack: &str, tally: &mut Tally) {
    let mut agents = JoinSet::new();
    for agent in 0..WARM_UP_AGENTS {
        let (scene, mut signer, id) = (scene.clone(), sidecar.signer().await, format!("{attack}-{agent}"));
        agents.spawn(async move {
            for at in 0..WARM_UP_PAYMENTS {
                let outcome = pay(&mut signer, &scene.witness, &format!("{id}-{at}"), "1000").await;
                if !outcome.is_signed() {
                    return Err(outcome);
                }
            }
            Ok(())
        });
    }
    for ended in agents.join_all().await {
        tally.expect(ended.is_ok(), || format!("{attack}: before it began: {ended:?}"));
    }
}

/// Lets other users reach the socket.
fn open_to_all(scene: &Scene) {
    use std::os::unix::fs::PermissionsExt as _;
    let mut dir = scene.purse.file("run");
    fs::create_dir_all(&dir).unwrap();
    while dir.starts_with(env::temp_dir()) {
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        dir = dir.parent().unwrap().to_owned();
    }
}

fn attacker(sidecar: &Sidecar, attack: &str, lasts: Duration) -> Child {
    let python = env::var("SIEGE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut command = Command::new(python);
    command.arg(env::var("SIEGE_ATTACKS").unwrap());
    command.arg(attack).arg(sidecar.socket("agent")).arg(lasts.as_secs().to_string()).arg(CONNECTIONS);
    command.arg(STRANGER.to_string()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn resident(sidecar: &Sidecar) -> u64 {
    let mut found = None;
    until("its memory is told", || {
        found = resident_of(sidecar.pid());
        found.is_some()
    });
    found.unwrap()
}

/// KiB that are in memory.
fn resident_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
