//! Every lie we could think of, one by one.

use serde_json::{Value, json};

use super::liar::{CHAIN_ID, FORGED, GENESIS, Lie, time_of};
use super::{FINALIZED, SETTLED, ask, now, start, watch};

/// With one node that must be believed, every lie is a fault of its own, and no money is freed.
#[tokio::test]
async fn a_lie_frees_nothing() {
    let [elsewhere] = start().await;
    let edit = |edit: fn(&mut Value)| Lie::Edit(edit);
    let word = |word: &str| Lie::Result(json!(word));
    let body = |body: &str| Lie::Body(body.to_owned());
    let (block, call, logs, receipt) =
        ("eth_getBlockByNumber", "eth_call", "eth_getLogs", "eth_getTransactionReceipt");
    let cases = [
        ("eth_chainId", word("0x1"), "WrongChain"),
        ("eth_chainId", word("0x014a34"), "Malformed"),
        ("eth_chainId", Lie::Result(json!(CHAIN_ID)), "Malformed"),
        ("eth_chainId", Lie::Result(Value::Null), "Missing"),
        ("eth_chainId", Lie::Refuse(-32601, "the method does not exist"), "Refused"),
        ("eth_chainId", Lie::Status(401), "Http"),
        ("eth_chainId", Lie::StatusAndTruth(203), "Http"),
        ("eth_chainId", Lie::Both(400, -32602, "invalid params"), "Refused"),
        ("eth_chainId", Lie::Redirect(elsewhere.url.to_string()), "Http"),
        ("eth_chainId", body("<html>"), "NotJsonRpc"),
        ("eth_chainId", body(""), "NotJsonRpc"),
        ("eth_chainId", body(r#"{"jsonrpc":"2.0","id":99,"result":"0x14a34"}"#), "NotJsonRpc"),
        ("eth_chainId", body(&" ".repeat(super::rpc::BODY_LEN_MAX + 1)), "TooLong"),
        (block, edit(|block| block["timestamp"] = json!(format!("{:#x}", now().0 + 301))), "FromTheFuture"),
        (block, edit(|block| block["hash"] = json!("0x12")), "Malformed"),
        (block, edit(|block| block["number"] = Value::Null), "Malformed"),
        (block, Lie::Result(Value::Null), "Missing"),
        (block, Lie::Refuse(-39001, "Unknown block"), "Refused"),
        // The search gets the head whatever it asks for.
        (block, edit(|block| block["number"] = json!("0x1388")), "it sent another block than asked for"),
        // All blocks have one time: the settlement is outside the validity of the signature.
        (
            block,
            edit(|block| block["timestamp"] = json!(format!("{:#x}", now().0))),
            "a signature was used while it was not valid",
        ),
        (block, edit(backwards), "a later block has an earlier time"),
        (call, Lie::AnyBlock, "IgnoresHashes"),
        (call, word("0x"), "NotAToken"),
        (call, word("0x01"), "Malformed"),
        (call, word(FORGED), "Malformed"),
        (call, Lie::Refuse(-32000, "missing trie node"), "Refused"),
        (logs, Lie::Result(json!([])), "alive"),
        (logs, Lie::Result(Value::Null), "Missing"),
        (logs, Lie::Refuse(-32005, "query exceeds max block range"), "Refused"),
        (logs, edit(|logs| each(logs, |log| log["removed"] = json!(true))), "RemovedLog"),
        (
            logs,
            edit(|logs| each(logs, |log| log["address"] = json!(format!("0x{}", "ab".repeat(20))))),
            "ForeignLog",
        ),
        (logs, edit(|logs| each(logs, |log| log["topics"][0] = json!(FORGED))), "ForeignLog"),
        (logs, edit(|logs| each(logs, |log| log["topics"][1] = json!(FORGED))), "ForeignLog"),
        (logs, edit(|logs| each(logs, |log| log["topics"][2] = json!(FORGED))), "ForeignLog"),
        (logs, edit(|logs| each(logs, |log| log["topics"] = json!([]))), "ForeignLog"),
        (logs, edit(|logs| each(logs, |log| log["blockNumber"] = json!("0x1"))), "ForeignLog"),
        (
            logs,
            edit(|logs| each(logs, |log| log["blockHash"] = json!(FORGED))),
            "a log is in another block than the one of that number",
        ),
        (logs, edit(|logs| each(logs, |log| log["transactionHash"] = Value::Null)), "Malformed"),
        (
            logs,
            edit(|logs| each(logs, |log| log["logIndex"] = json!("0x7"))),
            "a receipt does not have the log it should",
        ),
        (logs, edit(twice), "an authorization was used up twice"),
        (receipt, Lie::Result(Value::Null), "Missing"),
        (
            receipt,
            edit(|receipt| receipt["status"] = json!("0x0")),
            "a receipt does not have the log it should",
        ),
        (
            receipt,
            edit(|receipt| receipt["blockHash"] = json!(FORGED)),
            "a receipt does not have the log it should",
        ),
        (
            receipt,
            edit(|receipt| receipt["transactionHash"] = json!(FORGED)),
            "a receipt does not have the log it should",
        ),
        (receipt, edit(|receipt| receipt["logs"] = json!([])), "a receipt does not have the log it should"),
        (receipt, edit(|receipt| receipt["logs"][1]["removed"] = json!(true)), "RemovedLog"),
        (receipt, edit(|receipt| receipt["logs"][1]["data"] = json!("0x06")), "ForeignLog"),
        (receipt, edit(|receipt| transfer(receipt, 6)), "Overpaid"),
        // Less than was signed for is not believed either: it counts in full.
        (receipt, edit(|receipt| transfer(receipt, 0)), "settled 5"),
        (receipt, edit(|receipt| receipt["logs"][1]["topics"][2] = json!(FORGED)), "settled 5"),
    ];
    for (index, (method, lie, expected)) in cases.into_iter().enumerate() {
        let [liar] = start().await;
        liar.lie(method, lie);
        let mut watcher = watch(std::slice::from_ref(&liar), 1);
        assert_eq!(ask(&mut watcher, SETTLED).await, expected, "case {index}: {method}");
    }
}

fn each(logs: &mut Value, edit: fn(&mut Value)) {
    logs.as_array_mut().unwrap().iter_mut().for_each(edit);
}

fn twice(logs: &mut Value) {
    if let Some(log) = logs.get(0).cloned() {
        *logs = json!([log, log]);
    }
}

fn transfer(receipt: &mut Value, amount: u8) {
    receipt["logs"][1]["data"] = json!(format!("0x{}{amount:02x}", "00".repeat(31)));
}

/// A log and its receipt agree on a block that is not part of the chain.
#[tokio::test]
async fn a_settlement_in_a_forged_block_frees_nothing() {
    let [liar] = start().await;
    liar.lie("eth_getLogs", Lie::Edit(|logs| each(logs, |log| log["blockHash"] = json!(FORGED))));
    liar.lie("eth_getTransactionReceipt", Lie::Edit(|receipt| receipt["blockHash"] = json!(FORGED)));
    let mut watcher = watch(std::slice::from_ref(&liar), 1);
    assert_eq!(ask(&mut watcher, SETTLED).await, "a log is in another block than the one of that number");
}

/// Times that fall from block to block, until they meet those of the chain at its head.
fn backwards(block: &mut Value) {
    let time = u64::from_str_radix(&block["timestamp"].as_str().unwrap()[2..], 16).unwrap();
    let since = time.checked_sub(GENESIS).unwrap();
    let turned = time_of(FINALIZED.checked_mul(2).unwrap()).checked_sub(since).unwrap();
    block["timestamp"] = json!(format!("{turned:#x}"));
}
