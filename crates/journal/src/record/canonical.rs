use super::Record;
use crate::JournalError;

impl Record<'_> {
    /// The canonical bytes.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, JournalError> {
        let mut bytes = Vec::with_capacity(2_560);
        serde_json::to_writer(&mut bytes, self).map_err(JournalError::Unrecordable)?;
        Ok(bytes)
    }

    /// Whether these are the canonical bytes. They are compared as they would be written, and written nowhere.
    pub(super) fn is_written_as(&self, bytes: &[u8]) -> bool {
        let mut left = Left(bytes);
        serde_json::to_writer(&mut left, self).is_ok() && left.0.is_empty()
    }
}

/// What is left of bytes that are compared with what is written to it.
struct Left<'b>(&'b [u8]);

impl std::io::Write for Left<'_> {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.strip_prefix(part).ok_or(std::io::ErrorKind::InvalidData)?;
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
