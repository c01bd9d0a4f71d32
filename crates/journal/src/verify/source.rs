use pursekeeper_core::Digest;
use rusqlite::{Connection, ErrorCode};

use super::{Fault, VerifyError};
use crate::store::unsigned;

/// A record where it is stored.
pub(crate) struct Stored<'r> {
    pub(crate) seq: u64,
    pub(crate) body: &'r [u8],
    pub(crate) chain: Digest,
    pub(crate) high_water_ms: u64,
}

/// Where records are read to be verified. What was archived may stand before what is in the database.
pub(crate) trait Records {
    /// Tells of every record, in order, until `tell` has seen enough.
    fn each_record(
        &self,
        tell: &mut dyn FnMut(Stored<'_>) -> Result<(), VerifyError>,
    ) -> Result<(), VerifyError>;
}

impl Records for Connection {
    fn each_record(
        &self,
        tell: &mut dyn FnMut(Stored<'_>) -> Result<(), VerifyError>,
    ) -> Result<(), VerifyError> {
        let mut records = self.prepare("SELECT seq, body, chain, high_water_ms FROM record ORDER BY seq")?;
        let mut rows = records.query([])?;
        let mut seq = 0;
        // A page that SQLite cannot read hides a record, and that record is known.
        let damaged = |seq: u64, error: rusqlite::Error| match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::SystemIoFailure) => {
                let fault = Fault::Undecodable(error.to_string());
                VerifyError::Record { seq: seq.saturating_add(1), fault }
            }
            _ => error.into(),
        };
        while let Some(row) = rows.next().map_err(|error| damaged(seq, error))? {
            seq = unsigned(row.get(0)?)?;
            let blob = |at| -> Result<&[u8], rusqlite::Error> { Ok(row.get_ref(at)?.as_blob()?) };
            let chain = blob(2)?.try_into().map_err(|_| VerifyError::Record { seq, fault: Fault::Chain })?;
            let high_water_ms = unsigned(row.get(3)?)?;
            tell(Stored { seq, body: blob(1)?, chain: Digest(chain), high_water_ms })?;
        }
        Ok(())
    }
}
