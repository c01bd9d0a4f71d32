//! The journal, read with nothing but SQLite, and added up again.

use std::collections::BTreeMap;
use std::path::Path;

use pursekeeper_core::{ScopeKind, Window};
use rusqlite::{Connection, OpenFlags, Row};
use serde_json::Value;

use super::rules::{Ceiling, Limit, Rules};

/// Money bound by a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its record.
    pub seq: u64,
    /// The request it was for.
    pub request_id: String,
    /// The subjects it counts for, by kind.
    pub subjects: BTreeMap<ScopeKind, String>,
    /// Atomic units.
    pub atomic: u128,
    /// The nonce of its authorisation, in hex.
    pub nonce: String,
    /// When it was decided, in Unix seconds.
    pub at: u64,
    /// When its signature is dead, in Unix seconds.
    pub held_until: u64,
    /// The record that released it, if one did.
    pub released_by: Option<u64>,
}

/// What is in a journal.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Books {
    /// Every hold, in order.
    pub holds: Vec<Hold>,
    /// How many records there are besides the first.
    pub decisions: u64,
    /// Whether a checkpoint is over all of it.
    pub is_checkpointed: bool,
}

impl Books {
    /// Reads a journal, which may be in use.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn read(journal: &Path) -> Self {
        let connection = Connection::open_with_flags(journal, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let last: i64 = connection.query_row("SELECT max(seq) FROM record", [], |row| row.get(0)).unwrap();
        let newest = "SELECT ifnull(max(size), 0) FROM checkpoint";
        let newest: i64 = connection.query_row(newest, [], |row| row.get(0)).unwrap();
        let sql = "SELECT hold.seq, request_id, agent, workflow, wallet, service, payee, amount, held_until,
                   permit.body, CASE state WHEN 'released' THEN resolved_seq END AS released_by,
                   release.body AS release
                   FROM hold JOIN record AS permit USING (seq)
                   LEFT JOIN record AS release ON release.seq = resolved_seq ORDER BY hold.seq";
        let mut statement = connection.prepare(sql).unwrap();
        let holds = statement.query_map([], |row| Ok(hold(row))).unwrap().map(Result::unwrap).collect();
        Self { holds, decisions: u64::try_from(last).unwrap() - 1, is_checkpointed: newest >= last }
    }

    /// The holds of a request id.
    pub fn of<'a>(&'a self, request_id: &'a str) -> impl Iterator<Item = &'a Hold> {
        self.holds.iter().filter(move |hold| hold.request_id == request_id)
    }
}

fn hold(row: &Row<'_>) -> Hold {
    let text = |column: &str| row.get::<_, Option<String>>(column).unwrap();
    let number = |column: &str| u64::try_from(row.get::<_, i64>(column).unwrap()).unwrap();
    let kinds =
        [ScopeKind::Agent, ScopeKind::Workflow, ScopeKind::Wallet, ScopeKind::Service, ScopeKind::Payee];
    let subjects = kinds.into_iter().filter_map(|kind| Some((kind, text(kind.as_str())?)));
    let body: Vec<u8> = row.get("body").unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["verdict"], "permit", "a hold without a permit: {body}");
    Hold {
        seq: number("seq"),
        request_id: text("request_id").unwrap(),
        subjects: subjects.collect(),
        atomic: text("amount").unwrap().parse().unwrap(),
        nonce: body["intent"]["nonce"].as_str().unwrap().to_owned(),
        at: body["time"]["unix_ms"].as_u64().unwrap() / 1000,
        held_until: number("held_until"),
        released_by: released_by(row),
    }
}

/// The record that released a hold, which must not be before its signature was dead.
fn released_by(row: &Row<'_>) -> Option<u64> {
    let seq = row.get::<_, Option<i64>>("released_by").unwrap()?;
    let release: Vec<u8> = row.get("release").unwrap();
    let release: Value = serde_json::from_slice(&release).unwrap();
    let (at, held_until): (u64, i64) =
        (release["time"]["unix_ms"].as_u64().unwrap() / 1000, row.get("held_until").unwrap());
    assert!(at > u64::try_from(held_until).unwrap(), "released while it was alive: {release}");
    Some(u64::try_from(seq).unwrap())
}

