//! What a signed checkpoint says (C2SP tlog-checkpoint): an origin, a size and a root, a line each.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pursekeeper_core::Digest;

/// Whether a checkpoint is about a tree of this size and root. Who signed it is for others to say.
pub(super) fn states(note: &str, size: u64, root: Digest) -> bool {
    let mut lines = note.lines().skip(1);
    lines.next() == Some(size.to_string().as_str()) && lines.next() == Some(STANDARD.encode(root.0).as_str())
}
