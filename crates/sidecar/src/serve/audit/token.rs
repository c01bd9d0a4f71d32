//! Where a query goes on.

use pursekeeper_core::Digest;
use tonic::{Code, Status};

use crate::serve::convert::fault;

/// Hex digits of the filter's digest in a token: it keeps mistakes out, not attackers.
const MARK_LEN: usize = 16;

/// The token for a page that begins at `next_seq`.
pub(super) fn write(next_seq: u64, filter: &Digest) -> String {
    format!("{next_seq}.{}", mark(filter))
}

/// The record at which a page begins.
pub(super) fn read(token: &str, filter: &Digest) -> Result<u64, Status> {
    let malformed = |message: &str| fault(Code::InvalidArgument, "MALFORMED_PAGE_TOKEN", message);
    let parts = token.split_once('.').and_then(|(seq, mark)| Some((seq.parse::<u64>().ok()?, mark)));
    let (next_seq, found) = parts
        .ok_or_else(|| malformed("`page_token`: repeat what the page before gave in `next_page_token`"))?;
    if found != mark(filter) {
        return Err(malformed(
            "`page_token`: it belongs to another filter or direction: repeat both, or begin without a token",
        ));
    }
    Ok(next_seq)
}

fn mark(filter: &Digest) -> String {
    filter.to_string().chars().take(MARK_LEN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_for_its_own_filter_only() {
        let (own, other) = (Digest([1; 32]), Digest([2; 32]));
        let token = write(42, &own);
        assert_eq!(read(&token, &own).unwrap(), 42);
        let cut: String = token.chars().take(5).collect();
        for (token, filter) in [
            (token.as_str(), &other),
            ("42", &own),
            ("", &own),
            (".", &own),
            ("x.0101010101010101", &own),
            ("-1.0101010101010101", &own),
            (&cut, &own),
        ] {
            let refused = read(token, filter).unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{token}");
        }
    }
}
