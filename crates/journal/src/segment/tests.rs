//! Segments are what was recorded, or they are refused.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use pursekeeper_core::JournalId;

use super::*;
use crate::SqliteJournal;
use crate::fixtures::{Home, ID, NOW, Pay, moment, record, resolved, settled_for};
use pursekeeper_core::Usd;

/// A journal with permits, denials and what became of them.
fn journal(home: &Home, records: u64) -> SqliteJournal {
    let mut journal = home.create();
    fill(&mut journal, records);
    journal
}

fn fill(journal: &mut SqliteJournal, records: u64) {
    while journal.last_seq() < records {
        let seq = journal.last_seq() + 1;
        let pay = Pay::new(seq, NOW + seq);
        let entry = match seq % 4 {
            0 => resolved(seq - 1, settled_for(Usd::from_units(500)), NOW + seq),
            3 => pay.permit(),
            1 => pay.denied(),
            _ => pay.signed_in(),
        };
        record(journal, &[entry]).unwrap();
    }
}

fn seal(home: &Home, last: u64) -> Result<(PathBuf, Segment), SegmentError> {
    home.checkpoint(last);
    let seal = Seal { dir: home.archive(), last, verifier: Some("a key".to_owned()) };
    let segment = home.reader().archive(&seal, |_| true)?;
    Ok((seal.dir.join(file_name(ID, segment.first, segment.last)), segment))
}

