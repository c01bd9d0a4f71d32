//! The end cut off, and history written anew: by somebody who has everything but the audit key, and makes chain, tree and
//! tables consistent again.

use pursekeeper_core::{Digest, JournalId};
use pursekeeper_journal::{chain_next, chain_start, leaf_hash};
use pursekeeper_tests::overspend::Random;
use rusqlite::{Connection, params};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::records::shift;
use super::trail::Trail;
use super::{Change, Truth};

/// The lowest level of the tree that is kept.
const LEVEL_MIN: u32 = 10;

/// Every way.
pub(super) const ALL: &[(&str, Change)] = &[
    ("cut off the end", cut),
    ("cut off the end, checkpoints too", cut_with_checkpoints),
    ("cut off more of the end, with every row of it", cut_deep),
    ("rewrite history from a record on", rewrite),
    ("rewrite history, without checkpoints", rewrite_without_checkpoints),
    ("delete a record and rewrite history", delete_and_rewrite),
    ("insert a record and rewrite history", insert_and_rewrite),
    ("add a record at the end", append),
    ("add a trigger", trigger),
    ("drop an index", drop_index),
];

fn integer(seq: u64) -> i64 {
    i64::try_from(seq).unwrap()
}

/// Deletes the records after `last`, and what the tree, checkpoints, sinks and segments know of them.
fn cut_after(connection: &Connection, last: u64, checkpoints: bool) {
    connection.execute("DELETE FROM record WHERE seq > ?1", [integer(last)]).unwrap();
    connection.execute("DELETE FROM node WHERE (n + 1) << level > ?1", [integer(last)]).unwrap();
    connection.execute("UPDATE sink SET acked = min(acked, ?1)", [integer(last)]).unwrap();
    connection.execute("DELETE FROM segment WHERE last_seq > ?1", [integer(last)]).unwrap();
    connection.execute("DELETE FROM repeat", []).unwrap();
    if checkpoints {
        connection.execute("DELETE FROM checkpoint WHERE size > ?1", [integer(last)]).unwrap();
    }
}

/// Where the end is cut off so that no table shows it.
fn quiet(trail: &Trail, random: &mut Random) -> u64 {
    let most = trail.last() - trail.quiet_from;
    trail.last() - 1 - u64::try_from(random.below(usize::try_from(most).unwrap())).unwrap()
}

fn cut(connection: &Connection, trail: &Trail, random: &mut Random) -> Truth {
    let last = quiet(trail, random);
    cut_after(connection, last, false);
    Truth::At(last + 1)
}

fn cut_with_checkpoints(connection: &Connection, trail: &Trail, random: &mut Random) -> Truth {
    let last = quiet(trail, random);
    cut_after(connection, last, true);
    Truth::At(last + 1)
}

fn cut_deep(connection: &Connection, trail: &Trail, random: &mut Random) -> Truth {
    let last = 2 + u64::try_from(random.below(trail.records.len() - 2)).unwrap();
    cut_after(connection, last, true);
    for table in ["hold", "request", "claim", "status", "life", "void"] {
        connection.execute(&format!("DELETE FROM {table} WHERE seq > ?1"), [integer(last)]).unwrap();
    }
    connection
        .execute("DELETE FROM payee WHERE coalesce(pending_seq, accepted_seq) > ?1", [integer(last)])
        .unwrap();
    Truth::Unknown
}

