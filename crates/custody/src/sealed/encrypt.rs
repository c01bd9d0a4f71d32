//! Writing an age file (<https://c2sp.org/age>), with age's own recipients and armor.
//!
//! Why not with its `Encryptor`: that keeps the plaintext in a buffer until it is finished, and frees the buffer without
//! wiping it. A key that was backed up once could then be found in the memory of a process that has destroyed it.

use std::io::{self, Write as _};

use age::Recipient as _;
use age::armor::{ArmoredWriter, Format};
use age::secrecy::ExposeSecret as _;
use age_core::format::{FileKey, Stanza};
use age_core::primitives::hkdf;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD as BASE64;
use chacha20poly1305::{AeadInPlace as _, ChaCha20Poly1305, KeyInit as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{CustodyError, Recipient};

const VERSION_LINE: &str = "age-encryption.org/v1\n";
/// The nonce of the first chunk of 64 KiB when it is the last one too: eleven bytes that count, and one.
const ONLY_CHUNK: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// Longest plaintext that is one chunk, in bytes.
const CHUNK_LEN_MAX: usize = 64 * 1024;

/// Encrypts `plain` as an ASCII-armored age file that each of the `recipients` can open.
pub(super) fn encrypt(plain: &[u8], recipients: &[Recipient]) -> Result<Vec<u8>, CustodyError> {
    let failed = |source| CustodyError::SealFailed { source };
    if plain.len() > CHUNK_LEN_MAX {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    }
    let file_key = FileKey::try_init_with_mut(|key| getrandom::fill(key))?;
    let header = header(&file_key, recipients).map_err(failed)?;
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce)?;
    let key = Zeroizing::new(hkdf(&nonce, b"payload", file_key.expose_secret()));

    // Once it is encrypted in place, nothing is left to wipe; until then it is wiped if that fails.
    let mut payload = Zeroizing::new(plain.to_vec());
    let tag = ChaCha20Poly1305::new((&*key).into())
        .encrypt_in_place_detached(&ONLY_CHUNK.into(), &[], &mut payload)
        .map_err(|_| failed(io::ErrorKind::InvalidInput.into()))?;
    let armor = |output| -> io::Result<Vec<u8>> {
        let mut armored = ArmoredWriter::wrap_output(output, Format::AsciiArmor)?;
        for part in [header.as_bytes(), &nonce, &payload, &tag] {
            armored.write_all(part)?;
        }
        armored.finish()
    };
    armor(Vec::new()).map_err(failed)
}

/// The header: the file key for each recipient, and a MAC under the file key.
fn header(file_key: &FileKey, recipients: &[Recipient]) -> io::Result<String> {
    let mut header = VERSION_LINE.to_owned();
    for recipient in recipients {
        let (stanzas, _) = recipient.as_age().wrap_file_key(file_key).map_err(io::Error::other)?;
        for Stanza { tag, args, body } in stanzas {
            // The body has 32 bytes, which is less than the line at which it would have to be wrapped.
            header += &format!("-> {tag} {}\n{}\n", args.join(" "), BASE64.encode(body));
        }
    }
    header += "---";
    let key = Zeroizing::new(hkdf(&[], b"header", file_key.expose_secret()));
    let mac = Hmac::<Sha256>::new_from_slice(&*key).map_err(io::Error::other)?;
    let mac = mac.chain_update(&header).finalize().into_bytes();
    header += &format!(" {}\n", BASE64.encode(mac));
    Ok(header)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt as _;

    use age::x25519;

    use super::*;

    fn recipient(identity: &x25519::Identity) -> Recipient {
        identity.to_public().into()
    }

    #[test]
    fn more_than_one_chunk_is_refused() {
        let to = recipient(&x25519::Identity::generate());
        let error = encrypt(&vec![0; CHUNK_LEN_MAX + 1], &[to]).unwrap_err();
        assert!(matches!(error, CustodyError::SealFailed { .. }), "{error:?}");
    }

    #[test]
    fn age_opens_what_is_written_at_every_length() {
        let identities: Vec<_> = (0..3).map(|_| x25519::Identity::generate()).collect();
        for len in (0..300).chain([CHUNK_LEN_MAX - 1, CHUNK_LEN_MAX]) {
            let plain: Vec<u8> = (0..len).map(|at| (at % 251).try_into().unwrap()).collect();
            let recipients: Vec<_> = identities.iter().take(1 + len % 3).map(recipient).collect();
            let sealed = encrypt(&plain, &recipients).unwrap();
            for identity in &identities[..recipients.len()] {
                assert_eq!(age::decrypt(identity, &sealed).unwrap(), plain, "{len}");
            }
            assert!(age::decrypt(&x25519::Identity::generate(), &sealed).is_err());
        }
    }

    #[test]
    fn nothing_is_written_twice_the_same() {
        let to = [recipient(&x25519::Identity::generate())];
        assert_ne!(encrypt(b"plain", &to).unwrap(), encrypt(b"plain", &to).unwrap());
    }

    #[test]
    fn the_plaintext_is_nowhere_in_memory_afterwards() {
        // It is kept inverted, so that it is in memory only while it is encrypted.
        let mut inverted = [0; 32];
        getrandom::fill(&mut inverted).unwrap();
        let plain = || Zeroizing::new(inverted.iter().map(|byte| !byte).collect::<Vec<u8>>());
        let to = [recipient(&x25519::Identity::generate())];
        let sealed = encrypt(&plain(), &to).unwrap();
        assert!(!is_in_memory(&inverted));
        // The search finds what is there.
        let kept = plain();
        assert!(is_in_memory(&inverted));
        drop((kept, sealed));
    }

    /// Whether the inverse of `inverted` is on a heap of this process.
    fn is_in_memory(inverted: &[u8; 32]) -> bool {
        let memory = File::open("/proc/self/mem").unwrap();
        for map in fs::read_to_string("/proc/self/maps").unwrap().lines() {
            let mut fields = map.split_whitespace();
            let (range, mode) = (fields.next().unwrap(), fields.next().unwrap());
            let name = fields.nth(3).unwrap_or_default();
            // Heaps of threads have no name.
            if !mode.starts_with("rw") || !(name.is_empty() || name == "[heap]") {
                continue;
            }
            let (start, end) = range.split_once('-').unwrap();
            let bound = |text| u64::from_str_radix(text, 16).unwrap();
            let mut bytes = vec![0; usize::try_from(bound(end).abs_diff(bound(start))).unwrap()];
            // What other threads give back meanwhile cannot be read, and is not ours.
            if memory.read_exact_at(&mut bytes, bound(start)).is_err() {
                continue;
            }
            // Inverted at once, so that the copy is not found.
            bytes.iter_mut().for_each(|byte| *byte = !*byte);
            if bytes.windows(inverted.len()).any(|part| part == inverted) {
                return true;
            }
        }
        false
    }
}
