//! What the parts cost alone.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use k256::ecdsa::SigningKey;
use pursekeeper_core::{
    Address, Amount, AssetId, ChainId, EvmAddress, UnixSeconds, domain_separator,
    transfer_with_authorization_digest,
};

/// The median of `count` runs.
pub(crate) fn p50(count: usize, mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..count)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[count / 2]
}

/// Writing a page and making it durable.
pub(crate) fn sync(dir: &Path) -> Duration {
    let mut file = File::create(tempfile::NamedTempFile::new_in(dir).unwrap().path()).unwrap();
    p50(300, || {
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
    })
}

/// One durable SQLite commit of one row, set up as the journal is.
pub(crate) fn commit(dir: &Path) -> Duration {
    let file = tempfile::NamedTempFile::new_in(dir).unwrap();
    let database = rusqlite::Connection::open(file.path()).unwrap();
    database.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)").unwrap();
    let mut insert = database.prepare("INSERT INTO t (body) VALUES (?1)").unwrap();
    p50(500, || {
        insert.execute([[7u8; 1024].as_slice()]).unwrap();
    })
}

/// Hashing and signing one EIP-3009 transfer.
pub(crate) fn sign() -> Duration {
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    let token = EvmAddress::from_bytes([1; 20]);
    let asset = AssetId { network: ChainId::Eip155(84532), address: Address::Evm(token) };
    let domain = domain_separator(&asset, "USDC", "2");
    let window = (UnixSeconds(1), UnixSeconds(300));
    p50(2_000, || {
        let amount = Amount::parse("1000").unwrap();
        let digest = transfer_with_authorization_digest(domain, (token, token), amount, window, [9; 32]);
        let signature: (k256::ecdsa::Signature, _) = key.sign_prehash_recoverable(&digest.0);
        std::hint::black_box(signature);
    })
}
