//! What is counted instead of being recorded each time.

use pursekeeper_core::ports::{Journal as _, Judged, Recorded, Urgency};
use pursekeeper_core::{
    DecisionId, Digest, Entry, IdentitySource, RepeatCaller, RepeatKind, Repeated, Repeats, Unauthenticated,
};

use crate::fixtures::{Home, ID, NOW, Pay, moment};
use crate::{Content, JournalError, SqliteJournal};

/// Records or counts one entry, as the gate would with a limit of `max`.
fn judge(journal: &mut SqliteJournal, entry: &Entry, max: u32) -> Recorded {
    let recorded = journal.commit(entry.at(), Urgency::Payment, &[()], |(), ledger| {
        let key = entry.repeat_key();
        let often = key.is_some_and(|key| ledger.recorded_lately(&key, entry.at()) >= max);
        Ok(if often { Judged::Repeat(entry.clone()) } else { Judged::Entry(entry.clone()) })
    });
    recorded.unwrap().remove(0)
}

fn denied(id: u64, at: u64) -> Entry {
    Pay::new(id, at).denied()
}

/// Records what is due at a time, and returns it.
fn flush(journal: &mut SqliteJournal, at: u64) -> Vec<Repeats> {
    let due = journal.due(moment(at));
    for repeats in &due {
        let entry = Entry::Repeated(Box::new(Repeated { at: moment(at), repeats: repeats.clone() }));
        judge(journal, &entry, 1);
    }
    due
}

#[test]
fn beyond_the_rate_equal_denials_are_counted_and_recorded_once_their_minute_is_over() {
    let home = Home::new();
    let mut journal = home.create();
    for id in 1..=3 {
        let Recorded::Entry { decision_id, .. } = judge(&mut journal, &denied(id, NOW), 3) else { panic!() };
        assert_eq!(decision_id.seq, id + 1);
    }
    for id in 4..=100 {
        let entry = denied(id, NOW + id % 60);
        let Recorded::Repeat { decision_id, entry: told } = judge(&mut journal, &entry, 3) else { panic!() };
        // The answer names the last record of the same, and says what this one would have said.
        assert_eq!((decision_id, told), (DecisionId::new(ID, 4), entry));
    }
    assert_eq!(journal.last_seq(), 4);
    assert!(journal.due(moment(NOW + 59)).is_empty());
    // Another code is another count.
    let pending = Pay::new(101, NOW).pending();
    assert!(pending.repeat_key().is_none(), "what has consequences is recorded each time");
    let [repeats] = flush(&mut journal, NOW + 60).try_into().unwrap();
    assert_eq!((repeats.count, repeats.like_seq, repeats.key.kind), (97, 4, RepeatKind::Payment));
    assert_eq!((repeats.first_ms, repeats.last_ms), ((NOW + 4) * 1000, (NOW + 40) * 1000));
    assert!(journal.due(moment(NOW + 600)).is_empty());
    let record = home.reader().record(5).unwrap().unwrap();
    let Content::Entry(Entry::Repeated(found)) = record.decode().unwrap().content else { panic!() };
    assert_eq!(found.repeats, repeats);
    // A new minute begins with records again.
    assert!(matches!(judge(&mut journal, &denied(200, NOW + 61), 3), Recorded::Entry { .. }));
    home.reader().verify(|_, _| ()).unwrap();
}

#[test]
fn a_count_survives_a_restart() {
    let home = Home::new();
    let mut journal = home.create();
    for id in 1..=10 {
        judge(&mut journal, &denied(id, NOW), 1);
    }
    drop(journal);
    let mut journal = home.open();
    let [repeats] = flush(&mut journal, NOW + 3_600).try_into().unwrap();
    assert_eq!((repeats.count, repeats.like_seq), (9, 2));
    drop(journal);
    assert!(home.open().due(moment(NOW + 7_200)).is_empty());
}

#[test]
fn a_batch_that_fails_counts_nothing() {
    let home = Home::new();
    let mut journal = home.create();
    judge(&mut journal, &denied(1, NOW), 1);
    judge(&mut journal, &denied(2, NOW), 1);
    let twice = [denied(3, NOW), Pay::new(4, NOW).permit(), Pay::new(4, NOW).permit()];
    let failed = journal.commit(moment(NOW), Urgency::Payment, &twice, |entry, _| {
        Ok(if entry.repeat_key().is_some() {
            Judged::Repeat(entry.clone())
        } else {
            Judged::Entry(entry.clone())
        })
    });
    assert!(matches!(failed, Err(JournalError::RequestIdTaken(_))));
    let [repeats] = journal.due(moment(NOW + 60)).try_into().unwrap();
    assert_eq!(repeats.count, 1);
    drop(journal);
    let [repeats] = home.open().due(moment(NOW + 60)).try_into().unwrap();
    assert_eq!(repeats.count, 1);
}

#[test]
fn strangers_beyond_a_number_count_as_one() {
    let home = Home::new();
    let mut journal = home.create();
    let stranger = |uid| {
        Entry::Unauthenticated(Box::new(Unauthenticated {
            at: moment(NOW),
            source: Some(IdentitySource::unix_peer(uid)),
            call: "Signer.SignPayment".to_owned(),
            message: format!("no agent has uid {uid}"),
            bundle: Digest([0xbb; 32]).into(),
        }))
    };
    for uid in 0..300 {
        judge(&mut journal, &stranger(uid), 1);
    }
    // 256 that are told apart, and one record for all others, of whom the rest are counted.
    assert_eq!(journal.last_seq(), 1 + 256 + 1);
    let [repeats] = journal.due(moment(NOW + 60)).try_into().unwrap();
    assert_eq!((repeats.key.caller, repeats.count), (RepeatCaller::Strangers, 300 - 257));
}
