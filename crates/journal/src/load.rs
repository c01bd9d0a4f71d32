//! What is read when a journal is opened: buckets, statuses, unresolved holds and the last record, never the history.

use pursekeeper_core::{Address, AgentName, Digest, Scope, ServiceName, Status, UnixSeconds, Usd};
use rusqlite::{Connection, OptionalExtension as _};

use crate::JournalError;
use crate::account::{Account, Bucket, Sum};
use crate::file::Meta;
use crate::hash::{chain_next, chain_start, leaf_hash};
use crate::lives::{Lives, Role};
use crate::payees::Standing;
use crate::record::{Content, decode, parse_credit, parse_scope, parse_subject};
use crate::repeats;
use crate::state::{State, Tip};
use crate::store::{CREDITS, credit, find_clock, integer, unsigned};

/// Everything the writer keeps in memory.
pub(crate) fn load(connection: &Connection, meta: Meta) -> Result<State, JournalError> {
    let mut state = State::empty(tip(connection, meta)?, meta.adopted);
    state.anchor = find_clock(connection)?;
    load_accounts(connection, &mut state)?;
    load_credits(connection, &mut state)?;
    load_statuses(connection, &mut state)?;
    each_payee(connection, |service, payee, standing| state.payees.put(service, payee, standing))?;
    state.lives = load_lives(connection)?;
    state.repeats = repeats::load(connection)?;
    load_outstanding(connection, &mut state)?;
    Ok(state)
}

pub(crate) fn usd(units: [u8; 16]) -> Usd {
    Usd::from_units(u128::from_be_bytes(units))
}

/// The sum that five columns from `at` on hold.
pub(crate) fn sum(row: &rusqlite::Row<'_>, at: usize) -> Result<Sum, JournalError> {
    let [payments_at, settled_at, settled_payments_at, sign_ins_at] =
        [1, 2, 3, 4].map(|next| at.saturating_add(next));
    Ok(Sum {
        usd: usd(row.get(at)?),
        payments: unsigned(row.get(payments_at)?)?,
        settled_usd: usd(row.get(settled_at)?),
        settled_payments: unsigned(row.get(settled_payments_at)?)?,
        sign_ins: unsigned(row.get(sign_ins_at)?)?,
    })
}

struct Row {
    seq: u64,
    body: Vec<u8>,
    chain: Digest,
    high_water_ms: u64,
}

fn record(connection: &Connection, seq: Option<u64>) -> Result<Option<Row>, JournalError> {
    let sql = "SELECT seq, body, chain, high_water_ms FROM record
               WHERE seq = coalesce(?1, (SELECT max(seq) FROM record))";
    let row = connection.query_row(sql, [seq.map(integer).transpose()?], |row| {
        Ok((row.get::<_, i64>(0)?, row.get(1)?, Digest(row.get(2)?), row.get::<_, i64>(3)?))
    });
    let Some((seq, body, chain, high_water)) = row.optional()? else { return Ok(None) };
    Ok(Some(Row { seq: unsigned(seq)?, body, chain, high_water_ms: unsigned(high_water)? }))
}

/// The end of the history. Its last link is checked; `verify` checks all of them.
fn tip(connection: &Connection, meta: Meta) -> Result<Tip, JournalError> {
    let last = record(connection, None)?.ok_or_else(|| JournalError::damaged("it has no first record"))?;
    let Row { seq, body, chain, high_water_ms } = last;
    let broken = |what: &str| JournalError::damaged(format!("record {seq}, the last one, {what}"));
    if decode(&body)?.seq != seq {
        return Err(broken("stands in another's place"));
    }
    let before = match seq.checked_sub(1) {
        None | Some(0) => chain_start(meta.id),
        Some(before) => record(connection, Some(before))?.ok_or_else(|| broken("follows a gap"))?.chain,
    };
    if chain_next(before, leaf_hash(&body)) != chain {
        return Err(broken("does not fit the hash chain"));
    }
    Ok(Tip { seq, chain, high_water_ms })
}

fn load_accounts(connection: &Connection, state: &mut State) -> Result<(), JournalError> {
    let now = state.high_water();
    let overflow = || JournalError::damaged("a total in it does not fit");
    let mut buckets = connection.prepare(
        "SELECT scope.scope, kind, name, scope.usd, scope.payments, scope.settled_usd, scope.settled_payments,
                scope.sign_ins,
                minute, bucket.usd, bucket.payments, bucket.settled_usd, bucket.settled_payments, bucket.sign_ins
         FROM scope LEFT JOIN bucket USING (scope) ORDER BY scope.scope, minute",
    )?;
    let mut rows = buckets.query([])?;
    while let Some(row) = rows.next()? {
        let (id, kind, name): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let scope = parse_scope(&kind, &name).map_err(JournalError::damaged)?;
        let folded = sum(row, 3)?;
        let account = state.accounts.entry(scope).or_insert_with(|| Account::new(id, folded, now));
        if account.row != id {
            return Err(JournalError::damaged(format!("the {kind} `{name}` is in it twice")));
        }
        state.next_row = state.next_row.max(id.saturating_add(1));
        if let Some(minute) = row.get::<_, Option<i64>>(8)? {
            let sum = sum(row, 9)?;
            account.add(Bucket { minute: unsigned(minute)?, sum }).ok_or_else(overflow)?;
        }
    }
    Ok(())
}

