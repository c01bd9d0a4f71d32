//! Bundles that change under load: none is ever mixed, none is half in force, and nobody waits for one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use pursekeeper_policy::{Bundle, BundleOptions, Draft};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tokio::runtime::Builder;

use crate::overspend::{Extent, Random, Tally};
use crate::probe::{health_port, probe, until_started};
use crate::{ConfigMap, Purse, Sidecar, request};

/// Swaps to a whole bundle, and to half of one: of everything and of a sample.
const SWAPS: [usize; 2] = [10_000, 150];
const HALVES: [usize; 2] = [1_000, 20];
/// Who asks meanwhile, each over a connection of its own.
const CLIENTS: usize = 4;
/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(2);
/// Between two swaps.
const SWAP_PAUSE: Duration = Duration::from_millis(3);
/// The longest answer under load that is no gap in serving.
const ANSWER_SECS_MAX: u64 = 5;
/// An amount in atomic units that every bundle lets pass, and one that its policy file forbids.
const AMOUNTS: [&str; 2] = ["1", "30000"];
const REGISTRY: &str = "registry.yaml";
const POLICY: &str = "team.cedar";

type Files = Vec<(String, String)>;

/// What clients and probes saw.
#[derive(Debug, Default)]
struct Seen {
    over: AtomicBool,
    answers: AtomicU64,
    probes: AtomicU64,
    slowest_micros: AtomicU64,
}

/// Swaps bundles while clients ask, and looks at every record.
///
/// # Panics
/// When the sidecar does not start.
#[must_use]
pub fn swaps(extent: Extent, bar: &ProgressBar) -> Tally {
    let [whole, halves] = [SWAPS, HALVES].map(|[everything, sample]| extent.choose(everything, sample));
    bar.set_length(u64::try_from(whole + halves).unwrap());
    let (mut tally, mut random) = (Tally::default(), Random::new(extent.seed()));
    let purse = Purse::init();
    let config = "reload: { watch: true, poll_secs: 1 }";
    purse.replace("pursekeeper.yaml", "reload: { watch: false }", config);
    purse.lift_repeat_limit();
    purse.lift_call_limits();
    purse.replace("policies/registry.yaml", "payments: { hour: 100 }", "payments: { hour: 1000000 }");
    let address = health_port(&purse);
    let mut map = ConfigMap::mount(&purse.file("policies"));
    let base = map.files();
    let mut known = BTreeMap::new();
    map.swap(&revision(&base, 0));
    known.insert(digest(&purse), 0);
    let sidecar = purse.serve();
    until_started(address);
    tally.ready_worst = sidecar.ready();
    let seen = Arc::new(Seen::default());
    let clients = let_loose(&sidecar, address, &seen);
    let (mut left, mut refused, mut waited) = (halves, 0, 0);
    for at in 1..=whole {
        map.swap(&revision(&base, at));
        known.insert(digest(&purse), at);
        bar.inc(1);
        thread::sleep(SWAP_PAUSE);
        // Spread over the whole of it.
        if left > 0 && random.below(whole) < halves {
            left -= 1;
            half(&mut map, &revision(&base, at), &mut random);
            waited += u64::from(left % 2 == 0 && until_refused(address, &mut refused));
            bar.inc(1);
            thread::sleep(SWAP_PAUSE);
        }
    }
    for _ in 0..left {
        half(&mut map, &revision(&base, whole), &mut random);
        waited += u64::from(until_refused(address, &mut refused));
        bar.inc(1);
    }
    tally.expect(waited > 0, || "no half-written bundle was waited for".to_owned());
    // What is mounted last comes into force.
    map.swap(&revision(&base, whole + 1));
    let last = digest(&purse);
    known.insert(last.clone(), whole + 1);
    let begun = Instant::now();
    while !purse.exits(0, &["status", "--output", "json"]).contains(&last) {
        if begun.elapsed() > Duration::from_secs(60) {
            tally.fault(format!("the last bundle is not in force: {}", sidecar.log()));
            break;
        }
    }
    seen.over.store(true, Ordering::Release);
    for client in clients {
        client.join().unwrap().into_iter().for_each(|fault| tally.fault(fault));
    }
    judge_seen(&seen, &mut tally);
    let stopped = sidecar.stop();
    tally.expect(stopped.success(), || format!("the sidecar ended with {stopped}"));
    let verified = purse.run(&["audit", "verify"]);
    tally.expect(verified.status.success(), || String::from_utf8_lossy(&verified.stdout).into_owned());
    let (applied, refused) = judge_records(&purse.file("journal/pursekeeper.db"), &known, &mut tally);
    tally.expect(applied > 0 && refused >= waited, || {
        format!("{applied} were applied and {refused} refused, of which {waited} were waited for")
    });
    tally.done = format!(
        "{whole} swaps and {halves} half-written: {applied} seen in time and applied, {refused} refused, none mixed; \
         {} probes ready, slowest answer {} ms",
        seen.probes.load(Ordering::Relaxed),
        seen.slowest_micros.load(Ordering::Relaxed) / 1_000
    );
    tally
}

