//! Handing a key to a sidecar that runs, past everything that lies between.

use std::path::Path;

use age::x25519;
use pursekeeper_core::{Address, WalletName};

use crate::key::PrivateKey;
use crate::{CustodyError, Recipient, Source, sealed, wallet_key};

/// Longest delivery that is read, in bytes. Usual ones have 700.
pub const DELIVERY_LEN_MAX: usize = 4096;

/// What errors call a delivery, which has no file.
const DELIVERY: &str = "the delivered key";

/// What a sidecar takes a key in with: an age identity that is drawn for it, lives in memory only and is wiped when
/// dropped. It cannot be printed or copied:
///
/// ```compile_fail,E0277
/// println!("{:?}", pursekeeper_custody::Transport::generate());
/// ```
///
/// ```compile_fail,E0599
/// let copy = pursekeeper_custody::Transport::generate().clone();
/// ```
///
/// Its public half is there for all to see:
///
/// ```
/// println!("{}", pursekeeper_custody::Transport::generate().recipient());
/// ```
pub struct Transport([x25519::Identity; 1]);

impl Transport {
    /// Draws a new one.
    #[must_use]
    pub fn generate() -> Self {
        Self([x25519::Identity::generate()])
    }

    /// Whom to seal the delivery for.
    #[must_use]
    pub fn recipient(&self) -> Recipient {
        let Self([identity]) = self;
        identity.to_public().into()
    }

    /// The account of the key of `wallet` that a delivery holds. Nothing is kept.
    ///
    /// # Errors
    ///
    /// [`CustodyError`] when it was not sealed for this sidecar, is damaged, or is the key of another wallet.
    pub fn address_in(&self, message: &[u8], wallet: &WalletName) -> Result<Address, CustodyError> {
        Ok(self.open(message, wallet)?.address())
    }

    /// Opens a delivery of the key of `wallet`.
    pub(crate) fn open(&self, message: &[u8], wallet: &WalletName) -> Result<PrivateKey, CustodyError> {
        let Self(identities) = self;
        let path = Path::new(DELIVERY);
        if message.len() > DELIVERY_LEN_MAX {
            return Err(CustodyError::TooLong { path: path.to_owned(), len_max: DELIVERY_LEN_MAX });
        }
        wallet_key::read(path, &sealed::open(path, message, identities)?, wallet)
    }
}

/// Seals the key of `wallet` for the sidecar whose [`Transport`] is `to`, and nobody else: what it returns may pass
/// through anything, and [`Keystore::import_delivery`](crate::Keystore::import_delivery) takes it in.
///
/// # Errors
///
/// [`CustodyError`] when the source does not read, does not open, or is the backup of another wallet.
pub fn seal_delivery(
    source: Source<'_>,
    wallet: &WalletName,
    to: &Recipient,
) -> Result<Vec<u8>, CustodyError> {
    sealed::seal(&wallet_key::write(wallet, &source.read(wallet)?), std::slice::from_ref(to))
}
