//! What a payment costs, against a floor measured in the same run.
//!
//! `cargo bench` prints a table of ratios and writes `target/bench/summary.json`. Absolute times say something about the
//! machine, ratios about the program: only ratios have aims.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    reason = "a measurement that goes wrong must stop"
)]

mod floor;
mod load;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pursekeeper_api::v1::StatusRequest;
use pursekeeper_tests::{MemoryJournal, Purse, Sidecar};
use serde_json::json;

use load::Load;

/// Decisions in the journal whose opening is measured.
const LONG_JOURNAL_RECORDS: usize = 100_000;

/// One ratio, and what it should not exceed (or reach).
struct Ratio {
    what: &'static str,
    value: f64,
    aim: f64,
    at_most: bool,
}

fn main() {
    // `cargo test --benches` runs this too; measuring then would only cost time.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let disk = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let sync = floor::sync(disk);
    let commit = floor::commit(disk);
    let sign = floor::sign();
    println!("floor            p50");
    println!("  fdatasync      {sync:>10.1?}");
    println!("  durable commit {commit:>10.1?}");
    println!("  EIP-712 + k256 {sign:>10.1?}");

    let purse = Purse::init_in(disk);
    unlimited(&purse);
    let sidecar = purse.serve();
    let echo = runtime.block_on(load::echo(&sidecar, 1, 3_000));
    let echo_many = runtime.block_on(load::echo(&sidecar, 64, 20_000));
    println!("  echo           {:>10.1?}   64 clients {:.0}/s\n", echo.p50, echo_many.rate);

    println!("SignPayment      p50         p99         max         per second   fsyncs per decision");
    let durable: Vec<Load> = [(1, 2_000), (16, 16_000), (64, 30_000)]
        .map(|(clients, calls)| pay(&runtime, &sidecar, clients, calls))
        .into();
    assert!(sidecar.stop().success());

    let memory = Purse::init_in(Path::new("/dev/shm"));
    unlimited(&memory);
    let sidecar = memory.serve();
    println!("without durability (the same journal, in memory)");
    let volatile = pay(&runtime, &sidecar, 64, 30_000);
    assert!(sidecar.stop().success());

    let policies: Vec<(usize, Duration)> =
        [10, 100, 1_000, 10_000].map(|count| (count, judged(count))).into();
    println!("\npolicies         one decision");
    for (count, time) in &policies {
        println!("  {count:<14} {time:>10.1?}");
    }
    let (ready, rss_kib) = long_journal(&runtime, &purse);
    println!(
        "\nwith {LONG_JOURNAL_RECORDS} decisions: ready after {ready:.0?}, {} MiB resident",
        rss_kib / 1024
    );

    let secs = |time: Duration| time.as_secs_f64();
    let (one, many) = (&durable[0], &durable[2]);
    let ratios = [
        Ratio {
            what: "one client: p50 / (echo + commit)",
            value: secs(one.p50) / secs(echo.p50 + commit),
            aim: 1.6,
            at_most: true,
        },
        Ratio {
            what: "64 clients: rate / one sync per decision",
            value: many.rate * secs(commit),
            aim: 2.0,
            at_most: false,
        },
        Ratio {
            what: "64 clients: rate / without durability",
            value: many.rate / volatile.rate,
            aim: 0.6,
            at_most: false,
        },
        Ratio {
            what: "64 clients: worst / p50",
            value: secs(many.max) / secs(many.p50),
            aim: 20.0,
            at_most: true,
        },
        Ratio {
            what: "10,000 policies / 10",
            value: secs(policies[3].1) / secs(policies[0].1),
            aim: 1.2,
            at_most: true,
        },
        Ratio { what: "ready with 100,000 decisions, of 1 s", value: secs(ready), aim: 1.0, at_most: true },
        Ratio {
            what: "resident when idle, of 64 MiB",
            value: rss_kib as f64 / 65_536.0,
            aim: 1.0,
            at_most: true,
        },
    ];
    println!("\nratio                                        measured       aim");
    for Ratio { what, value, aim, at_most } in &ratios {
        let met = if *at_most { value <= aim } else { value >= aim };
        println!(
            "  {what:<42} {value:>8.2}  {} {aim:<5} {}",
            if *at_most { "≤" } else { "≥" },
            if met { "" } else { "MISSED" }
        );
    }
    let micros = |time: Duration| secs(time) * 1e6;
    let calls = |load: &Load| json!({ "p50_us": micros(load.p50), "p99_us": micros(load.p99), "max_us": micros(load.max), "per_second": load.rate, "fsyncs_per_decision": load.fsyncs });
    let summary = json!({
        "floor_us": { "fdatasync": micros(sync), "commit": micros(commit), "sign": micros(sign), "echo": micros(echo.p50) },
        "sign_payment": durable.iter().map(calls).collect::<Vec<_>>(),
        "without_durability": calls(&volatile),
        "policies_us": policies.iter().map(|(count, time)| json!({ "policies": count, "decision": micros(*time) })).collect::<Vec<_>>(),
        "ratios": ratios.iter().map(|ratio| json!({ "what": ratio.what, "value": ratio.value, "aim": ratio.aim })).collect::<Vec<_>>(),
    });
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("bench");
    fs::create_dir_all(&target).unwrap();
    fs::write(target.join("summary.json"), format!("{summary:#}\n")).unwrap();
}