/// A bundle that no other is like: its number is in the registry and in the policy file.
fn revision(base: &[(String, String)], at: usize) -> Files {
    let mut files: Files = base.to_vec();
    let (_, registry) = files.iter_mut().find(|(name, _)| name == REGISTRY).unwrap();
    let day = format!("usd: {{ day: \"{}\" }} }}\n\n#", 1_000 + at);
    assert!(registry.contains("usd: { day: \"2\" } }\n\n#"), "the starter's registry is another");
    *registry = registry.replace("usd: { day: \"2\" } }\n\n#", &day);
    let policy = format!(
        "@id(\"rev.n{at}\")\n@reason(\"revision {at} pays no more than 0.01 USD at a time\")\n\
         forbid (principal is Pursekeeper::Agent, action == Pursekeeper::Action::\"Pay\", resource)\n\
         when {{ context.payment.usd.greaterThan(decimal(\"0.01\")) }};\n"
    );
    files.push((POLICY.to_owned(), policy));
    files
}

/// Mounts something that was not written to its end: a file that stops somewhere, or is not there.
fn half(map: &mut ConfigMap, whole: &[(String, String)], random: &mut Random) {
    loop {
        let mut files = whole.to_vec();
        let which = random.below(files.len());
        if random.below(4) == 0 {
            files.retain(|(name, _)| name != REGISTRY);
        } else {
            let (_, text) = &mut files[which];
            let mut end = random.below(text.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
        }
        let text =
            |wanted: &str| files.iter().find(|(name, _)| name == wanted).map(|(_, text)| text.as_str());
        let policies: Vec<(&str, &str)> = text(POLICY).map(|text| (POLICY, text)).into_iter().collect();
        let valid = text(REGISTRY).is_some_and(|registry| {
            Bundle::from_parts(registry, &policies, BundleOptions { dev: true }).is_ok()
        });
        // Cut off in a comment at its end it would be a bundle all the same.
        if !valid {
            return map.swap(&files);
        }
    }
}

/// Waits until one more was refused than was known. Whether that happened.
fn until_refused(address: SocketAddr, known: &mut u64) -> bool {
    const REFUSED: &str = "pursekeeper_reloads_total{what=\"bundle\",result=\"refused\"} ";
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(ANSWER_SECS_MAX) {
        let text = probe(address, "/metrics", "").map(|probed| probed.body).unwrap_or_default();
        let refused = text.lines().find_map(|line| line.strip_prefix(REFUSED)?.parse().ok()).unwrap_or(0);
        if refused > *known {
            *known = refused;
            return true;
        }
        thread::sleep(SWAP_PAUSE);
    }
    false
}

fn digest(purse: &Purse) -> String {
    Draft::read(&purse.file("policies")).unwrap().digest().to_string()
}

/// Clients that ask, and one who probes, until it is over. Each hands back what was wrong.
fn let_loose(
    sidecar: &Sidecar,
    address: SocketAddr,
    seen: &Arc<Seen>,
) -> Vec<thread::JoinHandle<Vec<String>>> {
    let mut threads: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (seen, socket) = (seen.clone(), sidecar.socket("agent"));
            thread::spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let channel = pursekeeper_api::connect(socket).await.unwrap();
                    ask(&mut pursekeeper_api::Signer::new(channel), client, &seen).await
                })
            })
        })
        .collect();
    let seen = seen.clone();
    threads.push(thread::spawn(move || {
        let mut unready = Vec::new();
        while !seen.over.load(Ordering::Acquire) {
            let probed = probe(address, "/readyz", "");
            seen.probes.fetch_add(1, Ordering::Relaxed);
            if probed.as_ref().is_none_or(|probed| probed.status != 200) {
                unready.push(format!("a probe found it not ready: {probed:?}"));
            }
            thread::sleep(PAUSE);
        }
        unready
    }));
    threads
}

