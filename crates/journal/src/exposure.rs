//! What is outside: signatures that were handed out and can still be settled.

use pursekeeper_core::ports::Hold;
use pursekeeper_core::{Signature, Subject, TransferMethod, UnixSeconds, Usd};
use rusqlite::params_from_iter;
use rusqlite::types::Value;

use crate::store::{exposed_of, find_void, integer, unsigned};
use crate::{JournalError, RECORDS_PER_READ_MAX, Reader, ledger};

/// A signature that can still be settled.
#[derive(Clone)]
pub struct Exposed {
    /// The money it binds.
    pub hold: Hold,
    /// What voids it, if that was signed.
    pub void: Option<Signature>,
}

/// Everything that is outside of one subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExposureSum {
    /// Signatures.
    pub signatures: u64,
    /// Dollars they may take. A sum that does not fit stays at its maximum.
    pub usd: Usd,
    /// How many of them a signature of the wallet can void.
    pub cancellable: u64,
    /// When the last of them is dead; zero when there are none.
    pub until: UnixSeconds,
}

impl Reader {
    /// The signatures of a subject, under any of its names, that can still be settled at `now`, oldest first. `page` says
    /// after which record, and how many at most, which is never more than [`RECORDS_PER_READ_MAX`]. The sidecar stands for
    /// everybody.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when one cannot be read, and whatever the disk does.
    pub fn exposed(
        &self,
        names: &[Subject],
        now: UnixSeconds,
        (after, limit): (u64, usize),
    ) -> Result<Vec<Exposed>, JournalError> {
        let page = (after, limit.min(RECORDS_PER_READ_MAX));
        let holds = ledger::exposed(self.connection(), names, now, page)?.into_iter();
        holds.map(|hold| Ok(Exposed { void: find_void(self.connection(), hold.seq)?, hold })).collect()
    }

    /// What voids the payment of record `seq`, if that was signed.
    ///
    /// # Errors
    /// Whatever the disk does.
    pub fn void(&self, seq: u64) -> Result<Option<Signature>, JournalError> {
        find_void(self.connection(), seq)
    }

    /// How many signatures are held: nobody knows yet what became of them.
    ///
    /// # Errors
    /// Whatever the disk does.
    pub fn held_len(&self) -> Result<u64, JournalError> {
        let sql = "SELECT count(*) FROM hold WHERE state = 'held'";
        unsigned(self.connection().prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    /// The sum over [`Reader::exposed`].
    ///
    /// # Errors
    /// Whatever the disk does.
    pub fn exposure(&self, names: &[Subject], now: UnixSeconds) -> Result<ExposureSum, JournalError> {
        let mut values: Vec<Value> = vec![integer(now.0)?.into()];
        let of = exposed_of(names, &mut values);
        let sql =
            format!("SELECT usd, method, held_until FROM hold WHERE state = 'held' AND held_until >= ?1{of}");
        let mut statement = self.connection().prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let mut sum = ExposureSum::default();
        while let Some(row) = rows.next()? {
            let usd = Usd::from_units(u128::from_be_bytes(row.get(0)?));
            let method: String = row.get(1)?;
            let cancellable = method == TransferMethod::Eip3009.as_str();
            sum = ExposureSum {
                signatures: sum.signatures.saturating_add(1),
                usd: sum.usd.checked_add(usd).unwrap_or(Usd::MAX),
                cancellable: sum.cancellable.saturating_add(u64::from(cancellable)),
                until: sum.until.max(UnixSeconds(unsigned(row.get(2)?)?)),
            };
        }
        Ok(sum)
    }
}