fn load_credits(connection: &Connection, state: &mut State) -> Result<(), JournalError> {
    let mut credits = connection.prepare(CREDITS)?;
    let mut rows = credits.query([])?;
    while let Some(row) = rows.next()? {
        let (wallet, service, credit) = credit(row)?;
        let key = parse_credit(&wallet, &service).map_err(JournalError::damaged)?;
        state.credits.insert(key, credit);
    }
    Ok(())
}

fn load_statuses(connection: &Connection, state: &mut State) -> Result<(), JournalError> {
    let mut statuses = connection.prepare("SELECT kind, name, status, seq FROM status")?;
    let mut rows = statuses.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, name, status): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let subject = parse_subject(&kind, &name).map_err(JournalError::damaged)?;
        let unknown =
            || JournalError::damaged(format!("the {kind} `{name}` has the unknown status `{status}`"));
        let status = Status::parse(&status).ok_or_else(unknown)?;
        state.statuses.insert(subject, (status, unsigned(row.get(3)?)?));
    }
    Ok(())
}

/// What the records say that `life` names.
fn load_lives(connection: &Connection) -> Result<Lives, JournalError> {
    let mut lives = Lives::default();
    each_life(connection, |seq, role| {
        let body = record(connection, Some(seq))?;
        let content = body.map(|row| decode(&row.body)).transpose()?.map(|record| record.content);
        let restored = match &content {
            Some(Content::Entry(entry)) => Role::parse(role).and_then(|role| lives.restore(seq, role, entry)),
            Some(Content::Genesis(_)) | None => None,
        };
        let wrong = || JournalError::damaged(format!("record {seq} does not count as `{role}`"));
        restored.ok_or_else(wrong)
    })?;
    Ok(lives)
}

/// Tells of every row of `life`, in the order of the records.
pub(crate) fn each_life(
    connection: &Connection,
    mut tell: impl FnMut(u64, &str) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let mut lives = connection.prepare("SELECT seq, role FROM life ORDER BY seq")?;
    let mut rows = lives.query([])?;
    while let Some(row) = rows.next()? {
        let role: String = row.get(1)?;
        tell(unsigned(row.get(0)?)?, &role)?;
    }
    Ok(())
}

/// Tells of every row of `payee`.
pub(crate) fn each_payee(
    connection: &Connection,
    mut tell: impl FnMut(ServiceName, Address, Standing),
) -> Result<(), JournalError> {
    let mut payees = connection.prepare("SELECT service, payee, pending_seq, accepted_seq FROM payee")?;
    let mut rows = payees.query([])?;
    while let Some(row) = rows.next()? {
        let (service, payee): (String, String) = (row.get(0)?, row.get(1)?);
        let unknown = |_| JournalError::damaged(format!("`{payee}` is a payee of no service"));
        let service_name = ServiceName::parse(&service).map_err(unknown)?;
        let Scope::Payee(address) = parse_scope("payee", &payee).map_err(JournalError::damaged)? else {
            return Err(JournalError::damaged(format!("`{payee}` is no payee")));
        };
        let seq = |at| -> Result<Option<u64>, JournalError> {
            row.get::<_, Option<i64>>(at)?.map(unsigned).transpose()
        };
        tell(service_name, address, Standing { pending: seq(2)?, accepted: seq(3)? });
    }
    Ok(())
}

fn load_outstanding(connection: &Connection, state: &mut State) -> Result<(), JournalError> {
    let mut holds = connection.prepare(
        "SELECT seq, held_until, agent, endpoint FROM hold WHERE state = 'held' AND held_until >= ?1",
    )?;
    let mut rows = holds.query([integer(state.high_water().0)?])?;
    while let Some(row) = rows.next()? {
        let (seq, held_until) = (unsigned(row.get(0)?)?, UnixSeconds(unsigned(row.get(1)?)?));
        let agent: String = row.get(2)?;
        let unknown = |_| JournalError::damaged(format!("hold {seq} is of no agent"));
        let agent = AgentName::parse(&agent).map_err(unknown)?;
        state.outstanding.add(seq, held_until, (agent, row.get(3)?));
    }
    Ok(())
}
