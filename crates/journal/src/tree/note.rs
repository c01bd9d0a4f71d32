use std::fmt;

use pursekeeper_core::Checkpoint;
use signed_note::{Note, StandardVerifier, Verifier, VerifierList};

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
        Self::any_of(&[text])
    }

    /// Reads several of one journal, of which any may have signed: an audit key that was lost had a successor.
    ///
    /// # Errors
    /// [`AuditVerifierError`] for anything else, and for none at all.
    pub fn any_of<T: AsRef<str>>(texts: &[T]) -> Result<Self, AuditVerifierError> {
        let mut known: Vec<Box<dyn Verifier>> = Vec::with_capacity(texts.len());
        let mut name = None;
        for text in texts {
            let verifier = StandardVerifier::new(text.as_ref().trim()).map_err(|_| AuditVerifierError)?;
            let named = name.get_or_insert_with(|| verifier.name().to_owned());
            if named != verifier.name() {
                return Err(AuditVerifierError);
            }
            known.push(Box::new(verifier));
        }
        Ok(Self { name: name.ok_or(AuditVerifierError)?, known: VerifierList::new(known) })
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
///
/// # Errors
/// [`NoteFault::Malformed`] when it is no signed note with a checkpoint in it.
pub fn checkpoint_in(note: &str) -> Result<Checkpoint, NoteFault> {
    read(note).map(|(checkpoint, _)| checkpoint)
}

fn read(note: &str) -> Result<(Checkpoint, Note), NoteFault> {
    let parsed = Note::from_bytes(note.as_bytes()).map_err(|_| NoteFault::Malformed)?;
    let text = str::from_utf8(parsed.text()).map_err(|_| NoteFault::Malformed)?;
    Ok((Checkpoint::parse(text).map_err(|_| NoteFault::Malformed)?, parsed))
}