/// Nothing is refused: what is measured is signing.
fn unlimited(purse: &Purse) {
    let registry = "policies/registry.yaml";
    purse.replace(
        registry,
        r#"usd: { payment: "0.05", hour: "1", day: "5" }"#,
        r#"usd: { payment: "0.05", hour: "100000000" }"#,
    );
    purse.replace(registry, "payments: { hour: 100 }", "payments: { hour: 100000000 }");
    purse.replace(
        registry,
        r#"ceilings: { usd: { day: "2" } }"#,
        r#"ceilings: { usd: { day: "100000000" } }"#,
    );
    purse.replace(
        registry,
        r#"usd: { day: "10", month: "100" }"#,
        r#"usd: { day: "100000000", month: "100000000" }"#,
    );
    purse.replace(
        registry,
        r#"ceilings: { usd: { day: "5" } }"#,
        r#"ceilings: { usd: { day: "100000000" } }"#,
    );
    purse.lift_call_limits();
    purse.replace("pursekeeper.yaml", "level: info", "level: warn");
}

fn pay(runtime: &tokio::runtime::Runtime, sidecar: &Sidecar, clients: usize, calls: usize) -> Load {
    let batches = || {
        runtime
            .block_on(async { sidecar.governance().await.status(StatusRequest {}).await })
            .unwrap()
            .into_inner()
            .batches
    };
    let before = batches();
    let mut load = runtime.block_on(load::pay(sidecar, clients, calls));
    load.fsyncs = Some((batches() - before) as f64 / calls as f64);
    let Load { p50, p99, max, rate, fsyncs } = &load;
    println!(
        "  {clients:>2} clients     {p50:>10.1?}  {p99:>10.1?}  {max:>10.1?}  {rate:>10.0}   {:.3}",
        fsyncs.unwrap_or_default()
    );
    load
}

/// One decision, in memory, when the bundle has `count` policies of other workflows besides.
fn judged(count: usize) -> Duration {
    let mut bench = load::Judge::new(count, MemoryJournal::default());
    floor::p50(2_000, || bench.decide())
}

/// How long a sidecar takes to listen with a long journal, and how large it is then.
fn long_journal(runtime: &tokio::runtime::Runtime, purse: &Purse) -> (Duration, u64) {
    let sidecar = purse.serve();
    runtime.block_on(load::pay(&sidecar, 64, LONG_JOURNAL_RECORDS.saturating_sub(48_000)));
    sidecar.kill();
    let start = Instant::now();
    let sidecar = purse.serve();
    let ready = start.elapsed();
    let status = fs::read_to_string(format!("/proc/{}/status", sidecar.pid())).unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib = rss.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(sidecar.stop().success());
    (ready, kib)
}
