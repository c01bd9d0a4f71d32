//! What is counted instead of being recorded each time, so that nobody fills the disk by asking: equal answers to one caller
//! beyond a rate, per minute. Each count is a row that is written before the answer is given, and becomes a record when its
//! minute is over.

use std::collections::HashMap;

use pursekeeper_core::{
    AgentName, DenyCode, IdentitySource, Moment, RepeatCaller, RepeatKey, RepeatKind, Repeats, UnixPeer,
};
use rusqlite::{Connection, params};

use crate::JournalError;
use crate::record::{parse_source, source_text};
use crate::store::{integer, unsigned};

/// Strangers that are told apart; what more there are count as one.
const STRANGERS_MAX: usize = 256;
/// Keys remembered; those of minutes that are over are forgotten when there are more.
const KEYS_MAX: usize = 4_096;
const MINUTE_MS: u64 = 60_000;

/// What was answered lately, by what makes answers equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RepeatBook(HashMap<RepeatKey, Lately>);

/// How often within one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lately {
    minute: u64,
    /// Recorded each on its own.
    recorded: u32,
    /// The last of those records.
    like_seq: u64,
    /// Counted.
    count: u64,
    first_ms: u64,
    last_ms: u64,
}

const fn minute_of(at: Moment) -> u64 {
    at.unix_ms.div_euclid(MINUTE_MS)
}

impl RepeatBook {
    /// The key that stands for this one.
    pub(crate) fn slot(&self, key: RepeatKey) -> RepeatKey {
        if !matches!(key.caller, RepeatCaller::Stranger(_)) || self.0.contains_key(&key) {
            return key;
        }
        let strangers = self.0.keys().filter(|known| matches!(known.caller, RepeatCaller::Stranger(_)));
        if strangers.count() < STRANGERS_MAX {
            key
        } else {
            RepeatKey { caller: RepeatCaller::Strangers, ..key }
        }
    }

    /// How many records of this kind were written within the minute of `at`.
    pub(crate) fn recorded(&self, key: &RepeatKey, at: Moment) -> u32 {
        let lately = self.0.get(&self.slot(key.clone()));
        lately.filter(|lately| lately.minute == minute_of(at)).map_or(0, |lately| lately.recorded)
    }

    /// What was counted in a minute other than that of `at`.
    pub(crate) fn due(&self, at: Moment) -> Vec<Repeats> {
        let over = self.0.iter().filter(|(_, lately)| lately.count > 0 && lately.minute != minute_of(at));
        let mut due: Vec<Repeats> = over.map(|(key, lately)| lately.repeats(key)).collect();
        due.sort_by(|a, b| a.key.cmp(&b.key));
        due
    }

    /// Takes note of record `seq`, and returns what was known before.
    pub(crate) fn record(&mut self, key: &RepeatKey, seq: u64, at: Moment) -> Option<Lately> {
        let before = self.0.get(key).copied();
        let fresh =
            Lately { minute: minute_of(at), recorded: 0, like_seq: seq, count: 0, first_ms: 0, last_ms: 0 };
        // What is counted and not recorded yet is not forgotten.
        let lately =
            before.filter(|lately| lately.minute == fresh.minute || lately.count > 0).unwrap_or(fresh);
        let recorded = lately.recorded.saturating_add(1);
        self.0.insert(key.clone(), Lately { recorded, like_seq: seq, ..lately });
        before
    }

    /// Counts one more, and returns how often that is and what was known before; nothing when no record is like it.
    pub(crate) fn count(&mut self, key: &RepeatKey, at: Moment) -> Option<(Repeats, Lately)> {
        let lately = self.0.get_mut(key)?;
        let before = *lately;
        if lately.count == 0 {
            (lately.minute, lately.first_ms) = (minute_of(at), at.unix_ms);
        }
        lately.count = lately.count.saturating_add(1);
        lately.last_ms = at.unix_ms.max(lately.first_ms);
        Some((lately.repeats(key), before))
    }

    /// Forgets what was counted: it is recorded.
    pub(crate) fn settle(&mut self, key: &RepeatKey) -> Option<Lately> {
        self.0.remove(key)
    }

    /// Makes one key as it was before.
    pub(crate) fn put_back(&mut self, key: RepeatKey, before: Option<Lately>) {
        match before {
            Some(before) => drop(self.0.insert(key, before)),
            None => drop(self.0.remove(&key)),
        }
    }

