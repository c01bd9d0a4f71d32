//! The table of holds, read beside the records: both are in the order of the permits.

use std::collections::HashMap;

use pursekeeper_core::{Address, Amount, ChainId, Endpoint, HoldState, Permit, Scope, UnixSeconds, Usd};
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator as _;
use rusqlite::{Row, Rows};

use super::VerifyError;
use super::indexes::HoldIndexes;
use super::tables::wrong;
use crate::JournalError;
use crate::credit::{CreditKey, credit_of};
use crate::state::scopes_of;
use crate::store::{unsigned, usd_bytes};

/// Every hold, in the order of the records.
pub(super) const HOLDS: &str =
    "SELECT seq, agent, request_id, endpoint, workflow, wallet, service, payee, amount, usd, held_until, network, nonce,
            method, state, settled_amount, settled_usd, resolved_seq
     FROM hold ORDER BY seq";

/// The holds as far as their permits have been read.
pub(super) struct Holds<'r> {
    rows: Rows<'r>,
    /// The permit of the row that comes next.
    next: Option<u64>,
    /// What rows say that are resolved later on, by the record that is to resolve them. At no time are there more than
    /// are outstanding.
    ahead: HashMap<u64, Resolved>,
    indexes: HoldIndexes,
    /// The last network, and how it is written.
    network: Option<(ChainId, String)>,
}

/// A hold that is resolved.
pub(super) struct Resolved {
    seq: u64,
    state: HoldState,
    pub(super) scopes: Vec<Scope>,
    pub(super) credit: Option<CreditKey>,
    pub(super) usd: Usd,
    pub(super) held_until: UnixSeconds,
}

impl<'r> Holds<'r> {
    /// From the rows of [`HOLDS`].
    pub(super) fn new(rows: Rows<'r>) -> Result<Self, VerifyError> {
        let (ahead, indexes) = (HashMap::new(), HoldIndexes::default());
        let mut holds = Self { rows, next: None, ahead, indexes, network: None };
        holds.advance()?;
        Ok(holds)
    }

    fn advance(&mut self) -> Result<(), VerifyError> {
        self.next = match self.rows.next()? {
            Some(row) => Some(unsigned(row.get(0)?)?),
            None => None,
        };
        Ok(())
    }

    /// Whether the permit in record `seq` has a hold, which must say what the permit says.
    pub(super) fn take(&mut self, seq: u64, permit: &Permit) -> Result<bool, VerifyError> {
        match self.next {
            Some(next) if next < seq => return Err(stray(next)),
            Some(next) if next == seq => {}
            Some(_) | None => return Ok(false),
        }
        let row = self.rows.get().ok_or_else(|| JournalError::damaged("a hold is gone while it is read"))?;
        let network = match &self.network {
            Some((network, text)) if *network == permit.intent.terms.asset.network => text,
            _ => {
                let network = permit.intent.terms.asset.network.clone();
                let text = network.to_string();
                &self.network.insert((network, text)).1
            }
        };
        if !same_hold(row, permit, network)? {
            return Err(wrong("hold", Some(seq), format!("the hold of record {seq} differs")));
        }
        let state = state(row)?;
        let (state, resolved_seq) = state.ok_or_else(|| half(seq))?;
        // A hold that says what a permit says is one that indexes can say.
        self.indexes.add(row, state == HoldState::Held)?.ok_or_else(|| half(seq))?;
        if let Some(resolved_seq) = resolved_seq {
            let resolved = Resolved {
                seq,
                state,
                scopes: scopes_of(permit).collect(),
                credit: credit_of(permit),
                usd: permit.intent.usd,
                held_until: permit.held_until,
            };
            if self.ahead.insert(resolved_seq, resolved).is_some() {
                let what = format!("two holds are resolved by record {resolved_seq}");
                return Err(wrong("hold", Some(seq), what));
            }
        }
        self.advance()?;
        Ok(true)
    }

    /// The hold that record `seq` resolves, if its row says so.
    pub(super) fn resolve(&mut self, seq: u64, hold: u64, state: HoldState) -> Option<Resolved> {
        self.ahead.remove(&seq).filter(|resolved| (resolved.seq, resolved.state) == (hold, state))
    }

