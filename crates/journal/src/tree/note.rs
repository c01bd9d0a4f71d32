use std::fmt;

use pursekeeper_core::Checkpoint;
use signed_note::{Note, StandardVerifier, Verifier as _, VerifierList};

/// Who signs the checkpoints of a journal: the public half of the audit key, under the name of that journal.
pub struct AuditVerifier {
    name: String,
    known: VerifierList,
}

/// A text that is not the verifier key of a journal's checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an Ed25519 verifier key of a signed note: give the line that `pursekeeper audit key` prints, \
     `pursekeeper/<journal id>+<key id>+<key>`"
)]
pub struct AuditVerifierError;

/// Why a note is no checkpoint to rely on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteFault {
    /// It is no signed note with a checkpoint in it.
    #[error("is not a signed note with a checkpoint of a journal in it")]
    Malformed,
    /// It is about another journal than the key.
    #[error("is about another journal")]
    OtherJournal,
    /// No signature of the key is on it, or one that is not over this text.
    #[error("does not carry a good signature of the audit key")]
    Unsigned,
}

impl AuditVerifier {
    /// Reads a verifier key (C2SP signed-note, "Verifier keys").
    ///
    /// # Errors
    /// [`AuditVerifierError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, AuditVerifierError> {
        let verifier = StandardVerifier::new(text).map_err(|_| AuditVerifierError)?;
        let name = verifier.name().to_owned();
        Ok(Self { name, known: VerifierList::new(vec![Box::new(verifier)]) })
    }

    /// Whose key it is, and the origin of what it signs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The checkpoint in a note that this key signed.
    ///
    /// # Errors
    /// [`NoteFault`] when it did not.
    pub fn open(&self, note: &str) -> Result<Checkpoint, NoteFault> {
        let (checkpoint, parsed) = read(note)?;
        if Checkpoint::origin(checkpoint.journal) != self.name {
            return Err(NoteFault::OtherJournal);
        }
        parsed.verify(&self.known).map_err(|_| NoteFault::Unsigned)?;
        Ok(checkpoint)
    }
}

impl fmt::Debug for AuditVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditVerifier").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a note says, whoever signed it.
pub(crate) fn checkpoint_in(note: &str) -> Result<Checkpoint, NoteFault> {
    read(note).map(|(checkpoint, _)| checkpoint)
}

fn read(note: &str) -> Result<(Checkpoint, Note), NoteFault> {
    let parsed = Note::from_bytes(note.as_bytes()).map_err(|_| NoteFault::Malformed)?;
    let text = str::from_utf8(parsed.text()).map_err(|_| NoteFault::Malformed)?;
    Ok((Checkpoint::parse(text).map_err(|_| NoteFault::Malformed)?, parsed))
}
