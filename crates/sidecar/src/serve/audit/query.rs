//! Finding records, a page at a time.

use pursekeeper_api::v1;
use pursekeeper_journal::{JournalError, Reader, Stretch};
use tonic::Status;

use super::filter::Filter;
use super::records::{LOOKED_AT_MAX, Records, look};
use super::token;

/// Records of a page when nobody says.
const PAGE_LEN_DEFAULT: usize = 100;
/// Most records of a page.
const PAGE_LEN_MAX: usize = 1_000;
/// Bytes of records of a page: an answer stays below what gRPC clients take, 4 MiB, with what is told beside each.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// One page of a query.
pub(super) struct Query {
    pub(super) filter: Filter,
    pub(super) page_size: u32,
    pub(super) page_token: String,
    pub(super) newest_first: bool,
    /// The last record on disk.
    pub(super) durable: u64,
}

impl Query {
    pub(super) async fn answer(self, records: &Records) -> Result<v1::QueryResponse, Status> {
        let digest = self.filter.digest(self.newest_first);
        let next = match self.page_token.as_str() {
            "" => None,
            token => Some(token::read(token, &digest)?),
        };
        let read = move |reader: &Reader| Ok((self.look(reader, next)?, reader.archived_and_pruned()?));
        let ((decisions, next), (_, pruned_through)) = records.read(read).await?;
        let next_page_token = next.map(|next| token::write(next, &digest)).unwrap_or_default();
        Ok(v1::QueryResponse { decisions, next_page_token, pruned_through })
    }

    /// One bounded look: a page may be short, or empty, before the end.
    fn look(
        &self,
        reader: &Reader,
        next: Option<u64>,
    ) -> Result<(Vec<v1::Decision>, Option<u64>), JournalError> {
        let (since, until) = self.filter.times();
        let mut first_seq = self.filter.first_seq();
        if since > 0 {
            first_seq = first_seq.max(reader.first_seq_at(since)?);
        }
        let mut last_seq = self.durable;
        if let Some(until) = until {
            last_seq = last_seq.min(reader.first_seq_at(until)?.saturating_sub(1));
        }
        match next {
            Some(next) if self.newest_first => last_seq = last_seq.min(next),
            Some(next) => first_seq = first_seq.max(next),
            None => {}
        }
        let found_max = match usize::try_from(self.page_size).unwrap_or(PAGE_LEN_MAX) {
            0 => PAGE_LEN_DEFAULT,
            size => size.min(PAGE_LEN_MAX),
        };
        let stretch = Stretch {
            first_seq,
            last_seq,
            newest_first: self.newest_first,
            looked_at_max: LOOKED_AT_MAX,
            found_max,
            found_bytes_max: PAGE_BYTES_MAX,
        };
        look(reader, &self.filter, stretch)
    }
}
