use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Digest, JournalId};

/// What begins the origin of every checkpoint, and the name of every audit key.
const ORIGIN: &str = "pursekeeper/";

/// What the audit key signs, and the only thing it signs: how many records a journal has, and the root of the Merkle tree
/// (RFC 6962 §2.1) over them.
///
/// `Checkpoint::to_string` is the text of a C2SP tlog-checkpoint: three lines, of which none is an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose records.
    pub journal: JournalId,
    /// How many, from the first.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Digest,
}

/// A text that is not a checkpoint of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a checkpoint of a journal: it has three lines, `pursekeeper/<journal id>`, a size and a root")]
pub struct CheckpointError;

impl Checkpoint {
    /// What says whose checkpoint it is, and the name of the key that signs it.
    #[must_use]
    pub fn origin(journal: JournalId) -> String {
        format!("{ORIGIN}{journal}")
    }

    /// Reads the text of a checkpoint, in exactly the bytes in which it is written.
    ///
    /// # Errors
    /// [`CheckpointError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.split('\n');
        let mut line = || lines.next().ok_or(CheckpointError);
        let journal = line()?.strip_prefix(ORIGIN).ok_or(CheckpointError)?;
        let journal = JournalId::parse(journal).map_err(|_| CheckpointError)?;
        let size = line()?.parse().map_err(|_| CheckpointError)?;
        let root = STANDARD.decode(line()?).map_err(|_| CheckpointError)?;
        let root = Digest(root.try_into().map_err(|_| CheckpointError)?);
        let checkpoint = Self { journal, size, root };
        if checkpoint.to_string() == text { Ok(checkpoint) } else { Err(CheckpointError) }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { journal, size, root } = self;
        writeln!(f, "{}\n{size}\n{}", Self::origin(*journal), STANDARD.encode(root.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_reads_back_as_written_and_nothing_else_does() {
        let checkpoint =
            Checkpoint { journal: JournalId([0xab; 16]), size: 20_852_163, root: Digest([7; 32]) };
        let text = checkpoint.to_string();
        let (origin, root) =
            ("pursekeeper/abababababababababababababababab", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
        assert_eq!(text, format!("{origin}\n20852163\n{root}\n"));
        assert_eq!(Checkpoint::parse(&text), Ok(checkpoint));
        for wrong in [
            String::new(),
            text.trim_end().to_owned(),
            format!("{text}\n"),
            format!("{text}an extension\n"),
            text.replace("pursekeeper/", "example.com/"),
            text.replace("abab", "ABAB"),
            text.replace("20852163", "020852163"),
            text.replace("20852163", "+20852163"),
            text.replace("20852163", "-1"),
            text.replace("20852163", "18446744073709551616"),
            text.replace("Bwc=", "Bwd="),
            text.replace("Bwc=", ""),
            text.replace('\n', "\r\n"),
        ] {
            assert_eq!(Checkpoint::parse(&wrong), Err(CheckpointError), "{wrong:?}");
        }
    }
}
