//! Records that are edited, deleted, moved, inserted and doubled by somebody who leaves the rest as it is.

use pursekeeper_tests::overspend::Random;
use rusqlite::{Connection, params};
use serde_json::Value;

use super::trail::Trail;
use super::{Change, Truth};

/// Every way.
pub(super) const ALL: &[(&str, Change)] = &[
    ("edit a byte of a record", edit_byte),
    ("edit a number of a record", edit_number),
    ("edit a link of the chain", edit_chain),
    ("edit a high-water mark", edit_high_water),
    ("delete a record", delete_one),
    ("delete a record and close the gap", delete_and_close),
    ("delete the first record", delete_first),
    ("swap two records", swap),
    ("swap two whole rows", swap_rows),
    ("insert a record", insert),
    ("double a record", double),
    ("move a record to the end", renumber),
    ("move every record from one on", renumber_rest),
];

/// A random record, which is not the first.
fn any(trail: &Trail, random: &mut Random) -> u64 {
    2 + u64::try_from(random.below(trail.records.len() - 1)).unwrap()
}

fn body(trail: &Trail, seq: u64) -> &[u8] {
    &trail.records[usize::try_from(seq).unwrap() - 1].0
}

fn integer(seq: u64) -> i64 {
    i64::try_from(seq).unwrap()
}

fn put_body(connection: &Connection, seq: u64, body: &[u8]) {
    let sql = "UPDATE record SET body = ?2 WHERE seq = ?1";
    assert_eq!(connection.execute(sql, params![integer(seq), body]).unwrap(), 1);
}

/// Moves every record from one on by one place, up or down.
pub(super) fn shift(connection: &Connection, from: u64, by: i64) {
    let out_of_the_way = "UPDATE record SET seq = -seq WHERE seq >= ?1";
    connection.execute(out_of_the_way, [integer(from)]).unwrap();
    connection.execute("UPDATE record SET seq = ?1 - seq WHERE seq < 0", [by]).unwrap();
}

fn edit_byte(connection: &Connection, trail: &Trail, random: &mut Random) -> Truth {
    let seq = any(trail, random);
    let mut bytes = body(trail, seq).to_vec();
    let at = random.below(bytes.len());
    bytes[at] ^= 1 << random.below(8);
    put_body(connection, seq, &bytes);
    Truth::At(seq)
}

fn edit_number(connection: &Connection, trail: &Trail, random: &mut Random) -> Truth {
    let (mut seq, mut edited) = (0, None);
    while edited.is_none() {
        seq = any(trail, random);
        edited = dearer(body(trail, seq));
    }
    put_body(connection, seq, &edited.unwrap());
    Truth::At(seq)
}

/// The same payment over another amount, in canonical bytes.
fn dearer(body: &[u8]) -> Option<Vec<u8>> {
    let mut body: Value = serde_json::from_slice(body).unwrap();
    let amount = body.pointer_mut("/intent/terms/amount")?;
    *amount = Value::from(if amount.as_str() == Some("7") { "8" } else { "7" });
    Some(serde_json::to_vec(&body).unwrap())
}

fn edit_chain(connection: &Connection, trail: &Trail, random: &mut Random) -> Truth {
    let seq = any(trail, random);
    let mut chain = trail.records[usize::try_from(seq).unwrap() - 1].1.clone();
    chain[random.below(32)] ^= 1 << random.below(8);
    connection.execute("UPDATE record SET chain = ?2 WHERE seq = ?1", params![integer(seq), chain]).unwrap();
    Truth::At(seq)
}

fn edit_high_water(connection: &Connection, trail: &Trail, random: &mut Random) -> Truth {
    let seq = any(trail, random);
    let by = i64::try_from(random.below(100_000)).unwrap() + 1;
    let sql = "UPDATE record SET high_water_ms = high_water_ms + ?2 WHERE seq = ?1";
    connection.execute(sql, [integer(seq), if random.below(2) == 0 { by } else { -by }]).unwrap();
    Truth::At(seq)
}

fn delete_one(connection: &Connection, trail: &Trail, random: &mut Random) -> Truth {
    let seq = any(trail, random);
    connection.execute("DELETE FROM record WHERE seq = ?1", [integer(seq)]).unwrap();
    Truth::At(seq)
}

fn delete_and_close(connection: &Connection, trail: &Trail, random: &mut Random) -> Truth {
    let seq = any(trail, random);
    connection.execute("DELETE FROM record WHERE seq = ?1", [integer(seq)]).unwrap();
    shift(connection, seq + 1, -1);
    Truth::At(seq)
}

fn delete_first(connection: &Connection, _: &Trail, _: &mut Random) -> Truth {
    connection.execute("DELETE FROM record WHERE seq = 1", []).unwrap();
    Truth::At(1)
}

fn two(trail: &Trail, random: &mut Random) -> [u64; 2] {
    loop {
        let (a, b) = (any(trail, random), any(trail, random));
        if body(trail, a) != body(trail, b) {
            return [a.min(b), a.max(b)];
        }
    }
}

fn swap(connection: &Connection, trail: &Trail, random: &mut Random) -> Truth {
    let [first, second] = two(trail, random);
    put_body(connection, first, body(trail, second));
    put_body(connection, second, body(trail, first));
    Truth::At(first)
}

fn swap_rows(connection: &Connection, trail: &Trail, random: &mut Random) -> Truth {
    let [first, second] = two(trail, random).map(integer);
    for (from, to) in [(first, -1), (second, first), (-1, second)] {
        connection.execute("UPDATE record SET seq = ?2 WHERE seq = ?1", [from, to]).unwrap();
    }
    Truth::At(u64::try_from(first).unwrap())
}

fn insert(connection: &Connection, trail: &Trail, random: &mut Random) -> Truth {
    let (seq, like) = (any(trail, random), any(trail, random));
    shift(connection, seq, 1);
    let mut forged: Value = serde_json::from_slice(body(trail, like)).unwrap();
    forged["seq"] = Value::from(seq);
    put_like(connection, seq, like + u64::from(like >= seq), &serde_json::to_vec(&forged).unwrap());
    Truth::At(seq)
}

fn double(connection: &Connection, trail: &Trail, random: &mut Random) -> Truth {
    let seq = any(trail, random);
    shift(connection, seq + 1, 1);
    put_like(connection, seq + 1, seq, body(trail, seq));
    Truth::At(seq + 1)
}

/// A record at `seq`, with chain and high-water mark of another.
fn put_like(connection: &Connection, seq: u64, like: u64, body: &[u8]) {
    let sql = "INSERT INTO record (seq, body, chain, high_water_ms)
               SELECT ?1, ?3, chain, high_water_ms FROM record WHERE seq = ?2";
    assert_eq!(connection.execute(sql, params![integer(seq), integer(like), body]).unwrap(), 1);
}

fn renumber(connection: &Connection, trail: &Trail, random: &mut Random) -> Truth {
    let seq = any(trail, random).min(trail.last() - 1);
    let sql = "UPDATE record SET seq = ?2 WHERE seq = ?1";
    connection.execute(sql, [integer(seq), integer(trail.last() + 1)]).unwrap();
    Truth::At(seq)
}

fn renumber_rest(connection: &Connection, trail: &Trail, random: &mut Random) -> Truth {
    let seq = any(trail, random);
    shift(connection, seq, 1);
    Truth::At(seq)
}
