//! What a query answers, page by page.

use std::path::Path;

use pursekeeper_api::{Audit, Channel, v1};

use crate::cli::client;

/// Records asked for at a time.
pub(super) const PAGE_LEN: u32 = 500;

/// A query under way.
pub(super) struct Pages {
    audit: Audit,
    request: v1::QueryRequest,
    over: bool,
    pruned_through: u64,
}

impl Pages {
    pub(super) fn new(channel: Channel, filter: v1::AuditFilter, newest_first: bool) -> Self {
        let request = v1::QueryRequest {
            filter: Some(filter),
            page_size: PAGE_LEN,
            page_token: String::new(),
            newest_first,
        };
        Self { audit: Audit::new(channel), request, over: false, pruned_through: 0 }
    }

    /// The next records that fit, at most `len_max`; nothing at the end.
    pub(super) async fn next(&mut self, len_max: u64) -> anyhow::Result<Option<Vec<v1::Decision>>> {
        while !self.over && len_max > 0 {
            self.request.page_size = u32::try_from(len_max).unwrap_or(u32::MAX).min(PAGE_LEN);
            let answered = self.audit.query(self.request.clone()).await;
            let v1::QueryResponse { decisions, next_page_token, pruned_through } = client::answer(answered)?;
            self.pruned_through = pruned_through;
            self.over = next_page_token.is_empty();
            self.request.page_token = next_page_token;
            // A page without records only says how far was looked.
            if !decisions.is_empty() {
                return Ok(Some(decisions));
            }
        }
        Ok(None)
    }

    /// Tells the person what cannot have been found.
    pub(super) fn tell_what_left(&self) {
        if self.pruned_through > 0 {
            let through = self.pruned_through;
            eprintln!(
                "note: records up to {through} may be in the archive alone: `pursekeeper audit import` makes a database of it"
            );
        }
    }

    /// All that is left, at most `len_max`.
    pub(super) async fn rest(&mut self, len_max: u64) -> anyhow::Result<Vec<v1::Decision>> {
        let mut all = Vec::new();
        while let Some(decisions) = self.next(len_max.saturating_sub(all.len() as u64)).await? {
            all.extend(decisions);
        }
        Ok(all)
    }
}

/// The record at `seq`.
pub(super) async fn record(channel: Channel, seq: u64) -> anyhow::Result<v1::Decision> {
    let filter = v1::AuditFilter { about_seq: seq, ..Default::default() };
    // What a record is about stands before it: the first that fits is the record itself.
    let request = v1::QueryRequest {
        filter: Some(filter),
        page_size: 1,
        page_token: String::new(),
        newest_first: false,
    };
    let found = client::answer(Audit::new(channel).query(request).await)?.decisions.into_iter().next();
    found.filter(|decision| decision.seq == seq).ok_or_else(|| {
        anyhow::anyhow!("there is no record {seq}: `pursekeeper audit tail` shows the latest; one that was archived is in its archive")
    })
}

/// Connects to the operators' socket of a configuration.
pub(super) async fn connect(config: &Path) -> anyhow::Result<Channel> {
    client::operators(config).await
}