fn walk(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, SegmentError> {
    let mut bodies = Vec::new();
    let tell = |stored: &crate::StoredRecord, _: &crate::DecodedRecord| {
        bodies.push(stored.body.clone());
        Ok(())
    };
    check_row(paths, tell, |_, _| Ok::<_, SegmentError>(()))?;
    Ok(bodies)
}

fn lines(path: &Path) -> Vec<String> {
    let mut text = String::new();
    GzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn pack(path: &Path, lines: &[String]) {
    let mut gzip = GzEncoder::new(fs::File::create(path).unwrap(), Compression::fast());
    for line in lines {
        writeln!(gzip, "{line}").unwrap();
    }
    gzip.finish().unwrap();
}

#[test]
fn a_row_of_segments_holds_exactly_the_records() {
    let home = Home::new();
    let mut journal = journal(&home, 1_100);
    let (one, segment) = seal(&home, 500).unwrap();
    journal.note_segment(&segment).unwrap();
    let (two, segment) = seal(&home, 1_100).unwrap();
    assert_eq!((segment.first, segment.last), (501, 1_100));
    let expected: Vec<Vec<u8>> =
        [home.reader().records(1, 1_000).unwrap(), home.reader().records(1_001, 1_000).unwrap()]
            .concat()
            .into_iter()
            .map(|stored| stored.body)
            .collect();
    assert_eq!(walk(&[one.clone(), two.clone()]).unwrap(), expected);
    assert_eq!(walk(std::slice::from_ref(&two)).unwrap(), expected[500..], "each can be verified on its own");
    let header = SegmentReader::open(&two).unwrap().header().clone();
    assert_eq!((header.journal, header.verifier.as_deref()), (ID, Some("a key")));
    assert_eq!(header.checkpoint, home.reader().checkpoint_at(500).unwrap());
    assert!(fs::read_dir(home.archive()).unwrap().all(|file| !file.unwrap().path().ends_with("part")));
}

#[test]
fn what_was_interrupted_before_it_was_noted_makes_the_same_file_again() {
    let home = Home::new();
    let mut journal = journal(&home, 300);
    let (path, first) = seal(&home, 200).unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::write(path.with_extension("part"), b"half of it").unwrap();
    let seal = Seal { dir: home.archive(), last: 200, verifier: Some("a key".to_owned()) };
    let again = home.reader().archive(&seal, |_| true).unwrap();
    assert_eq!((&again, fs::read(&path).unwrap() == bytes), (&first, true));
    assert!(home.reader().has_file(&home.archive(), &first).unwrap());
    journal.note_segment(&first).unwrap();
    journal.note_segment(&again).unwrap();
    assert_eq!(home.reader().segments().unwrap(), [first]);
}

#[test]
fn nothing_is_archived_that_no_checkpoint_is_about() {
    let home = Home::new();
    let mut journal = journal(&home, 100);
    let seal = |last| home.reader().archive(&Seal { dir: home.archive(), last, verifier: None }, |_| true);
    assert!(matches!(seal(50), Err(SegmentError::Unsigned(50))));
    home.checkpoint(50);
    home.tamper("UPDATE record SET body = CAST(replace(CAST(body AS TEXT), 'papers', 'pepers') AS BLOB) WHERE seq = 7");
    assert!(matches!(seal(50), Err(SegmentError::Tampered(what)) if what.contains("record 7 ")));
    home.tamper("UPDATE record SET body = CAST(replace(CAST(body AS TEXT), 'pepers', 'papers') AS BLOB) WHERE seq = 7");
    home.tamper("UPDATE checkpoint SET note = replace(note, char(10) || '50' || char(10), char(10) || '51' || char(10))");
    assert!(matches!(seal(50), Err(SegmentError::Tampered(what)) if what.contains("checkpoint")));
    home.tamper("DELETE FROM checkpoint");
    home.checkpoint(50);
    journal.note_segment(&seal(50).unwrap()).unwrap();
    assert!(matches!(seal(50), Err(SegmentError::Tampered(what)) if what.contains("already")));
    assert_eq!(
        fs::read_dir(home.archive())
            .unwrap()
            .filter(|file| file.as_ref().unwrap().path().extension() == Some("gz".as_ref()))
            .count(),
        1
    );
}

/// How a tampered file shows.
fn fault(paths: &[PathBuf]) -> String {
    match walk(paths) {
        Ok(_) => "sound".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_manipulation_of_a_segment_is_named() {
    let home = Home::new();
    let mut journal = journal(&home, 120);
    let (one, segment) = seal(&home, 40).unwrap();
    journal.note_segment(&segment).unwrap();
    let (two, segment) = seal(&home, 80).unwrap();
    journal.note_segment(&segment).unwrap();
    let (three, _) = seal(&home, 120).unwrap();
    let other = Home::new();
    let mut elsewhere = SqliteJournal::create(&other.path(), moment(NOW), JournalId([0xcd; 16])).unwrap();
    fill(&mut elsewhere, 80);
    other.checkpoint(40);
    let sealed =
        other.reader().archive(&Seal { dir: other.archive(), last: 40, verifier: None }, |_| true).unwrap();
    elsewhere.note_segment(&sealed).unwrap();
    other.checkpoint(80);
    other.reader().archive(&Seal { dir: other.archive(), last: 80, verifier: None }, |_| true).unwrap();
    let foreign = other.archive().join(file_name(JournalId([0xcd; 16]), 41, 80));

    let good = lines(&two);
    let bad = home.archive().join("bad.jsonl.gz");
    let edited = |at: usize, from: &str, to: &str| {
        let mut lines = good.clone();
        assert!(lines[at].contains(from), "{}", lines[at]);
        lines[at] = lines[at].replace(from, to);
        lines
    };
    let without = |at: usize| [&good[..at], &good[at + 1..]].concat();
    let swapped = |a: usize, b: usize| {
        let mut lines = good.clone();
        lines.swap(a, b);
        lines
    };
    // Line n is record 40 + n.
    let table: Vec<(&str, Vec<String>, &str)> = vec![
        ("an edited record", edited(7, "researcher", "researches"), "record of 41 to 80 was changed"),
        ("an edit that is not canonical", edited(7, "\"kind\":", "\"kind\": "), "record 47 is not canonical"),
        ("an edit that is no record", edited(7, "\"kind\":", "\"kine\":"), "record 47 cannot be read"),
        ("a dropped record", without(7), "record 47 says it is record 48"),
        ("a dropped last record", without(40), "record 80 cannot be read"),
        ("reordered records", swapped(7, 8), "record 47 says it is record 48"),
        ("a record twice", [&good[..8], &good[7..]].concat(), "record 48 says it is record 47"),
        (
            "the header of another segment",
            [&lines(&one)[..1], &good[1..]].concat(),
            "record 1 says it is record 41",
        ),
        ("another hash chain before", edited(0, "\"chain\":\"", "\"chain\":\"0"), "is no segment"),
        ("a checkpoint taken from before", edited(0, "\\n40\\n", "\\n41\\n"), "not about the 40 records"),
        ("another format", edited(0, "segment.v1", "segment.v2"), "format"),
        ("another root", edited(41, "\"root\":\"", "\"root\":\"0"), "record of 41 to 80 was changed"),
        ("another size in the checkpoint", edited(41, "\\n80\\n", "\\n79\\n"), "checkpoint is not about"),
        ("no trailer", good[..41].to_vec(), "cut off or damaged at record 81"),
        ("something behind the trailer", [&good[..], &good[..1]].concat(), "behind the trailer"),
        ("nothing", Vec::new(), "is no segment"),
    ];
    for (name, lines, expected) in table {
        pack(&bad, &lines);
        let fault = fault(std::slice::from_ref(&bad));
        assert!(fault.contains(expected), "{name}: {fault}");
    }
    // A changed chain, journal or frontier shows in the row, or in the trailer where there is no row.
    pack(&bad, &edited(0, "abab", "abac"));
    assert!(fault(&[one.clone(), bad.clone()]).contains("another journal"));

    let rows: Vec<(&str, Vec<&PathBuf>, &str)> = vec![
        ("a segment left out", vec![&one, &three], "begins with record 81, record 41 is next"),
        ("segments in another order", vec![&two, &one], "begins with record 1, record 81 is next"),
        ("a segment of another journal", vec![&one, &foreign], "another journal"),
    ];
    for (name, row, expected) in rows {
        let fault = fault(&row.into_iter().cloned().collect::<Vec<_>>());
        assert!(fault.contains(expected), "{name}: {fault}");
    }
    let bytes = fs::read(&two).unwrap();
    for cut in [0, 5, bytes.len() / 2, bytes.len() - 9, bytes.len() - 1] {
        fs::write(&bad, &bytes[..cut]).unwrap();
        let fault = fault(std::slice::from_ref(&bad));
        assert!(
            fault.contains("cut off or damaged at record") || fault.contains("is no segment"),
            "{cut}: {fault}"
        );
    }
    fs::write(&bad, [bytes.as_slice(), bytes.as_slice()].concat()).unwrap();
    assert!(fault(std::slice::from_ref(&bad)).contains("behind the trailer"));
}

#[test]
fn every_flipped_bit_of_a_segment_is_found_or_harmless() {
    let home = Home::new();
    let _journal = journal(&home, 16);
    let (path, _) = seal(&home, 16).unwrap();
    let (bytes, expected) = (fs::read(&path).unwrap(), walk(std::slice::from_ref(&path)).unwrap());
    let bad = home.archive().join("bad.jsonl.gz");
    let mut harmless = Vec::new();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&bad, &flipped).unwrap();
        if let Ok(found) = walk(std::slice::from_ref(&bad)) {
            assert_eq!(found, expected, "byte {at}");
            harmless.push(at);
        }
    }
    // RFC 1952: text flag, time, extra flags and operating system say nothing about the content, nor do the bits that fill up
    // the last byte of the compressed data.
    assert!(harmless.iter().all(|at| *at < 10 || *at == bytes.len() - 9), "{harmless:?}");
}

#[test]
fn an_import_has_a_row_for_every_record_and_appears_only_when_all_is_in_order() {
    let home = Home::new();
    let mut journal = journal(&home, 80);
    let (one, segment) = seal(&home, 40).unwrap();
    journal.note_segment(&segment).unwrap();
    let (two, _) = seal(&home, 80).unwrap();
    let into = home.archive().join("analysis.db");
    let broken = home.archive().join("bad.jsonl.gz");
    pack(&broken, &lines(&two)[..30]);
    assert!(import(&[one.clone(), broken], &into, |_| ()).is_err());
    assert_eq!((into.exists(), home.archive().join("analysis.db.part").exists()), (false, false));

    let imported = import(&[one.clone(), two], &into, |_| ()).unwrap();
    assert_eq!(imported, Some(Imported { first: 1, last: 80 }));
    assert!(import(&[one], &into, |_| ()).is_err(), "nothing is overwritten");
    let database = rusqlite::Connection::open(&into).unwrap();
    let all = "SELECT count(*) || ' ' || min(seq) || ' ' || max(seq) || ' ' || min(time) FROM record";
    let found: String = database.query_row(all, [], |row| row.get(0)).unwrap();
    assert_eq!(found, "80 1 80 2026-11-22T00:00:00.000Z");
    let paid =
        "SELECT count(*) FROM record WHERE kind = 'payment' AND verdict = 'permit' AND agent = 'researcher'
                AND usd = '0.001' AND network = 'eip155:84532' AND payee IS NOT NULL AND service = 'papers'";
    assert_eq!(database.query_row(paid, [], |row| row.get::<_, i64>(0)).unwrap(), 20);
    let about = "SELECT count(*) FROM record JOIN record AS permit ON permit.seq = record.about WHERE record.kind = 'evidence'";
    assert_eq!(database.query_row(about, [], |row| row.get::<_, i64>(0)).unwrap(), 20);
    let denied = "SELECT code FROM record WHERE verdict = 'deny' GROUP BY code";
    assert_eq!(database.query_row(denied, [], |row| row.get::<_, String>(0)).unwrap(), "CEILING_EXCEEDED");
    assert!(matches!(SqliteJournal::open(&into, ID), Err(crate::JournalError::Foreign(_))));
    let bodies = "SELECT body FROM record ORDER BY seq";
    let mut statement = database.prepare(bodies).unwrap();
    let stored: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let expected: Vec<String> = home
        .reader()
        .records(1, 80)
        .unwrap()
        .into_iter()
        .map(|record| String::from_utf8(record.body).unwrap())
        .collect();
    assert_eq!(stored, expected);
}
