//! A journal of which some is archived and deleted verifies, or the fault is named.

use pursekeeper_core::Usd;

use super::retention::{DAY, archive, eventful, prune, quiet};
use crate::fixtures::{Home, ID, NOW, Pay, record, resolved, settled_for};
use crate::{JournalError, RECORDS_KEPT_MIN, Scrutiny, Verified, VerifyError};

/// A journal of which three segments are archived, the first two deleted, and which went on since.
fn pruned(home: &Home) -> u64 {
    let mut journal = home.create();
    let mut ends = vec![eventful(&mut journal)];
    quiet(&mut journal, 40, NOW + DAY);
    let late = Pay { usd: 7_000_000_000, ..Pay::new(900, NOW + DAY) };
    record(&mut journal, &[late.permit()]).unwrap();
    ends.push(journal.last_seq());
    quiet(&mut journal, RECORDS_KEPT_MIN / 2, NOW + 2 * DAY);
    ends.push(journal.last_seq());
    quiet(&mut journal, RECORDS_KEPT_MIN, NOW + 3 * DAY);
    let settled = resolved(ends[1], settled_for(Usd::from_units(11)), NOW + 4 * DAY);
    record(&mut journal, &[settled, Pay::new(901, NOW + 4 * DAY).permit()]).unwrap();
    for end in &ends {
        archive(home, &mut journal, *end);
    }
    let segments = home.reader().segments().unwrap();
    for segment in &segments[..2] {
        prune(&home.reader(), &mut journal, segment.last);
    }
    // A part of the third, as after a crash.
    journal.note_pruned(&segments[2]).unwrap();
    let page = home.reader().prunable(ends[1], ends[2]).unwrap();
    journal.prune(&page.records[..10]).unwrap();
    ends[1]
}

fn verify(home: &Home) -> Result<Verified, VerifyError> {
    let dir = home.archive();
    home.reader().verify_against(&Scrutiny { archive: Some(&dir), ..Scrutiny::default() }, |_, _| {})
}

#[test]
fn a_journal_verifies_with_what_is_archived_and_says_what_it_cannot_check_without() {
    let home = Home::new();
    let last = pruned(&home);
    let all = verify(&home).unwrap();
    assert_eq!(
        (all.records, all.unchecked, all.holds, all.resolved),
        (home.reader().last_seq().unwrap(), 0, 10, 7)
    );
    let without = home.reader().verify(|_, _| {}).unwrap();
    assert_eq!((without.records, without.last_chain, without.root), (all.records, all.last_chain, all.root));
    assert!(without.unchecked > last, "{without:?}");
    home.tamper(&format!("UPDATE record SET high_water_ms = 5 WHERE seq = {}", all.records));
    assert!(verify(&home).is_err());
}

#[test]
fn tampering_with_a_journal_of_which_some_is_archived_is_found() {
    let home = Home::new();
    pruned(&home);
    let dir = home.archive();
    let copy = Home::new();
    let fault = |sql: &str| {
        for suffix in ["", "-wal"] {
            let from = format!("{}{suffix}", home.path().display());
            std::fs::copy(from, format!("{}{suffix}", copy.path().display())).unwrap();
        }
        let _ = std::fs::remove_file(format!("{}-shm", copy.path().display()));
        copy.tamper(sql);
        copy.reader()
            .verify_against(&Scrutiny { archive: Some(&dir), ..Scrutiny::default() }, |_, _| {})
            .map_or_else(|error| error.to_string(), |_| format!("nothing is found: {sql}"))
    };
    let table = [
        ("UPDATE past SET payments = payments + 1", "table `past`"),
        ("UPDATE past SET last_ms = last_ms + 1", "table `past`"),
        ("DELETE FROM past", "table `past`"),
        (
            "INSERT INTO past SELECT 'x', wallet, endpoint, payments, usd, last_seq, last_ms FROM past LIMIT 1",
            "table `past`",
        ),
        ("DELETE FROM request WHERE seq < 10", "table `request`"),
        ("DELETE FROM claim WHERE permit = (SELECT min(permit) FROM claim)", "table `claim`"),
        ("DELETE FROM hold WHERE state = 'held' AND seq < 40", "table `hold`"),
        ("UPDATE scope SET payments = payments + 1", "table `bucket`"),
        ("UPDATE segment SET digest = zeroblob(32)", "as it was written"),
        ("UPDATE segment SET chain = zeroblob(32)", "table `segment`"),
        ("UPDATE segment SET frontier = zeroblob(length(frontier))", "table `segment`"),
        ("UPDATE segment SET pruned = 0", "is missing"),
        ("DELETE FROM segment", "is missing"),
        ("DELETE FROM segment WHERE first_seq = 1", "no segment begins with record 1"),
        ("DELETE FROM record WHERE seq = 1", "is missing"),
        (
            "DELETE FROM record WHERE seq IN (SELECT seq FROM hold WHERE state = 'held' AND seq < 40)",
            "is missing",
        ),
        ("DELETE FROM record WHERE seq IN (SELECT seq FROM status)", "is missing"),
        (
            "DELETE FROM record WHERE seq IN (SELECT claim.seq FROM claim JOIN hold ON hold.seq = permit WHERE state = 'held')",
            "is missing",
        ),
        (
            "UPDATE record SET body = CAST(replace(CAST(body AS TEXT), 'papers', 'pepers') AS BLOB) WHERE seq < 40",
            "hash chain",
        ),
        ("DELETE FROM record WHERE seq = (SELECT max(seq) - 3 FROM record)", "is missing"),
    ];
    for (sql, expected) in table {
        let fault = fault(sql);
        assert!(fault.contains(expected), "{sql}: {fault}");
    }
    // A record and its hold are taken away that were to stay: the archive still says what they were.
    let held = "DELETE FROM record WHERE seq IN (SELECT seq FROM hold WHERE state = 'held' AND seq < 40);
                DELETE FROM hold WHERE state = 'held' AND seq < 40";
    assert!(fault(held).contains("nothing resolved it"));
    std::fs::remove_file(dir.join(crate::file_name(ID, 1, home.reader().segments().unwrap()[0].last)))
        .unwrap();
    let lost = verify(&home).unwrap_err().to_string();
    assert!(lost.contains("put the file back"), "{lost}");
}

#[test]
fn a_proof_about_a_record_that_left_says_so() {
    let home = Home::new();
    let last = pruned(&home);
    let size = home.reader().last_seq().unwrap();
    let refused = home.reader().prove_inclusion(last - 1, size);
    assert!(matches!(refused, Err(JournalError::Archived { .. })), "{refused:?}");
    assert!(home.reader().prove_inclusion(size - 1, size).is_ok());
}