    /// Forgets what is of no minute that matters, once there is much of it.
    pub(crate) fn tidy(&mut self, at: Moment) {
        if self.0.len() > KEYS_MAX {
            self.0.retain(|_, lately| lately.count > 0 || lately.minute == minute_of(at));
        }
    }
}

impl Lately {
    fn repeats(&self, key: &RepeatKey) -> Repeats {
        let Self { minute: _, recorded: _, like_seq, count, first_ms, last_ms } = *self;
        Repeats { key: key.clone(), like_seq, count, first_ms, last_ms }
    }
}

/// How the table names a caller: its kind and name.
fn caller_text(caller: &RepeatCaller) -> String {
    match caller {
        RepeatCaller::Agent(agent) => format!("agent:{agent}"),
        RepeatCaller::Stranger(source) => match source.peer() {
            Some(UnixPeer { uid, gid: None }) if *source == IdentitySource::unix_peer(uid) => {
                format!("uid:{uid}")
            }
            Some(_) | None => format!("source:{}", source_text(source)),
        },
        RepeatCaller::Strangers => "strangers".to_owned(),
    }
}

fn parse_caller(text: &str) -> Option<RepeatCaller> {
    match text.split_once(':') {
        None => (text == "strangers").then_some(RepeatCaller::Strangers),
        Some(("agent", name)) => AgentName::parse(name).ok().map(RepeatCaller::Agent),
        Some(("uid", uid)) => {
            let uid = uid.parse().ok()?;
            Some(RepeatCaller::Stranger(IdentitySource::unix_peer(uid)))
        }
        Some(("source", text)) => parse_source(text).map(RepeatCaller::Stranger),
        Some(_) => None,
    }
}

const fn code_text(code: Option<DenyCode>) -> &'static str {
    match code {
        Some(code) => code.as_str(),
        None => "",
    }
}

pub(crate) fn put(connection: &Connection, repeats: &Repeats) -> Result<(), JournalError> {
    let Repeats { key: RepeatKey { caller, kind, code }, like_seq, count, first_ms, last_ms } = repeats;
    let sql = "INSERT INTO repeat (caller, kind, code, like_seq, count, first_ms, last_ms)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
               ON CONFLICT (caller, kind, code) DO UPDATE SET like_seq = excluded.like_seq, count = excluded.count,
               first_ms = excluded.first_ms, last_ms = excluded.last_ms";
    let row = params![
        caller_text(caller),
        kind.as_str(),
        code_text(*code),
        integer(*like_seq)?,
        integer(*count)?,
        integer(*first_ms)?,
        integer(*last_ms)?
    ];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

pub(crate) fn delete(connection: &Connection, key: &RepeatKey) -> Result<(), JournalError> {
    let RepeatKey { caller, kind, code } = key;
    let sql = "DELETE FROM repeat WHERE caller = ?1 AND kind = ?2 AND code = ?3";
    let row = params![caller_text(caller), kind.as_str(), code_text(*code)];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// Every row.
pub(crate) fn read(connection: &Connection) -> Result<Vec<Repeats>, JournalError> {
    let sql = "SELECT caller, kind, code, like_seq, count, first_ms, last_ms FROM repeat";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut read = Vec::new();
    while let Some(row) = rows.next()? {
        let [caller, kind, code]: [String; 3] = [row.get(0)?, row.get(1)?, row.get(2)?];
        let known = parse_caller(&caller).zip(RepeatKind::parse(&kind));
        let code = if code.is_empty() { Some(None) } else { DenyCode::parse(&code).map(Some) };
        let ((caller, kind), code) = known.zip(code).ok_or_else(|| {
            JournalError::damaged(format!("a count is of `{caller}`, which cannot be read"))
        })?;
        read.push(Repeats {
            key: RepeatKey { caller, kind, code },
            like_seq: unsigned(row.get(3)?)?,
            count: unsigned(row.get(4)?)?,
            first_ms: unsigned(row.get(5)?)?,
            last_ms: unsigned(row.get(6)?)?,
        });
    }
    Ok(read)
}

/// What was counted before this process began.
pub(crate) fn load(connection: &Connection) -> Result<RepeatBook, JournalError> {
    let known = read(connection)?.into_iter().map(|repeats| {
        let Repeats { key, like_seq, count, first_ms, last_ms } = repeats;
        let minute = first_ms.div_euclid(MINUTE_MS);
        (key, Lately { minute, recorded: 0, like_seq, count, first_ms, last_ms })
    });
    Ok(RepeatBook(known.collect()))
}
