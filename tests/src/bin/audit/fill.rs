//! A long journal, made fast: what a real sidecar recorded, written again and again by the journal itself.

use std::time::Instant;

use pursekeeper_core::ports::{Journal as _, Judged, Urgency};
use pursekeeper_core::{Digest, Entry, Moment, Outcome, RequestId, SignInOutcome, SignaturesMade};
use pursekeeper_journal::{Content, Reader, SqliteJournal};
use pursekeeper_tests::Purse;

use crate::house::JOURNAL;
use crate::load::{Load, MIXED};

/// Records of one transaction.
const BATCH: u64 = 1_000;
/// Records made by the real sidecar, to be written again.
const TEMPLATES: u64 = 300;
/// Permits whose signatures one record tells of.
const SIGNATURES: u64 = 8;

/// Real entries of each kind, and when the last was made.
struct Templates {
    permit: Entry,
    sign_in: Entry,
    denial: Entry,
    report: Entry,
    at: Moment,
    begun: Instant,
}

/// Fills the purse's journal until it has `records`, and returns how many it has. No sidecar runs.
pub(crate) fn fill(purse: &Purse, records: u64) -> u64 {
    let sidecar = purse.serve();
    let load = Load::begin(&sidecar.socket("agent"), "template", 4, MIXED);
    crate::house::until("there are templates", || crate::house::last_seq(&purse.file(JOURNAL)) > TEMPLATES);
    let _ = load.end();
    let stopped = sidecar.stop();
    assert!(stopped.success(), "{stopped}");
    let templates = Templates::read(purse);
    let id = Reader::open(&purse.file(JOURNAL)).unwrap().id();
    let mut journal = SqliteJournal::open(&purse.file(JOURNAL), id).unwrap();
    let mut last = crate::house::last_seq(&purse.file(JOURNAL));
    while last < records {
        let at = templates.now();
        let count = BATCH.min(records - last);
        let entries: Vec<Entry> = (1..=count).map(|step| templates.entry(last + step, step, at)).collect();
        let written =
            journal.commit(at, Urgency::Payment, &entries, |entry, _| Ok(Judged::Entry(entry.clone())));
        last += u64::try_from(written.unwrap().len()).unwrap();
    }
    journal.checkpoint().unwrap();
    last
}

impl Templates {
    fn read(purse: &Purse) -> Self {
        let reader = Reader::open(&purse.file(JOURNAL)).unwrap();
        let records = reader.records(1, 1_000).unwrap();
        let decoded: Vec<_> = records.iter().map(|stored| stored.decode().unwrap()).collect();
        let at = decoded.last().unwrap().time;
        let entries: Vec<Entry> = decoded
            .into_iter()
            .filter_map(|decoded| match decoded.content {
                Content::Entry(entry) => Some(entry),
                Content::Genesis(_) => None,
            })
            .collect();
        let find = |is: fn(&Entry) -> bool| entries.iter().find(|entry| is(entry)).unwrap().clone();
        Self {
            permit: find(|entry| entry.binding_permit().is_some()),
            sign_in: find(
                |entry| matches!(entry, Entry::SignIn(decision) if matches!(decision.outcome, SignInOutcome::Permit(_))),
            ),
            denial: find(
                |entry| matches!(entry, Entry::Payment(decision) if matches!(decision.outcome, Outcome::Deny { .. })),
            ),
            report: find(|entry| matches!(entry, Entry::Report(_))),
            at,
            begun: Instant::now(),
        }
    }

    /// The wall clock and the boot clock, as a sidecar would read them.
    fn now(&self) -> Moment {
        let ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap();
        Moment { unix_ms: self.at.unix_ms + ms, boot_ms: self.at.boot_ms + ms, boot_id: self.at.boot_id }
    }

    /// Record `seq`, the `step`-th of its transaction.
    fn entry(&self, seq: u64, step: u64, now: Moment) -> Entry {
        // The tenth of every ten tells of the signatures before it, so a permit is always where one is referred to.
        let place = (step - 1) % 10;
        match place {
            6 => sign_in(&self.sign_in, seq, now),
            7 => denial(&self.denial, seq, now),
            8 => report(&self.report, seq - 8, now),
            9 => {
                let hashes = (0..SIGNATURES.min(6)).map(|back| (seq - 9 + back, digest(seq, back))).collect();
                Entry::Signatures(Box::new(SignaturesMade { at: now, hashes }))
            }
            _ => permit(&self.permit, seq, now),
        }
    }
}

fn id(seq: u64) -> RequestId {
    RequestId::parse(&format!("fill-{seq}")).unwrap()
}

fn digest(seq: u64, more: u64) -> Digest {
    pursekeeper_journal::leaf_hash(&[seq.to_be_bytes(), more.to_be_bytes()].concat())
}

fn permit(template: &Entry, seq: u64, now: Moment) -> Entry {
    let mut entry = template.clone();
    if let Entry::Payment(decision) = &mut entry {
        (decision.at, decision.asked.request_id) = (now, id(seq));
        decision.fingerprint = digest(seq, 1);
        if let Outcome::Permit(permit) = &mut decision.outcome {
            (permit.intent.request_id, permit.intent.nonce) = (id(seq), digest(seq, 2).0);
            let lives = permit.held_until.0 - template.at().unix_ms / 1_000;
            permit.held_until.0 = now.unix_ms / 1_000 + lives;
        }
    }
    entry
}

fn sign_in(template: &Entry, seq: u64, now: Moment) -> Entry {
    let mut entry = template.clone();
    if let Entry::SignIn(decision) = &mut entry {
        (decision.at, decision.asked.request_id) = (now, id(seq));
        decision.fingerprint = digest(seq, 1);
        if let SignInOutcome::Permit(permit) = &mut decision.outcome {
            permit.intent.request_id = id(seq);
        }
    }
    entry
}

fn denial(template: &Entry, seq: u64, now: Moment) -> Entry {
    let mut entry = template.clone();
    if let Entry::Payment(decision) = &mut entry {
        (decision.at, decision.asked.request_id) = (now, id(seq));
    }
    entry
}

fn report(template: &Entry, original_seq: u64, now: Moment) -> Entry {
    let mut entry = template.clone();
    if let Entry::Report(report) = &mut entry {
        (report.at, report.original_seq) = (now, original_seq);
    }
    entry
}
