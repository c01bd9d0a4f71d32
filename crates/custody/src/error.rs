use std::io;
use std::path::{Path, PathBuf};

use pursekeeper_core::{Address, JournalId, WalletName};
use thiserror::Error;

/// Why a key could not be kept, read or used.
///
/// No variant carries key material, a passphrase, or text of a file that may hold one.
#[derive(Debug, Error)]
pub enum CustodyError {
    /// The file system refused.
    #[error("cannot {attempt} `{}`: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        attempt: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no memory for a key.
    #[error("there is no memory for a key: {0}; give the process more")]
    Memory(#[source] io::Error),
    /// A secret must be a file of its own, so that its permissions are what is checked.
    #[error("`{}` is not a regular file; name the file itself, not a link, device or directory", path.display())]
    NotRegularFile {
        /// The path as given.
        path: PathBuf,
    },
    /// Somebody else may read or change it.
    #[error("others have access to `{}` (mode {mode:03o}); run `chmod go-rwx` on it", path.display())]
    TooOpen {
        /// The path as given.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// More bytes than such a file can have.
    #[error("`{}` is longer than {len_max} bytes; check that it is the right file", path.display())]
    TooLong {
        /// The path as given.
        path: PathBuf,
        /// The longest that is read, in bytes.
        len_max: usize,
    },
    /// An empty passphrase protects nothing.
    #[error("the passphrase in `{}` is empty; write one into it", path.display())]
    EmptyPassphrase {
        /// The path as given.
        path: PathBuf,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes; try again later")]
    Random {
        /// What the system said.
        source: getrandom::Error,
    },
    /// There is something at the place of a new keystore.
    #[error("`{}` already holds something; choose an empty directory for a new keystore", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The keystore's own description does not read.
    #[error("`{}` does not describe a keystore of version 1; restore it from a backup", path.display())]
    NotKeystore {
        /// The metadata file.
        path: PathBuf,
    },
    /// Two processes would write at once.
    #[error("another process is changing the keystore `{}`; try again when it is done", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// The keystore's spending history is in another journal.
    #[error(
        "this keystore belongs to journal {bound}, not to {asked}; start with its own journal, or adopt a new one if it is lost"
    )]
    JournalBound {
        /// The journal whose totals count for these keys.
        bound: JournalId,
        /// The journal that was offered.
        asked: JournalId,
    },
    /// A file in the keystore that no wallet can have.
    #[error("`{}` does not carry the name of a wallet, or of a wallet and the address in it; move it out of the keystore", path.display())]
    StrayFile {
        /// The file.
        path: PathBuf,
    },
    /// The keystore needs that file name itself.
    #[error("a wallet cannot be called `{wallet}`: the keystore uses that file itself; choose another name")]
    ReservedName {
        /// The name.
        wallet: WalletName,
    },
    /// A name is given once.
    #[error("there is already a wallet `{wallet}`; choose another name")]
    WalletExists {
        /// The name.
        wallet: WalletName,
    },
    /// One key under two names would have two sets of ceilings.
    #[error("the key of {address} is already held as wallet `{wallet}`; use that one")]
    KeyExists {
        /// The wallet that holds it.
        wallet: WalletName,
        /// Its address.
        address: Address,
    },
    /// Only a wallet that has a key can have a successor to it.
    #[error("no key for wallet `{wallet}` in the keystore; create or import its first one")]
    WalletMissing {
        /// The name.
        wallet: WalletName,
    },
    /// The registry and the keystore disagree about which account a wallet is.
    #[error(
        "wallet `{wallet}`: the registry says {registry}, the keystore holds the key of {keystore}; correct the registry or import the right key"
    )]
    WrongAddress {
        /// The name.
        wallet: WalletName,
        /// What the registry says.
        registry: Address,
        /// What the key says.
        keystore: Address,
    },
    /// Not a key file at all, or a damaged one.
    #[error(
        "`{}` is not a Web3 Secret Storage file (line {line}, column {column}); restore it from a backup",
        path.display()
    )]
    NotKeyFile {
        /// The file.
        path: PathBuf,
        /// Where reading it stopped, from 1.
        line: usize,
        /// Where reading it stopped, from 1.
        column: usize,
    },
    /// A field of a key file has a value it cannot have, or one that is not supported.
    #[error("`{}`: {expected}; export the key again as a version 3 key file", path.display())]
    KeyFileField {
        /// The file.
        path: PathBuf,
        /// What the field must be.
        expected: &'static str,
    },
    /// Decrypting the file would take more memory or time than is given to it.
    #[error("`{}` asks for too much work: {limit}; export the key again with the usual parameters", path.display())]
    TooCostly {
        /// The file.
        path: PathBuf,
        /// The limit it exceeds.
        limit: &'static str,
    },
    /// The passphrase is wrong, or the file was changed.
    #[error("the passphrase does not open `{}`; check that it is the right one and that the file is intact", path.display())]
    WrongPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// The file opens, and holds another key than it says.
    #[error("`{}` says it holds {stated} but holds the key of {actual}; do not use it until you know why", path.display())]
    Mislabelled {
        /// The file.
        path: PathBuf,
        /// The address in the file.
        stated: Address,
        /// The address of its key.
        actual: Address,
    },
    /// The bytes are not a key of the curve.
    #[error("`{}` does not hold a private key; write 64 hexadecimal digits", path.display())]
    NotKey {
        /// The file.
        path: PathBuf,
    },
    /// A signature was asked of an address whose key is not loaded.
    #[error("no key for {address} is loaded; import it and start again")]
    NoKey {
        /// The address.
        address: Address,
    },
    /// A signature came back that is not one of this address over this digest.
    #[error("the signature is not one of {address}; check which key the signer uses")]
    NotItsSignature {
        /// The address that should have signed.
        address: Address,
    },
    /// Not the public key of an age identity. The text is not repeated: it may be the secret one, given by mistake.
    #[error(
        "not an X25519 recipient of age; give the text that starts with `age1`, as `age-keygen -y` prints it"
    )]
    NotRecipient,
    /// A backup that nobody can open.
    #[error("no recipient is named; name at least one who can open the backup")]
    NoRecipient,
    /// More recipients than a backup has room for.
    #[error("{count} recipients are named; name at most {count_max}")]
    TooManyRecipients {
        /// How many were named.
        count: usize,
        /// How many may be.
        count_max: usize,
    },
    /// A key could not be encrypted for its recipients.
    #[error("cannot encrypt the key: {source}; try again")]
    SealFailed {
        /// What age said.
        source: io::Error,
    },
    /// Checkpoints cannot be signed.
    #[error("there is no audit key, `{}`; make one with `pursekeeper audit init-key`, or put the lost one back", path.display())]
    NoAuditKey {
        /// Where it belongs.
        path: PathBuf,
    },
    /// Not an audit key, or a damaged one.
    #[error("`{}` is not an audit key of version 1; restore it from a backup, or move it away and run `pursekeeper audit init-key`", path.display())]
    NotAuditKey {
        /// The file.
        path: PathBuf,
    },
    /// Not something that is sealed for X25519 recipients: other bytes, a passphrase, another format.
    #[error("`{}` is not an age file for X25519 recipients; seal the key again", path.display())]
    NotSealed {
        /// The file, or what stands for it.
        path: PathBuf,
    },
    /// It is sealed, and none of the identities at hand is one of its recipients.
    #[error("`{}` is sealed for somebody else; use the identity it was made for, or seal it again", path.display())]
    OtherRecipient {
        /// The file, or what stands for it.
        path: PathBuf,
    },
    /// It is sealed for us, and was changed or cut off since.
    #[error("`{}` was changed or cut off after it was sealed; seal the key again", path.display())]
    SealBroken {
        /// The file, or what stands for it.
        path: PathBuf,
    },
    /// It opens, and what is in it is not a key of ours.
    #[error("`{}` opens, but does not hold a wallet key of version 1; seal the key again", path.display())]
    NotWalletKey {
        /// The file, or what stands for it.
        path: PathBuf,
    },
    /// It opens, and holds the key of another wallet.
    #[error("`{}` holds the key of wallet `{found}`, not of `{expected}`; name that wallet, or give the right key", path.display())]
    OtherWallet {
        /// The file, or what stands for it.
        path: PathBuf,
        /// The wallet that was named.
        expected: WalletName,
        /// The wallet it was sealed as.
        found: WalletName,
    },
    /// Another key was delivered than the one that is waited for.
    #[error("the delivered key is the one of {found}, not of {expected}; deliver that one")]
    OtherKey {
        /// The address whose key is waited for.
        expected: Address,
        /// The address of the key that came.
        found: Address,
    },
    /// No identity can be read from the file.
    #[error("`{}` is not an age identity file; give the file that `age-keygen` wrote", path.display())]
    NotIdentity {
        /// The file.
        path: PathBuf,
    },
    /// Bytes from which no signer can be recovered.
    #[error("not a signature that a token accepts; it needs v 27 or 28 and the lower s")]
    NotSignature,
}

impl CustodyError {
    /// Whether it failed because nothing can be written where it should be, such as in a Secret that is mounted.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem)
    }

    /// For `map_err`: the file system refused to `attempt` something on `path`.
    pub(crate) fn io(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { attempt, path, source }
    }
}

impl From<getrandom::Error> for CustodyError {
    fn from(source: getrandom::Error) -> Self {
        Self::Random { source }
    }
}
