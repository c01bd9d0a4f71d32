use pursekeeper_core::ports::Journal;

/// A journal whose state of health can be told.
pub trait Upkeep: Journal {
    /// Whether the process must end after this error: what is on disk is not known any more.
    fn is_fatal(error: &Self::Error) -> bool;

    /// Whether a record could be written now.
    ///
    /// # Errors
    /// Why not.
    fn probe(&mut self) -> Result<(), Self::Error>;

    /// Whether anything could be recorded now but stops, as far as that is known without trying.
    ///
    /// # Errors
    /// Why not.
    fn room(&self) -> Result<(), Self::Error>;

    /// What is worth doing while nobody waits.
    ///
    /// # Errors
    /// The journal's.
    fn upkeep(&mut self) -> Result<(), Self::Error>;

    /// The last record on disk.
    fn last_seq(&self) -> u64;
}
