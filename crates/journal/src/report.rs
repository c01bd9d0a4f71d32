//! What a review meeting asks: how much went where, which wallets are in use, and what was called at all.
//!
//! Each answer reads what it is about once, in one state of the journal, in memory that grows with what it answers and not
//! with the records. Nothing here is on the way of a decision.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use pursekeeper_core::{
    Address, Entry, Moment, Scope, SignInIntent, SignInOutcome, UnixSeconds, Usd, WorkflowName,
};

use crate::outstanding::endpoint_key;
use crate::record::{Content, decode, parse_scope};
use crate::store::{find_record, unsigned};
use crate::{JournalError, Reader};

/// What one wallet paid for one workflow at one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeRow {
    /// The workflow, as it was called then.
    pub workflow: WorkflowName,
    /// The wallet. Another address is another row, also when it replaced this one.
    pub wallet: Address,
    /// Method, origin and path of the call, as the agent stated it, without the query; empty when it stated none.
    pub endpoint: String,
    /// Payments, settled and held together. Those that were released took nothing and are left out.
    pub payments: u64,
    /// Dollars: what was settled of those that are, and what is bound by the others. A sum that does not fit stays at its
    /// maximum.
    pub usd: Usd,
}

/// The record in which a wallet was last used, and its time as far as that was read already.
#[derive(Clone, Copy)]
struct Use {
    seq: u64,
    at: Option<UnixSeconds>,
}

