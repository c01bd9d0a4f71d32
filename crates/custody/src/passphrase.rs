use std::path::Path;

use zeroize::Zeroizing;

use crate::{CustodyError, file};

/// Longest passphrase file, in bytes.
pub const PASSPHRASE_LEN_MAX: usize = 4096;

/// Random bytes of a generated passphrase. It is twice as many hexadecimal digits.
const GENERATED_BYTES: usize = 32;

/// What opens a keystore. Wiped from memory when dropped; it cannot be printed, copied or sent:
///
/// ```compile_fail,E0277
/// # let passphrase = pursekeeper_custody::Passphrase::generate()?;
/// println!("{passphrase:?}");
/// # Ok::<(), pursekeeper_custody::CustodyError>(())
/// ```
///
/// ```compile_fail,E0599
/// # let passphrase = pursekeeper_custody::Passphrase::generate()?;
/// let copy = passphrase.clone();
/// # Ok::<(), pursekeeper_custody::CustodyError>(())
/// ```
///
/// These would compile otherwise:
///
/// ```
/// # let passphrase = pursekeeper_custody::Passphrase::generate()?;
/// let moved = passphrase;
/// # Ok::<(), pursekeeper_custody::CustodyError>(())
/// ```
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Reads a passphrase from a file that only its owner may access. One newline at its end is not part of it.
    ///
    /// # Errors
    ///
    /// [`CustodyError`] when `path` is a link or no regular file, when its group or others have any access, when it
    /// is empty, or longer than [`PASSPHRASE_LEN_MAX`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, CustodyError> {
        let path = path.as_ref();
        let mut bytes = file::read(path, PASSPHRASE_LEN_MAX, file::GROUP_AND_OTHERS)?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        if bytes.is_empty() {
            return Err(CustodyError::EmptyPassphrase { path: path.to_owned() });
        }
        Ok(Self(bytes))
    }

    /// Draws 256 random bits, written as 64 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// [`CustodyError::Random`] when the system gives no random bytes.
    pub fn generate() -> Result<Self, CustodyError> {
        let mut random = Zeroizing::new([0; GENERATED_BYTES]);
        getrandom::fill(&mut *random)?;
        Ok(Self(Zeroizing::new(hex::encode(random.as_slice()).into_bytes())))
    }

    /// Writes it to a new file that only its owner may read. It is on disk when this returns.
    ///
    /// # Errors
    ///
    /// [`CustodyError::Io`] when there already is a file at `path`, or it cannot be written.
    pub fn write_new(&self, path: impl AsRef<Path>) -> Result<(), CustodyError> {
        file::write_new(path.as_ref(), &self.0, 0o400)
    }

    /// The bytes a key is derived from.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A passphrase chosen by a test.
    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        Self(Zeroizing::new(text.as_bytes().to_vec()))
    }
}
