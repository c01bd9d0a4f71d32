//! What reached a client, whatever became of the sidecar afterwards.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pursekeeper_api::v1;

use crate::{PAYEE, verify};

/// A signed payment somebody could settle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// The payload, byte for byte.
    pub payload: Vec<u8>,
    /// Its nonce, in hex.
    pub nonce: String,
    /// Atomic units.
    pub atomic: u128,
}

/// Everything clients were given, by request id.
#[derive(Debug, Default)]
pub struct Witness {
    released: Mutex<BTreeMap<String, Released>>,
    faults: Mutex<Vec<String>>,
}

impl Witness {
    /// Takes note of a payment that was handed out, after checking it as a facilitator does.
    ///
    /// # Panics
    /// When no facilitator would accept it.
    pub fn take(&self, request_id: &str, amount: &str, signed: &v1::Signed) {
        let payload = verify(signed, amount, PAYEE);
        let nonce = payload["payload"]["authorization"]["nonce"].as_str().unwrap();
        let nonce = nonce.strip_prefix("0x").unwrap().to_owned();
        let now = Released { payload: signed.payload.clone(), nonce, atomic: amount.parse().unwrap() };
        let before = lock(&self.released).insert(request_id.to_owned(), now.clone());
        if before.is_some_and(|before| before != now) {
            lock(&self.faults).push(format!("the request id `{request_id}` was given two payloads"));
        }
    }

    /// Every payment that was handed out.
    #[must_use]
    pub fn released(&self) -> BTreeMap<String, Released> {
        lock(&self.released).clone()
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        u64::try_from(lock(&self.released).len()).unwrap()
    }

    /// What was wrong with them, once.
    pub fn take_faults(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.faults))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
