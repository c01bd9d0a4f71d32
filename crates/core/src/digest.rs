use std::fmt;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The identity of one journal, drawn at random when it is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JournalId(pub [u8; 16]);

/// A text that is not a journal or decision id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a journal or decision id")]
pub struct JournalIdError;

impl JournalId {
    /// Reads 32 hexadecimal digits.
    ///
    /// # Errors
    /// [`JournalIdError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, JournalIdError> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| JournalIdError)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Names one record: the first four bytes of its journal's id, and its position there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DecisionId {
    /// First four bytes of the [`JournalId`].
    pub journal: [u8; 4],
    /// Position in the journal, from 1.
    pub seq: u64,
}

impl DecisionId {
    /// The id of record `seq` of `journal`.
    #[must_use]
    pub const fn new(journal: JournalId, seq: u64) -> Self {
        let [a, b, c, d, ..] = journal.0;
        Self { journal: [a, b, c, d], seq }
    }

    /// Reads `<8 hex digits>-<seq>`.
    ///
    /// # Errors
    /// [`JournalIdError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, JournalIdError> {
        let (journal, seq) = text.split_once('-').ok_or(JournalIdError)?;
        let mut bytes = [0; 4];
        hex::decode_to_slice(journal, &mut bytes).map_err(|_| JournalIdError)?;
        let id = Self { journal: bytes, seq: seq.parse().map_err(|_| JournalIdError)? };
        if id.to_string() == text { Ok(id) } else { Err(JournalIdError) }
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", hex::encode(self.journal), self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_as_written_and_nothing_else_does() {
        let id = DecisionId::new(JournalId([0xab; 16]), 7);
        assert_eq!(id.to_string(), "abababab-7");
        assert_eq!(DecisionId::parse("abababab-7"), Ok(id));
        for text in
            ["", "abababab", "abababab-", "abababab-07", "ABABABAB-7", "abab-7", "abababab-+7", "abababab--7"]
        {
            assert_eq!(DecisionId::parse(text), Err(JournalIdError), "{text:?}");
        }
        assert!(JournalId::parse("ab").is_err());
    }
}
