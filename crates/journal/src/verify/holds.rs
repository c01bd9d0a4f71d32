//! The table of holds, read beside the records: both are in the order of the permits.

use std::collections::HashMap;

use pursekeeper_core::{Address, Amount, ChainId, Endpoint, HoldState, Permit, Scope, UnixSeconds, Usd};
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator as _;
use rusqlite::{Row, Rows};

use super::VerifyError;
use super::indexes::{HoldIndexes, Indexed};
use super::tables::wrong;
use crate::JournalError;
use crate::credit::{CreditKey, credit_of};
use crate::state::scopes_of;
use crate::store::{integer, unsigned, usd_bytes};

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
        let indexed = Indexed {
            seq: integer(seq)?,
            nonce: row.get_ref(12)?.as_blob().map_err(rusqlite::Error::from)?,
            wallet: row.get_ref(5)?.as_bytes().map_err(rusqlite::Error::from)?,
            held_until: row.get(10)?,
            network: row.get_ref(11)?.as_bytes().map_err(rusqlite::Error::from)?,
            resolved_seq: row.get(17)?,
        };
        if indexed.network != network.as_bytes() || !same_hold(row, &indexed, permit)? {
            return Err(wrong("hold", Some(seq), format!("the hold of record {seq} differs")));
        }
        let resolved_seq = indexed.resolved_seq.map(unsigned).transpose()?;
        let state = state(row, resolved_seq)?.ok_or_else(|| half(seq))?;
        // A hold that says what a permit says is one that indexes can say.
        self.indexes.add(indexed).ok_or_else(|| half(seq))?;
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

fn same_hold(row: &Row<'_>, indexed: &Indexed<'_>, permit: &Permit) -> Result<bool, VerifyError> {
    let Permit { intent, policies: _, held_until, warnings: _ } = permit;
    let bytes = |column| -> Result<&[u8], rusqlite::Error> { Ok(row.get_ref(column)?.as_bytes()?) };
    let service = row.get_ref(6)?.as_bytes_or_null().map_err(rusqlite::Error::from)?;
    Ok(bytes(1)? == intent.agent.as_str().as_bytes()
        && bytes(2)? == intent.request_id.as_str().as_bytes()
        && is_endpoint(bytes(3)?, &intent.endpoint)
        && bytes(4)? == intent.workflow.as_str().as_bytes()
        && is_address(indexed.wallet, intent.wallet_address)
        && service == intent.service.as_ref().map(|name| name.as_str().as_bytes())
        && is_address(bytes(7)?, intent.terms.payee)
        && is_amount(bytes(8)?, intent.terms.amount)
        && bytes(9)? == usd_bytes(intent.usd)
        && u64::try_from(indexed.held_until) == Ok(held_until.0)
        && indexed.nonce == intent.nonce
        && bytes(13)? == intent.terms.method.as_str().as_bytes())
}

/// What became of a hold; nothing when the row contradicts itself.
fn state(row: &Row<'_>, resolved_seq: Option<u64>) -> Result<Option<HoldState>, VerifyError> {
    let state = row.get_ref(14)?.as_str().map_err(rusqlite::Error::from)?;
    let amount = row.get_ref(15)?.as_str_or_null().map_err(rusqlite::Error::from)?;
    let usd: Option<[u8; 16]> = row.get(16)?;
    Ok(match (state, amount, usd, resolved_seq) {
        ("held", None, None, None) => Some(HoldState::Held),
        ("released", None, None, Some(_)) => Some(HoldState::Released),
        ("settled", Some(amount), Some(usd), Some(_)) => {
            let usd = Usd::from_units(u128::from_be_bytes(usd));
            Amount::parse(amount).ok().map(|amount| HoldState::Settled { amount, usd })
        }
        (_, _, _, _) => None,
    })
}

/// Whether a text is what [`crate::outstanding::endpoint_key`] writes.
fn is_endpoint(text: &[u8], endpoint: &Endpoint) -> bool {
    let url = endpoint.url();
    let call = url.split_once('?').map_or(url, |(call, _)| call);
    let after = text.strip_prefix(endpoint.method().as_bytes());
    after.and_then(|after| after.strip_prefix(b" ")) == Some(call.as_bytes())
}

/// Whether a text is what [`crate::record::address_text`] writes.
fn is_address(text: &[u8], address: Address) -> bool {
    let Address::Evm(address) = address;
    let mut digits = [0; 40];
    let written = hex::encode_to_slice(address.to_bytes(), &mut digits).is_ok();
    written && text.strip_prefix(b"0x") == Some(digits.as_slice())
}

/// Whether a text is how an amount is written, which there is only one way to do.
fn is_amount(text: &[u8], amount: Amount) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| Amount::parse(text) == Ok(amount))
}
