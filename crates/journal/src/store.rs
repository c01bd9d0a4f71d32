//! Every statement on the way of a decision. Each is prepared once per connection.

use pursekeeper_core::ports::HELD_ALIKE_MAX;
use pursekeeper_core::{
    Address, AgentName, Amount, ChainId, ClaimedCredit, Credit, Digest, HoldState, Moment, Permit, RequestId,
    Scope, ServiceName, Signature, Status, Subject, UnixSeconds, Usd,
};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use crate::JournalError;
use crate::account::{Bucket, Sum};
use crate::credit::CreditKey;
use crate::lives::Role;
use crate::outstanding::endpoint_key;
use crate::payees::Standing;
use crate::record::{address_text, parse_scope, scope_name, subject_name};
use crate::state::{HoldRow, Tip};

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
    (agent, request_id): (&AgentName, &RequestId),
    fingerprint: Digest,
) -> Result<(), JournalError> {
    let sql = "INSERT INTO request (agent, request_id, seq, fingerprint) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO NOTHING";
    let row = params![agent.as_str(), request_id.as_str(), integer(seq)?, fingerprint.0];
    let inserted = connection.prepare_cached(sql)?.execute(row)?;
    if inserted == 1 { Ok(()) } else { Err(JournalError::RequestIdTaken(request_id.to_string())) }
}

pub(crate) fn insert_hold(connection: &Connection, seq: u64, permit: &Permit) -> Result<(), JournalError> {
    let Permit { intent, policies: _, held_until, warnings: _ } = permit;
    let sql = "INSERT INTO hold (seq, agent, request_id, endpoint, workflow, wallet, service, payee, network,
               amount, usd, held_until, nonce, method, state)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, 'held')";
    let row = params![
        integer(seq)?,
        intent.agent.as_str(),
        intent.request_id.as_str(),
        endpoint_key(&intent.endpoint),
        intent.workflow.as_str(),
        address_text(intent.wallet_address),
        intent.service.as_ref().map(|name| name.as_str()),
        address_text(intent.terms.payee),
        intent.terms.asset.network.to_string(),
        intent.terms.amount.to_string(),
        usd_bytes(intent.usd),
        integer(held_until.0)?,
        intent.nonce,
        intent.terms.method.as_str(),
    ];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// Whether an address has signed a payment with this nonce.
pub(crate) fn has_nonce(
    connection: &Connection,
    wallet: Address,
    nonce: [u8; 32],
) -> Result<bool, JournalError> {
    let sql = "SELECT 1 FROM hold WHERE nonce = ?1 AND wallet = ?2";
    Ok(connection.prepare_cached(sql)?.exists(params![nonce, address_text(wallet)])?)
}

/// The newest holds of an address over this amount on a network.
pub(crate) fn held_alike(
    connection: &Connection,
    (wallet, network): (Address, &ChainId),
    amount: Amount,
) -> Result<Vec<u64>, JournalError> {
    let sql = "SELECT seq FROM hold WHERE state = 'held' AND network = ?1 AND wallet = ?2 AND amount = ?3
               ORDER BY seq DESC LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let limit = i64::try_from(HELD_ALIKE_MAX).unwrap_or(i64::MAX);
    let row = params![network.to_string(), address_text(wallet), amount.to_string(), limit];
    let seqs = statement.query_map(row, |row| row.get::<_, i64>(0))?;
    seqs.map(|seq| unsigned(seq?)).collect()
}

