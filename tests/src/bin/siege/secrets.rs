//! A look into the memory of the running process, as root, for a key that is in use.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use indicatif::ProgressBar;
use memchr::memmem;
use pursekeeper_tests::overspend::{Extent, Tally};
use pursekeeper_tests::{Purse, Sidecar, request, signed};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Builder;

/// Payments that are signed before the look, and how often there is a look.
const PAYMENTS: usize = 200;
const LOOKS: [usize; 2] = [10, 2];
/// Bytes that are read at a time.
const CHUNK: usize = 1 << 20;
/// Bytes of a key that are enough to be a part of it.
const PART: usize = 16;

/// A mapping of the process.
struct Mapping {
    begin: u64,
    end: u64,
    name: String,
    is_readable: bool,
    is_dumped: bool,
}

/// What is looked for: the bytes, and what they are.
type Needle = (Vec<u8>, &'static str);

pub(crate) fn run(extent: Extent, bar: &ProgressBar) -> Tally {
    let [everything, sample] = LOOKS;
    let looks = extent.choose(everything, sample);
    bar.set_length(u64::try_from(looks).unwrap());
    let mut tally = Tally::default();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (purse, key) = purse_with_key();
    let passphrase = fs::read(purse.file("passphrase")).unwrap();
    let needles = needles(&key, &passphrase);
    let mut sidecar = purse.serve();
    let (mut searched, mut unreadable) = (0, 0);
    for look in 0..looks {
        runtime.block_on(async {
            let mut signer = sidecar.signer().await;
            for at in 0..PAYMENTS {
                let _ = signed(signer.sign_payment(request(&format!("{look}-{at}"), "1")).await);
            }
        });
        let (bytes, closed) = search(&sidecar, &needles, &mut tally);
        (searched, unreadable) = (bytes, closed);
        bar.inc(1);
    }
    tally.released = u64::try_from(looks * PAYMENTS).unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", sidecar.pid())).unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap_or_default();
    tally.expect(cores.split_whitespace().nth(4) == Some("0"), || format!("it may dump a core: {cores}"));
    let pid = Pid::from_raw(i32::try_from(sidecar.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::ABORT).unwrap();
    let status = sidecar.ended_within(Duration::from_secs(60));
    tally.expect(status.is_some_and(|status| status.signal().is_some() && !status.core_dumped()), || {
        format!("aborted, it ended with {status:?}")
    });
    tally.done = format!(
        "{looks} looks into {} MiB after {PAYMENTS} payments each, {unreadable} mappings closed even to root, no core",
        searched >> 20
    );
    tally
}

/// A purse whose wallet has a key that we know.
fn purse_with_key() -> (Purse, [u8; 32]) {
    let purse = Purse::init();
    let mut key = [0; 32];
    SystemRandom::new().fill(&mut key).unwrap();
    fs::remove_file(purse.file("keystore/research-hot.json")).unwrap();
    let file = purse.file("key.hex");
    let mut digits = File::options().write(true).create_new(true).mode(0o600).open(&file).unwrap();
    digits.write_all(hex::encode(key).as_bytes()).unwrap();
    let import = ["wallet", "import", "research-hot", "--offline", "--output", "json", "--hex-file"];
    let output = purse.command(&import).arg(&file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    fs::remove_file(file).unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let address = said["address"].as_str().unwrap_or_else(|| panic!("no address in {said}")).to_owned();
    let registry = fs::read_to_string(purse.file("policies/registry.yaml")).unwrap();
    let wallet = registry.split("research-hot:").nth(1).unwrap();
    let before = wallet.split('"').nth(1).unwrap().to_owned();
    purse.replace("policies/registry.yaml", &before, &address);
    let (ceiling, none) = ("      payments: { hour: 100 }\n", "");
    purse.replace("policies/registry.yaml", ceiling, none);
    purse.lift_call_limits();
    (purse, key)
}

/// A key as files, JSON and arithmetic have it, and the passphrase. Half of a key is enough to be found.
fn needles(key: &[u8; 32], passphrase: &[u8]) -> Vec<Needle> {
    let reversed: Vec<u8> = key.iter().rev().copied().collect();
    let hexadecimal = hex::encode(key);
    // Base64 of what begins at a multiple of three bytes.
    let encoded = STANDARD_NO_PAD.encode(&key[..24]);
    let mut needles = Vec::new();
    for (bytes, what) in [(&key[..], "the key"), (&reversed[..], "the key as words")] {
        needles.push((bytes[..PART].to_vec(), what));
        needles.push((bytes[PART..].to_vec(), what));
    }
    needles.push((hexadecimal.as_bytes()[..2 * PART].to_vec(), "the key in hexadecimal"));
    needles.push((hexadecimal.to_uppercase().as_bytes()[..2 * PART].to_vec(), "the key in hexadecimal"));
    needles.push((encoded.into_bytes(), "the key in base64"));
    needles.push((passphrase.trim_ascii().to_vec(), "the passphrase"));
    needles
}

/// Looks everywhere. How much was read, and how many mappings could not be.
fn search(sidecar: &Sidecar, needles: &[Needle], tally: &mut Tally) -> (u64, usize) {
    let memory = File::open(format!("/proc/{}/mem", sidecar.pid())).unwrap();
    let (mut read, mut unreadable, mut control) = (0, 0, false);
    for mapping in mappings(sidecar).iter().filter(|mapping| mapping.is_readable) {
        let Mapping { begin, end, name, is_readable: _, is_dumped } = mapping;
        let overlap = u64::try_from(needles.iter().map(|(bytes, _)| bytes.len()).max().unwrap()).unwrap();
        let mut at = *begin;
        while at < *end {
            let len = usize::try_from((end - at).min(u64::try_from(CHUNK).unwrap())).unwrap();
            let mut bytes = vec![0; len];
            if memory.read_exact_at(&mut bytes, at).is_err() {
                unreadable += 1;
                break;
            }
            read += u64::try_from(len).unwrap();
            control |= contains(&bytes, b"research-hot");
            for (needle, what) in needles {
                tally.expect(!contains(&bytes, needle), || {
                    format!(
                        "{what} is in {name} at {at:x}, which is{} dumped",
                        if *is_dumped { "" } else { " not" }
                    )
                });
            }
            at += u64::try_from(len).unwrap();
            if at < *end {
                at -= overlap;
            }
        }
    }
    tally.expect(control, || "the wallet's name was not found either: the search looks nowhere".to_owned());
    (read, unreadable)
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    memmem::find(bytes, needle).is_some()
}

/// What a core would be made of, and what not.
fn mappings(sidecar: &Sidecar) -> Vec<Mapping> {
    let text = fs::read_to_string(format!("/proc/{}/smaps", sidecar.pid())).unwrap();
    let mut mappings = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(first), second) = (words.next(), words.next()) else { continue };
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            let last: &mut Mapping = mappings.last_mut().unwrap();
            last.is_dumped = !flags.split_whitespace().any(|flag| flag == "dd");
        } else if let Some((begin, end)) = first.split_once('-')
            && let (Ok(begin), Ok(end)) = (u64::from_str_radix(begin, 16), u64::from_str_radix(end, 16))
        {
            let is_readable = second.is_some_and(|flags| flags.starts_with('r'));
            let name = words.nth(3).unwrap_or("anonymous memory").to_owned();
            mappings.push(Mapping { begin, end, name, is_readable, is_dumped: true });
        }
    }
    mappings
}