impl Reader {
    /// What was paid, by workflow, wallet and endpoint: the most dollars first, then by name.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when a row cannot be read, and whatever the disk does.
    pub fn volumes(&self) -> Result<Vec<VolumeRow>, JournalError> {
        let state = self.connection().unchecked_transaction()?;
        // SQLite cannot add these dollars, and would sort every hold to group them.
        let sql = "SELECT workflow, wallet, endpoint, coalesce(settled_usd, usd) FROM hold WHERE state != 'released'";
        let mut statement = state.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut groups: HashMap<[String; 3], (u64, Usd)> = HashMap::new();
        while let Some(row) = rows.next()? {
            let usd = Usd::from_units(u128::from_be_bytes(row.get(3)?));
            let (payments, total) = groups.entry([row.get(0)?, row.get(1)?, row.get(2)?]).or_default();
            *payments = payments.saturating_add(1);
            *total = total.checked_add(usd).unwrap_or(Usd::MAX);
        }
        let sql = "SELECT workflow, wallet, endpoint, payments, usd FROM past WHERE payments > 0";
        let mut statement = state.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let usd = Usd::from_units(u128::from_be_bytes(row.get(4)?));
            let (payments, total) = groups.entry([row.get(0)?, row.get(1)?, row.get(2)?]).or_default();
            *payments = payments.saturating_add(unsigned(row.get(3)?)?);
            *total = total.checked_add(usd).unwrap_or(Usd::MAX);
        }
        let volume = |([workflow, wallet, endpoint], (payments, usd)): ([String; 3], (u64, Usd))| {
            let unknown = |_| JournalError::damaged(format!("`{workflow}` is no workflow"));
            Ok(VolumeRow {
                workflow: WorkflowName::parse(&workflow).map_err(unknown)?,
                wallet: address(&wallet)?,
                endpoint: endpoint.trim().to_owned(),
                payments,
                usd,
            })
        };
        let mut volumes = groups.into_iter().map(volume).collect::<Result<Vec<_>, JournalError>>()?;
        volumes.sort_by(|a, b| {
            let key = |row: &'_ VolumeRow| (Reverse(row.usd), row.workflow.clone(), row.wallet);
            key(a).cmp(&key(b)).then_with(|| a.endpoint.cmp(&b.endpoint))
        });
        Ok(volumes)
    }

    /// When each wallet last paid or signed in: the time of the record that permits it, whatever became of the money. A
    /// wallet that never did is not in it.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when a record cannot be read, and whatever the disk does.
    pub fn last_used(&self) -> Result<BTreeMap<Address, UnixSeconds>, JournalError> {
        let state = self.connection().unchecked_transaction()?;
        let mut paid: HashMap<String, u64> = HashMap::new();
        let mut statement = state.prepare_cached("SELECT seq, wallet FROM hold ORDER BY seq")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (seq, wallet) = (unsigned(row.get(0)?)?, row.get_ref(1)?.as_str().map_err(text)?);
            match paid.get_mut(wallet) {
                Some(last) => *last = seq,
                None => drop(paid.insert(wallet.to_owned(), seq)),
            }
        }
        let mut uses: BTreeMap<Address, Use> = BTreeMap::new();
        for (wallet, seq) in paid {
            uses.insert(address(&wallet)?, Use { seq, at: None });
        }
        let mut statement = state.prepare_cached("SELECT wallet, last_seq, last_ms FROM past")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (seq, at) = (unsigned(row.get(1)?)?, unsigned(row.get(2)?)?);
            let past = Use { seq, at: Some(UnixSeconds(at.div_euclid(1000))) };
            let last = uses.entry(address(row.get_ref(0)?.as_str().map_err(text)?)?).or_insert(past);
            if last.seq < seq {
                *last = past;
            }
        }
        self.each_sign_in(|seq, at, intent| {
            let signed_in = Use { seq, at: Some(at.unix_seconds()) };
            let last = uses.entry(intent.wallet_address).or_insert(signed_in);
            if last.seq < seq {
                *last = signed_in;
            }
        })?;
        let time = |(wallet, Use { seq, at }): (Address, Use)| {
            let missing = || JournalError::damaged(format!("record {seq} is missing"));
            let read = || self.time_of(seq)?.map(|at| at.unix_seconds()).ok_or_else(missing);
            Ok((wallet, at.map_or_else(read, Ok)?))
        };
        uses.into_iter().map(time).collect()
    }

    /// What permitted payments and sign-ins were for: `METHOD https://origin/path` each, without the query. A call that
    /// the agent did not state is not in it.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when a record cannot be read, and whatever the disk does.
    pub fn called(&self) -> Result<BTreeSet<String>, JournalError> {
        let state = self.connection().unchecked_transaction()?;
        let mut called = BTreeSet::new();
        let mut statement =
            state.prepare_cached("SELECT endpoint FROM hold UNION SELECT endpoint FROM past")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            called.insert(row.get::<_, String>(0)?);
        }
        self.each_sign_in(|_, _, intent| {
            called.insert(endpoint_key(&intent.endpoint));
        })?;
        called.retain(|call| !call.trim().is_empty());
        Ok(called)
    }

    /// When record `seq` was written, if there is one.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when it cannot be read, and whatever the disk does.
    pub fn time_of(&self, seq: u64) -> Result<Option<Moment>, JournalError> {
        if i64::try_from(seq).is_err() {
            return Ok(None);
        }
        let body = find_record(self.connection(), seq)?;
        body.map(|body| Ok(decode(&body)?.time)).transpose()
    }

    /// Tells of every permitted sign-in: a request id without money. No table says which wallet it was.
    fn each_sign_in(&self, mut tell: impl FnMut(u64, Moment, &SignInIntent)) -> Result<(), JournalError> {
        let sql = "SELECT request.seq, record.body FROM request CROSS JOIN record ON record.seq = request.seq
                   WHERE NOT EXISTS (SELECT 1 FROM hold WHERE hold.seq = request.seq)";
        let mut statement = self.connection().prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let seq = unsigned(row.get(0)?)?;
            let wrong =
                || JournalError::damaged(format!("record {seq} permits neither a payment nor a sign-in"));
            let body = row.get_ref(1)?.as_blob().map_err(text)?;
            let record = decode(body)?;
            let Content::Entry(Entry::SignIn(decision)) = &record.content else { return Err(wrong()) };
            let SignInOutcome::Permit(permit) = &decision.outcome else { return Err(wrong()) };
            tell(seq, record.time, &permit.intent);
        }
        Ok(())
    }
}

/// A wallet's address as tables write it.
fn address(text: &str) -> Result<Address, JournalError> {
    match parse_scope("wallet", text) {
        Ok(Scope::Wallet(address)) => Ok(address),
        Ok(Scope::Agent(_) | Scope::Workflow(_) | Scope::Service(_) | Scope::Payee(_)) | Err(_) => {
            Err(JournalError::damaged(format!("`{text}` is no wallet")))
        }
    }
}

/// A column is not of the type the schema says.
fn text(error: rusqlite::types::FromSqlError) -> JournalError {
    rusqlite::Error::from(error).into()
}