/// What the totals need to know about a hold.
pub(crate) fn find_hold(connection: &Connection, seq: u64) -> Result<Option<HoldRow>, JournalError> {
    let sql = "SELECT agent, workflow, wallet, service, payee, endpoint, usd, held_until, state
               FROM hold WHERE seq = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let row = statement.query_row([integer(seq)?], |row| {
        let names: [Option<String>; 5] = [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
        let (endpoint, usd): (String, [u8; 16]) = (row.get(5)?, row.get(6)?);
        Ok((names, endpoint, usd, row.get::<_, i64>(7)?, row.get::<_, String>(8)?))
    });
    let Some((names, endpoint, usd, held_until, state)) = row.optional()? else { return Ok(None) };
    let agent = names.first().cloned().flatten().unwrap_or_default();
    let kinds = ["agent", "workflow", "wallet", "service", "payee"];
    let named = kinds.into_iter().zip(names).filter_map(|(kind, name)| Some((kind, name?)));
    let scopes: Result<Vec<Scope>, String> = named.map(|(kind, name)| parse_scope(kind, &name)).collect();
    let scopes = scopes.map_err(JournalError::damaged)?;
    let wallet = scopes.iter().find_map(|scope| match scope {
        Scope::Wallet(address) => Some(*address),
        Scope::Agent(_) | Scope::Workflow(_) | Scope::Service(_) | Scope::Payee(_) => None,
    });
    let service = scopes.iter().find_map(|scope| match scope {
        Scope::Service(name) => Some(name.clone()),
        Scope::Agent(_) | Scope::Workflow(_) | Scope::Wallet(_) | Scope::Payee(_) => None,
    });
    let agent =
        AgentName::parse(&agent).map_err(|_| JournalError::damaged(format!("hold {seq} is of no agent")))?;
    Ok(Some(HoldRow {
        credit: wallet.zip(service),
        scopes,
        key: (agent, endpoint),
        usd: Usd::from_units(u128::from_be_bytes(usd)),
        held_until: UnixSeconds(unsigned(held_until)?),
        state,
    }))
}

/// Writes down what became of a hold, in record `seq`.
pub(crate) fn resolve_hold(
    connection: &Connection,
    hold: u64,
    seq: u64,
    state: HoldState,
) -> Result<(), JournalError> {
    let (amount, usd) = match state {
        HoldState::Settled { amount, usd } => (Some(amount.to_string()), Some(usd_bytes(usd))),
        HoldState::Held | HoldState::Released => (None, None),
    };
    let sql = "UPDATE hold SET state = ?2, settled_amount = ?3, settled_usd = ?4, resolved_seq = ?5
               WHERE seq = ?1 AND state = 'held'";
    let row = params![integer(hold)?, state.as_str(), amount, usd, integer(seq)?];
    match connection.prepare_cached(sql)?.execute(row)? {
        1 => Ok(()),
        _ => Err(JournalError::damaged(format!("hold {hold} is not held"))),
    }
}

/// Notes that record `seq` is a claim about a permit.
pub(crate) fn insert_claim(connection: &Connection, permit: u64, seq: u64) -> Result<(), JournalError> {
    let sql = "INSERT INTO claim (permit, seq) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.execute([integer(permit)?, integer(seq)?])?;
    Ok(())
}

/// How many claims there are about a permit.
pub(crate) fn count_claims(connection: &Connection, permit: u64) -> Result<u64, JournalError> {
    let sql = "SELECT count(*) FROM claim WHERE permit = ?1";
    unsigned(connection.prepare_cached(sql)?.query_row([integer(permit)?], |row| row.get(0))?)
}

/// Every column of [`credit`].
pub(crate) const CREDITS: &str =
    "SELECT wallet, service, topped_up, sign_ins, last_sign_in, claimed, claimed_at, claimed_seq FROM credit";

/// A row of [`CREDITS`]: names as they are stored, and what they are about.
pub(crate) fn credit(row: &rusqlite::Row<'_>) -> Result<(String, String, Credit), JournalError> {
    let usd = |units: [u8; 16]| Usd::from_units(u128::from_be_bytes(units));
    let claimed: Option<[u8; 16]> = row.get(5)?;
    let claimed = claimed.map(|units| {
        let (at, seq) = (unsigned(row.get(6)?)?, unsigned(row.get(7)?)?);
        Ok::<_, JournalError>(ClaimedCredit { usd: usd(units), at: UnixSeconds(at), seq })
    });
    let credit = Credit {
        topped_up: usd(row.get(2)?),
        claimed: claimed.transpose()?,
        sign_ins: unsigned(row.get(3)?)?,
        last_sign_in: unsigned(row.get(4)?)?,
    };
    Ok((row.get(0)?, row.get(1)?, credit))
}

/// Writes down what a credit is now.
pub(crate) fn put_credit(
    connection: &Connection,
    (wallet, service): &CreditKey,
    credit: Credit,
) -> Result<(), JournalError> {
    let Credit { topped_up, claimed, sign_ins, last_sign_in } = credit;
    let sql = "INSERT INTO credit (wallet, service, topped_up, sign_ins, last_sign_in, claimed, claimed_at, claimed_seq)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
               ON CONFLICT (wallet, service) DO UPDATE SET topped_up = excluded.topped_up,
               sign_ins = excluded.sign_ins, last_sign_in = excluded.last_sign_in, claimed = excluded.claimed,
               claimed_at = excluded.claimed_at, claimed_seq = excluded.claimed_seq";
    let row = params![
        address_text(*wallet),
        service.as_str(),
        usd_bytes(topped_up),
        integer(sign_ins)?,
        integer(last_sign_in)?,
        claimed.map(|claimed| usd_bytes(claimed.usd)),
        claimed.map(|claimed| integer(claimed.at.0)).transpose()?,
        claimed.map(|claimed| integer(claimed.seq)).transpose()?,
    ];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// One record.
pub(crate) fn find_record(connection: &Connection, seq: u64) -> Result<Option<Vec<u8>>, JournalError> {
    let mut statement = connection.prepare_cached("SELECT body FROM record WHERE seq = ?1")?;
    Ok(statement.query_row([integer(seq)?], |row| row.get(0)).optional()?)
}

/// The record of a permit, and what became of its money.
pub(crate) fn find_permit(
    connection: &Connection,
    seq: u64,
) -> Result<Option<(Vec<u8>, HoldState)>, JournalError> {
    let sql =
        "SELECT body, state, settled_amount, settled_usd FROM hold JOIN record USING (seq) WHERE seq = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let row =
        statement.query_row([integer(seq)?], |row| Ok((row.get::<_, Vec<u8>>(0)?, hold_state(row, 1)?)));
    row.optional()?.map(|(body, state)| Ok((body, state?))).transpose()
}

/// The state that three columns from `at` on hold.
pub(crate) fn hold_state(
    row: &rusqlite::Row<'_>,
    at: usize,
) -> rusqlite::Result<Result<HoldState, JournalError>> {
    let state: String = row.get(at)?;
    let amount: Option<String> = row.get(at.saturating_add(1))?;
    let usd: Option<[u8; 16]> = row.get(at.saturating_add(2))?;
    let damaged = || JournalError::damaged(format!("a hold is `{state}` without saying for how much"));
    Ok(match state.as_str() {
        "held" => Ok(HoldState::Held),
        "released" => Ok(HoldState::Released),
        _ => amount
            .and_then(|amount| Amount::parse(&amount).ok())
            .zip(usd)
            .map(|(amount, usd)| HoldState::Settled {
                amount,
                usd: Usd::from_units(u128::from_be_bytes(usd)),
            })
            .ok_or_else(damaged),
    })
}

/// Moves the anchor of the clocks.
pub(crate) fn put_clock(connection: &Connection, at: Moment) -> Result<(), JournalError> {
    let Moment { unix_ms, boot_ms, boot_id } = at;
    let sql = "INSERT INTO clock (one, unix_ms, boot_ms, boot_id) VALUES (1, ?1, ?2, ?3)
               ON CONFLICT (one) DO UPDATE SET unix_ms = excluded.unix_ms, boot_ms = excluded.boot_ms,
               boot_id = excluded.boot_id";
    connection.prepare_cached(sql)?.execute(params![integer(unix_ms)?, integer(boot_ms)?, boot_id])?;
    Ok(())
}

/// The anchor of the clocks.
pub(crate) fn find_clock(connection: &Connection) -> Result<Option<Moment>, JournalError> {
    let sql = "SELECT unix_ms, boot_ms, boot_id FROM clock";
    let row = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let moment = |(unix_ms, boot_ms, boot_id)| {
        Ok(Moment { unix_ms: unsigned(unix_ms)?, boot_ms: unsigned(boot_ms)?, boot_id })
    };
    row.optional()?.map(moment).transpose()
}

/// Inserts a scope, or what was folded into it.
pub(crate) fn put_scope(
    connection: &Connection,
    row: i64,
    scope: &Scope,
    folded: Sum,
) -> Result<(), JournalError> {
    let Sum { usd, payments, settled_usd, settled_payments, sign_ins } = folded;
    let sql = "INSERT INTO scope (scope, kind, name, usd, payments, settled_usd, settled_payments, sign_ins)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
               ON CONFLICT (scope) DO UPDATE SET usd = excluded.usd, payments = excluded.payments,
               settled_usd = excluded.settled_usd, settled_payments = excluded.settled_payments,
               sign_ins = excluded.sign_ins";
    let values = params![
        row,
        scope.kind().as_str(),
        scope_name(scope),
        usd_bytes(usd),
        integer(payments)?,
        usd_bytes(settled_usd),
        integer(settled_payments)?,
        integer(sign_ins)?
    ];
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

pub(crate) fn put_bucket(connection: &Connection, scope: i64, bucket: Bucket) -> Result<(), JournalError> {
    let Bucket { minute, sum: Sum { usd, payments, settled_usd, settled_payments, sign_ins } } = bucket;
    let sql = "INSERT INTO bucket (scope, minute, usd, payments, settled_usd, settled_payments, sign_ins)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
               ON CONFLICT (scope, minute) DO UPDATE SET usd = excluded.usd, payments = excluded.payments,
               settled_usd = excluded.settled_usd, settled_payments = excluded.settled_payments,
               sign_ins = excluded.sign_ins";
    let values = params![
        scope,
        integer(minute)?,
        usd_bytes(usd),
        integer(payments)?,
        usd_bytes(settled_usd),
        integer(settled_payments)?,
        integer(sign_ins)?
    ];
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

/// Which records count from now on for what is in force, and which not any more.
pub(crate) fn put_lives(
    connection: &Connection,
    added: &[(u64, Role)],
    removed: &[(u64, Role)],
) -> Result<(), JournalError> {
    let [insert, delete] =
        ["INSERT INTO life (seq, role) VALUES (?1, ?2)", "DELETE FROM life WHERE seq = ?1 AND role = ?2"];
    for (sql, rows) in [(delete, removed), (insert, added)] {
        for (seq, role) in rows {
            connection.prepare_cached(sql)?.execute(params![integer(*seq)?, role.as_str()])?;
        }
    }
    Ok(())
}

/// Keeps what voids payments, all or none.
pub(crate) fn put_voids(connection: &Connection, voids: &[(u64, Signature)]) -> Result<(), JournalError> {
    let sql = "INSERT INTO void (seq, signature) VALUES (?1, ?2) ON CONFLICT (seq) DO NOTHING";
    run(connection, "BEGIN IMMEDIATE")?;
    for (seq, signature) in voids {
        let Signature::Evm(bytes) = signature;
        connection.prepare_cached(sql)?.execute(params![integer(*seq)?, bytes])?;
    }
    run(connection, "COMMIT")
}

/// What voids the payment of record `seq`, if that was signed.
pub(crate) fn find_void(connection: &Connection, seq: u64) -> Result<Option<Signature>, JournalError> {
    let Ok(seq) = i64::try_from(seq) else { return Ok(None) };
    let sql = "SELECT signature FROM void WHERE seq = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([seq], |row| row.get::<_, [u8; 65]>(0)).optional()?;
    Ok(found.map(Signature::Evm))
}

/// The signatures of a subject, under any of its names, that can still be settled at `now`, oldest first.
pub(crate) fn exposed(
    connection: &Connection,
    names: &[Subject],
    now: UnixSeconds,
    (after, limit): (u64, usize),
) -> Result<Vec<u64>, JournalError> {
    // What SQLite cannot number is no record, and nothing comes after it.
    let Ok(after) = i64::try_from(after) else { return Ok(Vec::new()) };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut values: Vec<Value> = vec![integer(now.0)?.into(), after.into(), limit.into()];
    let sql = exposed_sql(names, &mut values);
    let mut statement = connection.prepare_cached(&sql)?;
    let seqs = statement.query_map(params_from_iter(values), |row| row.get::<_, i64>(0))?;
    seqs.map(|seq| unsigned(seq?)).collect()
}

/// How [`exposed`] asks. Without the `+`, SQLite would follow the order of the records and read every hold there ever was;
/// with it, it reads those that are alive.
pub(crate) fn exposed_sql(names: &[Subject], values: &mut Vec<Value>) -> String {
    let of = exposed_of(names, values);
    format!(
        "SELECT seq FROM hold WHERE state = 'held' AND held_until >= ?1 AND +seq > ?2{of}
         ORDER BY +seq LIMIT ?3"
    )
}

/// What of an SQL condition is about a subject: nothing for the sidecar, which stands for everybody.
pub(crate) fn exposed_of(names: &[Subject], values: &mut Vec<Value>) -> String {
    let column = match names.first() {
        Some(Subject::Agent(_)) => "agent",
        Some(Subject::Workflow(_)) => "workflow",
        Some(Subject::Wallet(_)) => "wallet",
        Some(Subject::Service(_)) => "service",
        Some(Subject::Sidecar) => return String::new(),
        // Nobody is not everybody.
        None => return " AND 0".to_owned(),
    };
    let mut places = Vec::with_capacity(names.len());
    for name in names {
        values.push(subject_name(name).into_owned().into());
        places.push(format!("?{}", values.len()));
    }
    format!(" AND {column} IN ({})", places.join(", "))
}

pub(crate) fn put_payee(
    connection: &Connection,
    (service, payee): (&ServiceName, Address),
    standing: Standing,
) -> Result<(), JournalError> {
    let Standing { pending, accepted } = standing;
    let sql = "INSERT INTO payee (service, payee, pending_seq, accepted_seq) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (service, payee) DO UPDATE SET pending_seq = excluded.pending_seq,
               accepted_seq = excluded.accepted_seq";
    let [pending, accepted] = [pending, accepted].map(|seq| seq.map(integer).transpose());
    let row = params![service.as_str(), address_text(payee), pending?, accepted?];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// The permit a request id was used for: position and fingerprint.
pub(crate) fn find_request(
    connection: &Connection,
    agent: &AgentName,
    id: &RequestId,
) -> Result<Option<(u64, Digest)>, JournalError> {
    let sql = "SELECT seq, fingerprint FROM request WHERE agent = ?1 AND request_id = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let row = statement
        .query_row([agent.as_str(), id.as_str()], |row| Ok((row.get::<_, i64>(0)?, Digest(row.get(1)?))));
    row.optional()?.map(|(seq, fingerprint)| Ok((unsigned(seq)?, fingerprint))).transpose()
}

/// Allocates, frees and commits a little: succeeds when a decision could be recorded.
pub(crate) fn probe(connection: &Connection) -> Result<(), JournalError> {
    run(connection, "BEGIN IMMEDIATE")?;
    run(connection, "INSERT INTO probe (filler) VALUES (zeroblob(32768))")?;
    run(connection, "DELETE FROM probe")?;
    run(connection, "COMMIT")
}
