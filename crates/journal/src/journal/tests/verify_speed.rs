//! What verifying costs. Run in release, alone, with `TMPDIR` on a disk:
//! `cargo test --release -p pursekeeper-journal verify_speed -- --ignored --nocapture`

use std::time::Duration;

use pursekeeper_core::{Claim, Entry};

use crate::fixtures::{Home, NOW, Pay, claimed, record, resolved, settled_for};
use crate::{Depth, Scrutiny};

/// Records of the journal that is measured.
const RECORDS_MIN: u64 = 300_000;

/// How long this thread has been running on a processor: what others do on this machine is not counted.
fn on_cpu() -> Duration {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(schedstat.split_whitespace().next().unwrap().parse().unwrap())
}

/// The most memory this process has had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Permits, some settled and some claimed, sign-ins and denials, of many services.
fn fill(home: &Home) {
    const SERVICES: [&str; 4] = ["papers", "maps", "weather", "quotes"];
    let mut journal = home.create();
    journal.connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
    let mut id = 0u64;
    while journal.last_seq() < RECORDS_MIN {
        let (at, first) = (NOW + id / 20, journal.last_seq() + 1);
        let mut entries: Vec<Entry> = Vec::new();
        for step in 0..1_000u64 {
            id += 1;
            let service = SERVICES.get(usize::try_from(id % 4).unwrap()).copied();
            let pay = Pay { service, payee: u8::try_from(id % 50).unwrap(), ..Pay::new(id, at) };
            entries.push(match step % 10 {
                0..5 => pay.permit(),
                5 => pay.signed_in(),
                6 | 7 => pay.denied(),
                8 => resolved(first + step - 8, settled_for(pay.intent().usd), at),
                _ => claimed(first + step - 8, Claim::Settled { transaction: Some("0xdd".into()) }, at),
            });
        }
        record(&mut journal, &entries).unwrap();
    }
    journal.checkpoint().unwrap();
}

#[test]
#[ignore = "measures; takes a minute; run alone and in release"]
fn verify_speed() {
    let home = Home::new();
    fill(&home);
    let reader = home.reader();
    for depth in [Depth::Records, Depth::Everything, Depth::Records, Depth::Everything] {
        let (before, memory) = (on_cpu(), peak_kib());
        let scrutiny = Scrutiny { depth, ..Scrutiny::default() };
        let verified = reader.verify_against(&scrutiny, |_, _| {}).unwrap();
        let taken = on_cpu() - before;
        let per_sec = u128::from(verified.records) * 1_000_000 / taken.as_micros();
        println!(
            "{depth:?}: {per_sec} records/s ({taken:?}), {} KiB more, {} bytes per record",
            peak_kib() - memory,
            std::fs::metadata(home.path()).unwrap().len() / verified.records
        );
    }
}
