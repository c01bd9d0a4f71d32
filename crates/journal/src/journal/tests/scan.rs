//! Looking through the records.

use crate::fixtures::{Home, NOW, Pay, record};
use crate::{Reader, SqliteJournal, Stretch};

const EVERYTHING: Stretch = Stretch {
    first_seq: 1,
    last_seq: u64::MAX,
    newest_first: false,
    looked_at_max: usize::MAX,
    found_max: usize::MAX,
    found_bytes_max: usize::MAX,
};

/// A journal of the genesis and one payment a second, records 2 to 11, of which every other one is refused.
fn ten_payments(home: &Home) -> SqliteJournal {
    let mut journal = home.create();
    for n in 0..10 {
        let pay = Pay::new(n, NOW + n);
        let entry = if n % 2 == 0 { pay.permit() } else { pay.denied() };
        record(&mut journal, &[entry]).unwrap();
    }
    journal
}

/// All that is found in a stretch, page by page, and how many pages it took.
fn pages(reader: &Reader, mut stretch: Stretch, wanted: &str) -> (Vec<u64>, usize) {
    let (mut seqs, mut pages) = (Vec::new(), 0);
    let wanted = |body: &[u8]| String::from_utf8_lossy(body).contains(wanted);
    loop {
        let scanned = reader.scan(stretch, wanted).unwrap();
        seqs.extend(scanned.records.iter().map(|record| record.seq));
        pages += 1;
        match scanned.next_seq {
            None => return (seqs, pages),
            Some(next) if stretch.newest_first => stretch.last_seq = next,
            Some(next) => stretch.first_seq = next,
        }
    }
}

#[test]
fn pages_of_any_size_are_the_whole_in_both_directions() {
    let home = Home::new();
    let _journal = ten_payments(&home);
    let reader = home.reader();
    let all: Vec<u64> = (1..=11).collect();
    let refused = vec![3, 5, 7, 9, 11];
    let table = [
        (EVERYTHING, "", all.clone(), 1),
        (Stretch { found_max: 3, ..EVERYTHING }, "", all.clone(), 4),
        (Stretch { looked_at_max: 4, ..EVERYTHING }, "", all.clone(), 3),
        (Stretch { found_bytes_max: 1, ..EVERYTHING }, "", all.clone(), 11),
        (EVERYTHING, r#""verdict":"deny""#, refused.clone(), 1),
        (Stretch { looked_at_max: 1, ..EVERYTHING }, r#""verdict":"deny""#, refused.clone(), 12),
        (Stretch { found_max: 2, ..EVERYTHING }, r#""verdict":"deny""#, refused, 3),
        (Stretch { first_seq: 4, last_seq: 6, ..EVERYTHING }, "", vec![4, 5, 6], 1),
        (Stretch { first_seq: 12, ..EVERYTHING }, "", vec![], 1),
        (Stretch { first_seq: 6, last_seq: 4, ..EVERYTHING }, "", vec![], 1),
    ];
    for (stretch, wanted, expected, most_pages) in table {
        let (found, pages_) = pages(&reader, stretch, wanted);
        assert_eq!(found, expected, "{stretch:?}");
        assert!(pages_ <= most_pages, "{pages_} pages of {stretch:?}");
        let backwards = Stretch { newest_first: true, ..stretch };
        let (mut found, _) = pages(&reader, backwards, wanted);
        found.reverse();
        assert_eq!(found, expected, "{backwards:?}");
    }
}

#[test]
fn what_is_found_is_what_is_stored() {
    let home = Home::new();
    let _journal = ten_payments(&home);
    let reader = home.reader();
    assert_eq!(reader.scan(EVERYTHING, |_| true).unwrap().records, reader.records(1, 100).unwrap());
}

#[test]
fn a_time_is_a_place_in_the_journal() {
    let home = Home::new();
    let mut journal = ten_payments(&home);
    // The machine's clock falls behind: what is refused for it stands after everything that was earlier.
    record(&mut journal, &[Pay::new(20, NOW - 100).denied()]).unwrap();
    record(&mut journal, &[Pay::new(21, NOW + 20).permit()]).unwrap();
    let reader = home.reader();
    let table = [
        (0, 1),
        (NOW * 1_000 - 1, 1),
        (NOW * 1_000, 1),
        (NOW * 1_000 + 1, 3),
        ((NOW + 1) * 1_000, 3),
        ((NOW + 9) * 1_000, 11),
        ((NOW + 9) * 1_000 + 1, 13),
        ((NOW + 20) * 1_000, 13),
        ((NOW + 20) * 1_000 + 1, 14),
        (u64::MAX, 14),
    ];
    for (unix_ms, expected) in table {
        assert_eq!(reader.first_seq_at(unix_ms).unwrap(), expected, "{unix_ms}");
    }
    // What went into an archive is not looked for.
    home.tamper("DELETE FROM record WHERE seq < 6");
    assert_eq!((reader.first_seq().unwrap(), reader.first_seq_at(0).unwrap()), (6, 6));
    assert_eq!(reader.first_seq_at((NOW + 9) * 1_000).unwrap(), 11);
}