/// How much more than allowed was spent, at the worst moment, in atomic units. Each payment is compared with the rules
/// in force when it was made.
#[must_use]
pub(super) fn overspent<'a>(holds: &[Hold], rules: impl Fn(u64) -> &'a Rules) -> u128 {
    let mut worst = 0;
    for (at, hold) in holds.iter().enumerate() {
        worst = worst.max(hold.atomic.saturating_sub(Rules::PAYMENT_MAX));
        for ceiling in &rules(hold.seq).ceilings {
            worst = worst.max(excess(&holds[..=at], hold, ceiling));
        }
    }
    worst
}

/// How far a payment and those before it are above a ceiling.
fn excess(holds: &[Hold], last: &Hold, ceiling: &Ceiling) -> u128 {
    let Some(subject) = last.subjects.get(&ceiling.scope) else { return 0 };
    // There is one workflow, whatever it is called.
    let same = |hold: &Hold| {
        ceiling.scope == ScopeKind::Workflow || hold.subjects.get(&ceiling.scope) == Some(subject)
    };
    let counts = |hold: &&Hold| {
        same(hold)
            && hold.released_by.is_none_or(|seq| seq > last.seq)
            && match ceiling.window {
                Window::Payment => hold.seq == last.seq,
                Window::Lifetime => true,
                Window::Hour | Window::Day | Window::Week | Window::Month => {
                    hold.held_until.saturating_add(secs(ceiling.window)) > last.at
                }
            }
    };
    let amounts: Vec<u128> = holds.iter().filter(counts).map(|hold| hold.atomic).collect();
    match ceiling.limit {
        Limit::Usd(most) => amounts.iter().sum::<u128>().saturating_sub(most),
        Limit::Payments(most) => amounts.iter().skip(usize::try_from(most).unwrap()).sum(),
    }
}

fn secs(window: Window) -> u64 {
    let rolling = Window::ROLLING.into_iter().find(|(rolling, _)| *rolling == window);
    rolling.map_or(u64::MAX, |(_, secs)| secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(atomics: &[u128]) -> Vec<Hold> {
        let hold = |(seq, atomic): (u64, &u128)| Hold {
            seq,
            request_id: seq.to_string(),
            subjects: BTreeMap::from([(ScopeKind::Agent, "crawler".to_owned())]),
            atomic: *atomic,
            nonce: seq.to_string(),
            at: seq * 10_000,
            held_until: seq * 10_000 + 120,
            released_by: None,
        };
        (1..).zip(atomics).map(hold).collect()
    }

    #[test]
    fn what_is_above_a_ceiling_is_seen() {
        let table = [
            (Ceiling::usd(ScopeKind::Agent, Window::Lifetime, 2), 1_000),
            (Ceiling::usd(ScopeKind::Agent, Window::Lifetime, 3), 0),
            (Ceiling::payments(ScopeKind::Agent, Window::Day, 1), 2_000),
            (Ceiling::payments(ScopeKind::Agent, Window::Day, 3), 0),
            // They are made hours apart.
            (Ceiling::payments(ScopeKind::Agent, Window::Hour, 1), 0),
            (Ceiling::payments(ScopeKind::Payee, Window::Day, 0), 0),
        ];
        for (ceiling, expected) in table {
            let rules = Rules::of(&[ceiling]);
            assert_eq!(overspent(&holds(&[1_000; 3]), |_| &rules), expected, "{}", ceiling.words());
        }
        let rules = Rules::of(&[]);
        assert_eq!(overspent(&holds(&[Rules::PAYMENT_MAX + 7]), |_| &rules), 7);
    }

    #[test]
    fn what_was_released_counts_until_then() {
        let rules = Rules::of(&[Ceiling::payments(ScopeKind::Agent, Window::Lifetime, 1)]);
        let mut spent = holds(&[1_000; 2]);
        for (released_by, expected) in [(None, 1_000), (Some(3), 1_000), (Some(2), 0)] {
            spent[0].released_by = released_by;
            assert_eq!(overspent(&spent, |_| &rules), expected, "{released_by:?}");
        }
    }

    #[test]
    fn a_payment_is_judged_by_the_rules_of_its_time() {
        let [wide, narrow] =
            [3, 1].map(|most| Rules::of(&[Ceiling::usd(ScopeKind::Agent, Window::Lifetime, most)]));
        let spent = holds(&[1_000; 3]);
        assert_eq!(overspent(&spent, |seq| if seq < 4 { &wide } else { &narrow }), 0);
        assert_eq!(overspent(&spent, |seq| if seq < 3 { &wide } else { &narrow }), 2_000);
    }
}