/// The bodies of all records as they stand now, by number.
fn bodies(connection: &Connection) -> Vec<(Vec<u8>, i64)> {
    let mut statement = connection.prepare("SELECT body, high_water_ms FROM record ORDER BY seq").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Makes chain, high-water marks and tree right for whatever the records say now, from `from` on.
fn recompute(connection: &Connection, from: u64) {
    let id: [u8; 16] = connection.query_row("SELECT journal FROM meta", [], |row| row.get(0)).unwrap();
    let mut chain = chain_start(JournalId(id));
    let mut high_water_ms = 0;
    let mut leaves = Vec::new();
    let sql = "UPDATE record SET body = ?2, chain = ?3, high_water_ms = ?4 WHERE seq = ?1";
    let mut update = connection.prepare(sql).unwrap();
    for (seq, (body, _)) in (1_u64..).zip(bodies(connection)) {
        let mut told: Value = serde_json::from_slice(&body).unwrap();
        let body = if told["seq"] == seq {
            body
        } else {
            told["seq"] = Value::from(seq);
            serde_json::to_vec(&told).unwrap()
        };
        let leaf = leaf_hash(&body);
        chain = chain_next(chain, leaf);
        high_water_ms = high_water_ms.max(told["time"]["unix_ms"].as_i64().unwrap());
        leaves.push(leaf);
        if seq >= from {
            update.execute(params![integer(seq), body, chain.0, high_water_ms]).unwrap();
        }
    }
    drop(update);
    put_nodes(connection, leaves);
}

/// Every complete subtree that is kept (RFC 6962 §2.1).
fn put_nodes(connection: &Connection, leaves: Vec<Digest>) {
    connection.execute("DELETE FROM node", []).unwrap();
    let mut insert = connection.prepare("INSERT INTO node (level, n, hash) VALUES (?1, ?2, ?3)").unwrap();
    let (mut level, mut hashes) = (0_u32, leaves);
    while !hashes.is_empty() {
        if level >= LEVEL_MIN {
            for (n, hash) in (0_i64..).zip(&hashes) {
                insert.execute(params![level, n, hash.0]).unwrap();
            }
        }
        hashes = hashes.chunks_exact(2).map(|pair| node(pair[0], pair[1])).collect();
        level += 1;
    }
}

/// The node over two (RFC 6962 §2.1).
fn node(left: Digest, right: Digest) -> Digest {
    Digest(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The roots of the largest complete subtrees over all leaves, the largest first, one after the other.
pub(super) fn edge(leaves: &[Digest]) -> Vec<u8> {
    let (mut edge, mut rest) = (Vec::new(), leaves);
    while !rest.is_empty() {
        let (subtree, others) = rest.split_at(1 << rest.len().ilog2());
        let mut hashes = subtree.to_vec();
        while hashes.len() > 1 {
            hashes = hashes.chunks_exact(2).map(|pair| node(pair[0], pair[1])).collect();
        }
        edge.extend(hashes[0].0);
        rest = others;
    }
    edge
}

/// Edits what nothing in any table follows from, and returns in which record.
fn edit_text(connection: &Connection, trail: &Trail, random: &mut Random) -> u64 {
    loop {
        let at = 1 + random.below(trail.records.len() - 1);
        let mut body: Value = serde_json::from_slice(&trail.records[at].0).unwrap();
        let Some(url) = body.pointer_mut("/asked/endpoint/url") else { continue };
        *url = Value::from("https://api.example.com/v1/other");
        let seq = u64::try_from(at).unwrap() + 1;
        put(connection, seq, &body);
        return seq;
    }
}

fn put(connection: &Connection, seq: u64, body: &Value) {
    let bytes = serde_json::to_vec(body).unwrap();
    connection.execute("UPDATE record SET body = ?2 WHERE seq = ?1", params![integer(seq), bytes]).unwrap();
}

/// The last checkpoint in the journal that is not over `seq`.
fn agreed_before(connection: &Connection, seq: u64) -> u64 {
    let sql = "SELECT coalesce(max(size), 0) FROM checkpoint WHERE size < ?1";
    u64::try_from(connection.query_row(sql, [integer(seq)], |row| row.get::<_, i64>(0)).unwrap()).unwrap()
}

fn rewrite(connection: &Connection, trail: &Trail, random: &mut Random) -> Truth {
    let seq = edit_text(connection, trail, random);
    recompute(connection, seq);
    Truth::Within(agreed_before(connection, seq) + 1, seq)
}

fn rewrite_without_checkpoints(connection: &Connection, trail: &Trail, random: &mut Random) -> Truth {
    let seq = edit_text(connection, trail, random);
    recompute(connection, seq);
    connection.execute("DELETE FROM checkpoint", []).unwrap();
    connection.execute("DELETE FROM segment", []).unwrap();
    Truth::Within(1, seq)
}

fn delete_and_rewrite(connection: &Connection, trail: &Trail, random: &mut Random) -> Truth {
    let seq = quiet(trail, random);
    connection.execute("DELETE FROM record WHERE seq = ?1", [integer(seq)]).unwrap();
    shift(connection, seq + 1, -1);
    recompute(connection, seq);
    connection.execute("DELETE FROM checkpoint WHERE size >= ?1", [integer(seq)]).unwrap();
    Truth::Count(trail.last())
}

fn insert_and_rewrite(connection: &Connection, trail: &Trail, random: &mut Random) -> Truth {
    let seq = quiet(trail, random);
    shift(connection, seq, 1);
    let sql = "INSERT INTO record (seq, body, chain, high_water_ms)
               SELECT ?1, body, chain, high_water_ms FROM record WHERE seq = ?1 + 1";
    connection.execute(sql, [integer(seq)]).unwrap();
    recompute(connection, seq);
    connection.execute("DELETE FROM checkpoint WHERE size >= ?1", [integer(seq)]).unwrap();
    Truth::Within(agreed_before(connection, seq) + 1, seq)
}

fn append(connection: &Connection, trail: &Trail, _: &mut Random) -> Truth {
    let sql = "INSERT INTO record (seq, body, chain, high_water_ms)
               SELECT seq + 1, body, chain, high_water_ms FROM record WHERE seq = ?1";
    connection.execute(sql, [integer(trail.last())]).unwrap();
    recompute(connection, trail.last() + 1);
    Truth::Beyond("a record after the last checkpoint, which no checkpoint is over yet")
}

fn trigger(connection: &Connection, _: &Trail, _: &mut Random) -> Truth {
    let sql = "CREATE TRIGGER forget AFTER INSERT ON hold BEGIN DELETE FROM hold WHERE seq = new.seq; END";
    connection.execute_batch(sql).unwrap();
    Truth::Unknown
}

fn drop_index(connection: &Connection, _: &Trail, _: &mut Random) -> Truth {
    connection.execute_batch("DROP INDEX hold_nonce").unwrap();
    Truth::Unknown
}
