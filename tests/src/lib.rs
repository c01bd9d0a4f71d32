//! What the tests share: 402s as sellers write them, a journal in memory, and the real sidecar as a process.

mod configmap;
mod disk;
pub mod harness;
mod memory;
pub mod overspend;
mod payment;
pub mod probe;
mod proofs;
mod purse;
pub mod reloads;
mod seller;

pub use configmap::ConfigMap;
pub use disk::{fill_disk, in_mount_space, on_disk, resize_disk, serve_on_disk};
pub use memory::{MemoryError, MemoryJournal};
pub use payment::{denied, reason, request, signed, signer_of, verify};
pub use proofs::{Authority, Certified, Issuer, SPIFFE};
pub use purse::{LOOK_INTERVAL, Purse, Sidecar, until};
pub use seller::{Offer, PAYEE, URL, USDC, challenge_v1, challenge_v2, challenge_with};
