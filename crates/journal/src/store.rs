//! Every statement on the way of a decision. Each is prepared once per connection.

use pursekeeper_core::{AgentName, Decision, Digest, Permit, RequestId, Scope, Status, Subject, Usd};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::JournalError;
use crate::account::{Bucket, Sum};
use crate::outstanding::endpoint_key;
use crate::record::{address_text, scope_name, subject_name};
use crate::state::Tip;

/// As SQLite stores it. Nothing the journal counts comes near the end of a signed 64-bit integer.
pub(crate) fn integer(value: u64) -> Result<i64, JournalError> {
    i64::try_from(value).map_err(|_| JournalError::TotalTooLarge)
}

/// As it was stored.
pub(crate) fn unsigned(value: i64) -> Result<u64, JournalError> {
    u64::try_from(value).map_err(|_| JournalError::damaged("a number in it is negative"))
}

pub(crate) fn usd_bytes(usd: Usd) -> [u8; 16] {
    usd.units().to_be_bytes()
}

pub(crate) fn run(connection: &Connection, command: &str) -> Result<(), JournalError> {
    connection.prepare_cached(command)?.execute([])?;
    Ok(())
}

pub(crate) fn insert_record(connection: &Connection, tip: &Tip, body: &[u8]) -> Result<(), JournalError> {
    let Tip { seq, chain, high_water_ms } = tip;
    let sql = "INSERT INTO record (seq, body, chain, high_water_ms) VALUES (?1, ?2, ?3, ?4)";
    let row = params![integer(*seq)?, body, chain.0, integer(*high_water_ms)?];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

pub(crate) fn insert_request(
    connection: &Connection,
    seq: u64,
    decision: &Decision,
    permit: &Permit,
) -> Result<(), JournalError> {
    let intent = &permit.intent;
    let sql = "INSERT INTO request (agent, request_id, seq, fingerprint) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO NOTHING";
    let row =
        params![intent.agent.as_str(), intent.request_id.as_str(), integer(seq)?, decision.fingerprint.0];
    let inserted = connection.prepare_cached(sql)?.execute(row)?;
    if inserted == 1 { Ok(()) } else { Err(JournalError::RequestIdTaken(intent.request_id.to_string())) }
}

pub(crate) fn insert_hold(connection: &Connection, seq: u64, permit: &Permit) -> Result<(), JournalError> {
    let Permit { intent, policies: _, held_until } = permit;
    let sql =
        "INSERT INTO hold (seq, agent, request_id, endpoint, workflow, wallet, service, payee, amount, usd,
               held_until, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'held')";
    let row = params![
        integer(seq)?,
        intent.agent.as_str(),
        intent.request_id.as_str(),
        endpoint_key(&intent.endpoint),
        intent.workflow.as_str(),
        address_text(intent.wallet_address),
        intent.service.as_ref().map(|name| name.as_str()),
        address_text(intent.terms.payee),
        intent.terms.amount.to_string(),
        usd_bytes(intent.usd),
        integer(held_until.0)?,
    ];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// Inserts a scope, or what was folded into it.
pub(crate) fn put_scope(
    connection: &Connection,
    row: i64,
    scope: &Scope,
    folded: Sum,
) -> Result<(), JournalError> {
    let sql = "INSERT INTO scope (scope, kind, name, usd, payments) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (scope) DO UPDATE SET usd = excluded.usd, payments = excluded.payments";
    let values = params![
        row,
        scope.kind().as_str(),
        scope_name(scope),
        usd_bytes(folded.usd),
        integer(folded.payments)?
    ];
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

pub(crate) fn put_bucket(connection: &Connection, scope: i64, bucket: Bucket) -> Result<(), JournalError> {
    let Bucket { minute, sum: Sum { usd, payments } } = bucket;
    let sql = "INSERT INTO bucket (scope, minute, usd, payments) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (scope, minute) DO UPDATE SET usd = excluded.usd, payments = excluded.payments";
    let values = params![scope, integer(minute)?, usd_bytes(usd), integer(payments)?];
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

pub(crate) fn delete_bucket(connection: &Connection, scope: i64, minute: u64) -> Result<(), JournalError> {
    let sql = "DELETE FROM bucket WHERE scope = ?1 AND minute = ?2";
    connection.prepare_cached(sql)?.execute(params![scope, integer(minute)?])?;
    Ok(())
}

pub(crate) fn put_status(
    connection: &Connection,
    seq: u64,
    subject: &Subject,
    status: Status,
) -> Result<(), JournalError> {
    let sql = "INSERT INTO status (kind, name, status, seq) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (kind, name) DO UPDATE SET status = excluded.status, seq = excluded.seq";
    let row = params![subject.kind(), subject_name(subject), status.as_str(), integer(seq)?];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// The record of the permit a request id was used for: position, fingerprint, body.
pub(crate) fn find_request(
    connection: &Connection,
    agent: &AgentName,
    id: &RequestId,
) -> Result<Option<(u64, Digest, Vec<u8>)>, JournalError> {
    let sql = "SELECT seq, fingerprint, body FROM request JOIN record USING (seq)
               WHERE agent = ?1 AND request_id = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let row = statement.query_row([agent.as_str(), id.as_str()], |row| {
        Ok((row.get::<_, i64>(0)?, Digest(row.get(1)?), row.get::<_, Vec<u8>>(2)?))
    });
    row.optional()?.map(|(seq, fingerprint, body)| Ok((unsigned(seq)?, fingerprint, body))).transpose()
}

/// Allocates, frees and commits a little: succeeds when a decision could be recorded.
pub(crate) fn probe(connection: &Connection) -> Result<(), JournalError> {
    run(connection, "BEGIN IMMEDIATE")?;
    run(connection, "INSERT INTO probe (filler) VALUES (zeroblob(32768))")?;
    run(connection, "DELETE FROM probe")?;
    run(connection, "COMMIT")
}
