//! Records as the tests of the forms need them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use pursekeeper_core::{Digest, JournalId};
use serde_json::{Value, json};

use super::mask::Mask;
use super::outgoing::Outgoing;

pub(super) fn outgoing(record: Value) -> Outgoing {
    let (leaf, chain) = (Digest([1; 32]), Digest([2; 32]));
    Outgoing { journal: JournalId([7; 16]), seq: 5, leaf, chain, record, masked: Vec::new() }
}

/// The same for a sink that must not see some of it.
pub(super) fn masked(record: Value, fields: &[&str]) -> Outgoing {
    let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
    let mut outgoing = outgoing(record);
    outgoing.masked = mask(&fields).apply(&mut outgoing.record);
    outgoing
}

pub(super) fn mask(fields: &[String]) -> Mask {
    let key = tempfile::NamedTempFile::new().unwrap();
    fs::write(key.path(), [7; 32]).unwrap();
    fs::set_permissions(key.path(), fs::Permissions::from_mode(0o400)).unwrap();
    Mask::open(key.path(), fields).unwrap()
}

pub(super) fn payment() -> Value {
    let endpoint = json!({"method": "GET", "url": "https://a.example/x"});
    json!({
        "asked": {"caller": {"agent": "researcher", "source": {"kind": "unix-peer", "uid": 1000}}, "endpoint": endpoint,
                  "labels": {}, "request_id": "r-1", "trace": "0af7651916cd43dd8448eb211c80319c"},
        "intent": {"agent": "researcher", "endpoint": endpoint, "service": "a", "terms": {
                       "amount": "10000", "asset": {"address": "0x05", "network": "eip155:8453"}, "payee": "0x09"},
                   "usd": "0.01", "wallet": "research-hot", "wallet_address": "0x01", "workflow": "research"},
        "kind": "payment", "policies": [{"id": "may-pay", "reason": "it may"}], "seq": 5,
        "time": {"boot_id": "00", "boot_ms": 1, "unix_ms": 1_700_000_000_123_u64}, "v": 1, "verdict": "permit",
    })
}

pub(super) fn denial() -> Value {
    let mut record = payment();
    record["verdict"] = json!("deny");
    record["denial"] =
        json!({"code": "PAYEE", "message": "it is no payee", "policies": [{"id": "p", "reason": "r"}]});
    record
}

pub(super) fn lifecycle() -> Value {
    json!({
        "act": {"operator": "ops", "reason": "drill", "source": {"kind": "unix-peer", "uid": 0},
                "subject": {"kind": "agent", "name": "researcher"}, "verb": "suspend"},
        "kind": "lifecycle", "policies": [], "seq": 5,
        "time": {"boot_id": "00", "boot_ms": 1, "unix_ms": 1_700_000_000_123_u64}, "v": 1, "verdict": "permit",
    })
}