async fn ask(signer: &mut pursekeeper_api::Signer, client: usize, seen: &Seen) -> Vec<String> {
    let mut faults = Vec::new();
    let mut at = 0_u64;
    while !seen.over.load(Ordering::Acquire) && faults.len() < 5 {
        let amount = AMOUNTS[usize::from(at % 3 == 2)];
        let id = format!("c{client}-{at}");
        let begun = Instant::now();
        let answered = signer.sign_payment(request(&id, amount)).await;
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap();
        seen.slowest_micros.fetch_max(micros, Ordering::Relaxed);
        seen.answers.fetch_add(1, Ordering::Relaxed);
        if let Err(status) = answered {
            faults.push(format!("request {id} was not answered: {status}"));
        }
        at += 1;
        tokio::time::sleep(PAUSE).await;
    }
    faults
}

fn judge_seen(seen: &Seen, tally: &mut Tally) {
    let [answers, slowest] =
        [&seen.answers, &seen.slowest_micros].map(|number| number.load(Ordering::Relaxed));
    tally.expect(answers > 0, || "nobody was answered".to_owned());
    tally.expect(Duration::from_micros(slowest) < Duration::from_secs(ANSWER_SECS_MAX), || {
        format!("an answer took {slowest} µs")
    });
}

/// Whether each record was judged by one bundle that was mounted as a whole: the limit is that of its registry and the
/// policy that of its policy file. How many reloads were applied, and how many refused.
fn judge_records(journal: &Path, known: &BTreeMap<String, usize>, tally: &mut Tally) -> (u64, u64) {
    let connection = Connection::open_with_flags(journal, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut statement = connection.prepare("SELECT body FROM record ORDER BY seq").unwrap();
    let bodies = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    let (mut applied, mut refused) = (0, 0);
    for body in bodies {
        let record: Value = serde_json::from_slice(&body.unwrap()).unwrap();
        tally.decisions += 1;
        let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
        match text("/reload/result") {
            Some("applied") => applied += 1,
            Some(_) => refused += 1,
            None => {}
        }
        let seq = &record["seq"];
        let Some(bundle) = text("/bundle") else { continue };
        let Some(revision) = known.get(bundle) else {
            tally.fault(format!("a bundle that was never mounted judged record {seq}: {bundle}"));
            continue;
        };
        tally.released += u64::from(text("/verdict") == Some("permit"));
        for ceiling in record["ceilings"].as_array().into_iter().flatten() {
            if ceiling["scope"] == "agent" && ceiling["window"] == "day" {
                let limit = ceiling["limit"].as_str().unwrap_or_default();
                let expected = format!("{}.00", 1_000 + revision);
                tally.expect(limit == expected, || {
                    format!("the registry is not revision {revision}'s, record {seq}")
                });
            }
        }
        for policy in record.pointer("/denial/policies").and_then(Value::as_array).into_iter().flatten() {
            let id = policy["id"].as_str().unwrap_or_default();
            let own = id == format!("rev.n{revision}");
            tally.expect(own || !id.starts_with("rev."), || {
                format!("the policy is not revision {revision}'s, record {seq}")
            });
        }
    }
    (applied, refused)
}