    /// No hold is left, and none says that it was resolved by what did not resolve it. What the indexes must say.
    pub(super) fn finish(&mut self) -> Result<HoldIndexes, VerifyError> {
        if let Some(seq) = self.next {
            return Err(stray(seq));
        }
        match self.ahead.values().map(|resolved| resolved.seq).min() {
            None => Ok(std::mem::take(&mut self.indexes)),
            Some(seq) => {
                let what = format!("nothing resolved the hold of record {seq}, which is said to be resolved");
                Err(wrong("hold", Some(seq), what))
            }
        }
    }
}

fn half(seq: u64) -> VerifyError {
    wrong("hold", Some(seq), "a row says half of what it must say")
}

fn stray(seq: u64) -> VerifyError {
    wrong("hold", Some(seq), format!("record {seq} is no permit, and has a hold"))
}

fn same_hold(row: &Row<'_>, permit: &Permit, network: &str) -> Result<bool, VerifyError> {
    let Permit { intent, policies: _, held_until, warnings: _ } = permit;
    let text = |column| -> Result<&str, rusqlite::Error> { Ok(row.get_ref(column)?.as_str()?) };
    let blob = |column| -> Result<&[u8], rusqlite::Error> { Ok(row.get_ref(column)?.as_blob()?) };
    let service = row.get_ref(6)?.as_str_or_null().map_err(rusqlite::Error::from)?;
    Ok(text(1)? == intent.agent.as_str()
        && text(2)? == intent.request_id.as_str()
        && is_endpoint(text(3)?, &intent.endpoint)
        && text(4)? == intent.workflow.as_str()
        && is_address(text(5)?, intent.wallet_address)
        && service == intent.service.as_ref().map(|name| name.as_str())
        && is_address(text(7)?, intent.terms.payee)
        // An amount is written in one way only.
        && Amount::parse(text(8)?) == Ok(intent.terms.amount)
        && blob(9)? == usd_bytes(intent.usd)
        && u64::try_from(row.get::<_, i64>(10)?) == Ok(held_until.0)
        && text(11)? == network
        && blob(12)? == intent.nonce
        && text(13)? == intent.terms.method.as_str())
}

/// What became of a hold and in which record; nothing when the row contradicts itself.
fn state(row: &Row<'_>) -> Result<Option<(HoldState, Option<u64>)>, VerifyError> {
    let column = |at| row.get_ref(at);
    let state = column(14)?.as_str().map_err(rusqlite::Error::from)?;
    let amount = column(15)?.as_str_or_null().map_err(rusqlite::Error::from)?;
    let usd: Option<[u8; 16]> = row.get(16)?;
    let resolved_seq = row.get::<_, Option<i64>>(17)?.map(unsigned).transpose()?;
    let state = match (state, amount, usd, resolved_seq) {
        ("held", None, None, None) => Some(HoldState::Held),
        ("released", None, None, Some(_)) => Some(HoldState::Released),
        ("settled", Some(amount), Some(usd), Some(_)) => {
            let usd = Usd::from_units(u128::from_be_bytes(usd));
            Amount::parse(amount).ok().map(|amount| HoldState::Settled { amount, usd })
        }
        (_, _, _, _) => None,
    };
    Ok(state.map(|state| (state, resolved_seq)))
}

/// Whether a text is what [`crate::outstanding::endpoint_key`] writes.
fn is_endpoint(text: &str, endpoint: &Endpoint) -> bool {
    let url = endpoint.url();
    let call = url.split_once('?').map_or(url, |(call, _)| call);
    let after = text.strip_prefix(endpoint.method()).and_then(|after| after.strip_prefix(' '));
    after == Some(call)
}

/// Whether a text is what [`crate::record::address_text`] writes.
fn is_address(text: &str, address: Address) -> bool {
    let Address::Evm(address) = address;
    let mut digits = [0; 40];
    let written = hex::encode_to_slice(address.to_bytes(), &mut digits).is_ok();
    written && text.strip_prefix("0x").is_some_and(|text| text.as_bytes() == digits)
}
