//! What is believed of a Permit2 nonce. Permit2 says nothing about payments, so much is found out and little is believed.

use std::time::Duration;

use pursekeeper_core::x402::Scheme;
use pursekeeper_core::{Address, Amount, EvmAddress, PERMIT2, UnixSeconds};
use serde_json::{Value, json};

use super::super::abi::{TRANSFER, UNORDERED_NONCE_INVALIDATION};
use super::liar::{FORGED, Facts, Liar, Lie, Said, Spent, hash_of, padded, time_of};
use super::{ASSET, FINALIZED, PAYEE, PAYER, ask_about, nodes, now, watch};
use crate::chain::{Authorization, Finality, Finding, Nodes, Question, Watcher};

/// Not the highest bit and not in the first byte of its word.
const NONCE: [u8; 32] = {
    let mut nonce = [0x77; 32];
    nonce[31] = 77;
    nonce
};
const EXACT: Scheme = Scheme::Exact;
const UPTO: Scheme = Scheme::Upto { facilitator: Address::Evm(EvmAddress::from_bytes([0xfa; 20])) };
const SPENT_IN: u64 = 4010;
/// The last block that Permit2 takes the signature in: its time is the deadline.
const LAST: u64 = 4060;
const OTHER: [u8; 20] = [0xdd; 20];

/// Signed for 5 at block 4000, until block [`LAST`].
fn question(scheme: Scheme) -> Question {
    let deadline = UnixSeconds(time_of(LAST));
    Question {
        hold: 1,
        asset: EvmAddress::from_bytes(ASSET),
        payee: EvmAddress::from_bytes(PAYEE),
        amount: Amount::parse("5").unwrap(),
        signed_at: UnixSeconds(time_of(4000)),
        dead_at: deadline,
        authorization: Authorization::Permit2 {
            owner: EvmAddress::from_bytes(PAYER),
            nonce: NONCE,
            valid_after: UnixSeconds(time_of(4000)),
            deadline,
            scheme,
        },
    }
}

fn said(transaction: u8, address: [u8; 20], topics: &[[u8; 32]], words: &[[u8; 32]]) -> Said {
    let (topics, data) = (topics.to_vec(), words.concat());
    Said { block: SPENT_IN, transaction: [transaction; 32], address, topics, data }
}

fn transfer(transaction: u8, to: [u8; 20], amount: u8) -> Said {
    said(transaction, ASSET, &[TRANSFER, padded(PAYER), padded(to)], &[number(amount)])
}

/// The owner voids the nonces of `mask` in the word that is `word` everywhere but in its first byte.
fn voided(transaction: u8, word: u8, mask: [u8; 32]) -> Said {
    let mut number = [word; 32];
    number[0] = 0;
    let topics = [UNORDERED_NONCE_INVALIDATION, padded(PAYER)];
    said(transaction, PERMIT2.to_bytes(), &topics, &[number, mask])
}

fn number(last: u8) -> [u8; 32] {
    let mut word = [0; 32];
    word[31] = last;
    word
}

/// The bit of the nonce, and one that is not.
fn masks() -> ([u8; 32], [u8; 32]) {
    let (mut ours, mut other) = ([0; 32], [0; 32]);
    ours[31 - 77 / 8] = 1 << (77 % 8);
    other[31 - 77 / 8] = 1 << (78 % 8);
    (ours, other)
}

/// A chain on which the nonce was spent in a block in which all this was said.
fn facts(said: &[Said]) -> Facts {
    Facts {
        latest: FINALIZED + 60,
        finalized: FINALIZED,
        spent: vec![Spent { owner: PAYER, nonce: NONCE, block: SPENT_IN }],
        said: said.to_vec(),
        ..Facts::default()
    }
}

async fn alone(facts: Facts) -> (Liar, Watcher) {
    let liar = Liar::start(facts).await;
    let watcher = watch(std::slice::from_ref(&liar), 1);
    (liar, watcher)
}

/// Asks the only node about both schemes.
async fn both(facts: fn() -> Facts, expected: (&str, &str)) {
    for (scheme, expected) in [(EXACT, expected.0), (UPTO, expected.1)] {
        let (_liar, mut watcher) = alone(facts()).await;
        assert_eq!(ask_about(&mut watcher, question(scheme)).await, expected, "{scheme:?}");
    }
}

#[tokio::test]
async fn what_it_cost_is_read_from_the_block_that_spent_it() {
    let (ours, other) = masks();
    let foreign = |said: Said| Said { address: OTHER, ..said };
    let elsewhere = |said: Said| Said { block: SPENT_IN + 1, ..said };
    let before = |said: Said| Said { block: SPENT_IN - 1, ..said };
    let from_other = |amount| said(1, ASSET, &[TRANSFER, padded(OTHER), padded(PAYEE)], &[number(amount)]);
    let of_other = said(
        1,
        PERMIT2.to_bytes(),
        &[UNORDERED_NONCE_INVALIDATION, padded(OTHER)],
        &[[0x77; 32], [0xff; 32]],
    );
    let cases: Vec<(&str, Vec<Said>, &str, &str)> = vec![
        ("all of it", vec![transfer(1, PAYEE, 5)], "settled 5 by 1", "settled 5 by 1"),
        ("less", vec![transfer(1, PAYEE, 3)], "settled 5", "settled 3 by 1"),
        ("nothing to be seen", vec![], "settled 5", "alive"),
        ("to somebody else", vec![transfer(1, OTHER, 3)], "settled 5", "alive"),
        ("by somebody else", vec![from_other(3)], "settled 5", "alive"),
        ("of another token", vec![foreign(transfer(1, PAYEE, 3))], "settled 5", "alive"),
        ("in a later block", vec![elsewhere(transfer(1, PAYEE, 3))], "settled 5", "alive"),
        ("in an earlier block", vec![before(transfer(1, PAYEE, 3))], "settled 5", "alive"),
        // Anybody can have nothing moved; nobody can have more moved than was signed for.
        ("nothing moved", vec![transfer(1, PAYEE, 0)], "settled 5", "alive"),
        ("too much moved", vec![transfer(1, PAYEE, 6)], "settled 5", "alive"),
        ("poisoned", vec![transfer(2, PAYEE, 0), transfer(1, PAYEE, 3)], "settled 5", "settled 3 by 1"),
        ("another's", vec![transfer(2, PAYEE, 6), transfer(1, PAYEE, 3)], "settled 5", "settled 3 by 1"),
        // Two payments in one block: it is one of them, and nobody can tell which.
        ("two blocks' worth", vec![transfer(1, PAYEE, 2), transfer(2, PAYEE, 4)], "settled 5", "settled 4"),
        ("and the other way", vec![transfer(1, PAYEE, 4), transfer(2, PAYEE, 2)], "settled 5", "settled 4"),
        ("twins", vec![transfer(1, PAYEE, 5), transfer(2, PAYEE, 5)], "settled 5", "settled 5"),
        ("one whole", vec![transfer(1, PAYEE, 5), transfer(2, PAYEE, 2)], "settled 5 by 1", "settled 5"),
        ("two in one", vec![transfer(1, PAYEE, 2), transfer(1, PAYEE, 4)], "settled 5", "settled 4 by 1"),
        // What else left the owner in the same transaction may be a fee.
        ("fee", vec![transfer(1, PAYEE, 2), transfer(1, OTHER, 1)], "settled 5", "settled 3 by 1"),
        ("large fee", vec![transfer(1, PAYEE, 2), transfer(1, OTHER, 9)], "settled 5 by 1", "settled 5 by 1"),
        ("fee elsewhere", vec![transfer(1, PAYEE, 2), transfer(2, OTHER, 1)], "settled 5", "settled 2 by 1"),
        // What others pay the payee, and what it is paid in other tokens, is not ours.
        ("others beside", vec![transfer(1, PAYEE, 3), from_other(4)], "settled 5", "settled 3 by 1"),
        (
            "tokens beside",
            vec![transfer(1, PAYEE, 3), foreign(transfer(1, PAYEE, 4))],
            "settled 5",
            "settled 3 by 1",
        ),
        (
            "too much beside",
            vec![transfer(1, PAYEE, 3), transfer(1, PAYEE, 9)],
            "settled 5",
            "settled 3 by 1",
        ),
        // Only the owner can void it, in Permit2, with its bit, and before anything was paid.
        ("voided", vec![voided(3, 0x77, ours)], "canceled", "canceled"),
        ("voided with all", vec![voided(3, 0x77, [0xff; 32])], "canceled", "canceled"),
        ("voided twice", vec![voided(3, 0x77, ours), voided(4, 0x77, ours)], "canceled", "canceled"),
        ("another bit voided", vec![voided(3, 0x77, other)], "settled 5", "alive"),
        ("another word voided", vec![voided(3, 0x76, ours)], "settled 5", "alive"),
        ("voided elsewhere", vec![elsewhere(voided(3, 0x77, ours))], "settled 5", "alive"),
        ("voided before", vec![before(voided(3, 0x77, ours))], "settled 5", "alive"),
        ("voided by nobody", vec![foreign(voided(3, 0x77, ours))], "settled 5", "alive"),
        ("another's voided", vec![of_other], "settled 5", "alive"),
        (
            "too late to void",
            vec![transfer(1, PAYEE, 3), voided(3, 0x77, ours)],
            "settled 5",
            "settled 3 by 1",
        ),
        ("no matter when", vec![voided(3, 0x77, ours), transfer(1, PAYEE, 3)], "settled 5", "settled 3 by 1"),
        ("voided, and poisoned", vec![voided(3, 0x77, ours), transfer(1, PAYEE, 0)], "canceled", "canceled"),
        ("voided, not paid", vec![voided(3, 0x77, ours), transfer(1, OTHER, 3)], "canceled", "canceled"),
    ];
    for (name, said, exact, upto) in cases {
        for (scheme, expected) in [(EXACT, exact), (UPTO, upto)] {
            let (_liar, mut watcher) = alone(facts(&said)).await;
            let round = watcher.look(&[question(scheme)], now()).await.unwrap();
            let text = match round.answers[0].result.as_ref().unwrap().0 {
                Finding::Settled { amount, transaction, block, block_hash } => {
                    assert_eq!((block, block_hash), (SPENT_IN, hash_of(SPENT_IN)), "{name}");
                    let by = transaction.map(|by| format!(" by {}", by[0])).unwrap_or_default();
                    format!("settled {amount}{by}")
                }
                Finding::Canceled { transaction, block, .. } => {
                    assert_eq!((transaction[0], block), (3, SPENT_IN), "{name}");
                    "canceled".to_owned()
                }
                Finding::Alive => "alive".to_owned(),
                Finding::Dead { .. } => "dead".to_owned(),
            };
            assert_eq!(text, expected, "{name}, {scheme:?}");
        }
    }
}

#[tokio::test]
async fn more_payments_than_are_read_count_in_full() {
    let many = |count: u8| (1..=count).map(|n| transfer(n, PAYEE, 2)).collect::<Vec<_>>();
    for (count, expected) in [(16, "settled 2"), (17, "settled 5")] {
        let (_liar, mut watcher) = alone(facts(&many(count))).await;
        assert_eq!(ask_about(&mut watcher, question(UPTO)).await, expected, "{count}");
    }
}

/// Permit2 takes a signature in a block whose time is the deadline, and not a second later.
#[tokio::test]
async fn it_is_dead_only_after_its_deadline() {
    let unspent = || Facts { spent: vec![], ..facts(&[]) };
    for scheme in [EXACT, UPTO] {
        for (finalized, expected) in [(4000, "alive"), (LAST, "alive"), (LAST + 1, "dead")] {
            let (_liar, mut watcher) = alone(Facts { finalized, ..unspent() }).await;
            assert_eq!(ask_about(&mut watcher, question(scheme)).await, expected, "at {finalized}");
        }
        // Nor does it die before the slack for clocks is over.
        let dead_at = UnixSeconds(time_of(LAST + 10));
        for (finalized, expected) in [(LAST + 9, "alive"), (LAST + 10, "dead")] {
            let (_liar, mut watcher) = alone(Facts { finalized, ..unspent() }).await;
            let question = Question { dead_at, ..question(scheme) };
            assert_eq!(ask_about(&mut watcher, question).await, expected, "at {finalized}");
        }
    }
    // Not by our own clock either.
    let (_liar, mut watcher) = alone(Facts { finalized: LAST + 1, ..unspent() }).await;
    for (now, expected) in [(time_of(LAST), true), (time_of(LAST) + 1, false)] {
        let round = watcher.look(&[question(UPTO)], UnixSeconds(now)).await.unwrap();
        let alive = matches!(round.answers[0].result, Ok((Finding::Alive, 1)));
        assert_eq!(alive, expected, "{now}");
    }
}

#[tokio::test]
async fn a_payment_at_the_deadline_is_one() {
    let at = |block: u64| {
        let said = vec![Said { block, ..transfer(1, PAYEE, 3) }];
        Facts { spent: vec![Spent { owner: PAYER, nonce: NONCE, block }], said, ..facts(&[]) }
    };
    let late = "a signature was used while it was not valid";
    for (block, expected) in [(3999, late), (4000, "settled 3"), (LAST, "settled 3"), (LAST + 1, late)] {
        let (_liar, mut watcher) = alone(at(block)).await;
        assert_eq!(ask_about(&mut watcher, question(UPTO)).await, expected, "in {block}");
    }
    // Its owner may void it whenever it likes.
    for block in [10, LAST + 500] {
        let said = vec![Said { block, ..voided(3, 0x77, [0xff; 32]) }];
        let (_liar, mut watcher) = alone(Facts { said, ..at(block) }).await;
        assert_eq!(ask_about(&mut watcher, question(EXACT)).await, "canceled", "in {block}");
    }
}

#[tokio::test]
async fn only_the_bit_of_the_nonce_counts() {
    let mut neighbours = Vec::new();
    for bit in (0..=255).filter(|bit| *bit != NONCE[31]) {
        let mut nonce = NONCE;
        nonce[31] = bit;
        neighbours.push(Spent { owner: PAYER, nonce, block: 1 });
    }
    let mut elsewhere = NONCE;
    elsewhere[0] ^= 1;
    neighbours.push(Spent { owner: PAYER, nonce: elsewhere, block: 1 });
    neighbours.push(Spent { owner: OTHER, nonce: NONCE, block: 1 });
    let (_liar, mut watcher) = alone(Facts { spent: neighbours.clone(), ..facts(&[]) }).await;
    assert_eq!(ask_about(&mut watcher, question(UPTO)).await, "dead");
    // They do not hide it either.
    neighbours.push(Spent { owner: PAYER, nonce: NONCE, block: SPENT_IN });
    let (_liar, mut watcher) = alone(Facts { spent: neighbours, ..facts(&[transfer(1, PAYEE, 3)]) }).await;
    assert_eq!(ask_about(&mut watcher, question(UPTO)).await, "settled 3");
}

#[tokio::test]
async fn the_block_is_found_wherever_it_is() {
    for block in [1, 2, 3, 4095, 4096, 4997, 4998, 4999, FINALIZED] {
        let said = vec![Said { block, ..voided(3, 0x77, [0xff; 32]) }];
        let spent = vec![Spent { owner: PAYER, nonce: NONCE, block }];
        let (liar, mut watcher) = alone(Facts { spent, said, ..facts(&[]) }).await;
        assert_eq!(ask_about(&mut watcher, question(UPTO)).await, "canceled", "in {block}");
        let calls = liar.facts.lock().unwrap().asked["eth_call"];
        assert!(calls <= 28, "{calls} calls for {block}");
    }
    // A payment of a minute ago takes few.
    let recent = facts(&[transfer(1, PAYEE, 3)]);
    let (liar, mut watcher) = alone(Facts { finalized: SPENT_IN + 30, ..recent }).await;
    assert_eq!(ask_about(&mut watcher, question(UPTO)).await, "settled 3");
    let calls = liar.facts.lock().unwrap().asked["eth_call"];
    assert!(calls <= 12, "{calls} calls");
}

/// The block that spent it and the one before are both asked for; the others only lead there.
#[tokio::test]
async fn a_node_need_only_keep_the_states_beside_the_block() {
    let paid = || facts(&[transfer(1, PAYEE, 3)]);
    for (oldest_state, expected) in
        [(SPENT_IN - 1, "settled 3"), (SPENT_IN, "Refused"), (FINALIZED, "Refused")]
    {
        let (_liar, mut watcher) = alone(Facts { oldest_state, ..paid() }).await;
        assert_eq!(ask_about(&mut watcher, question(UPTO)).await, expected, "{oldest_state}");
    }
    for (permit2_since, expected) in
        [(SPENT_IN - 1, "settled 3"), (SPENT_IN, "NoPermit2"), (FINALIZED + 1, "NoPermit2")]
    {
        let (_liar, mut watcher) = alone(Facts { permit2_since, ..paid() }).await;
        assert_eq!(ask_about(&mut watcher, question(UPTO)).await, expected, "{permit2_since}");
    }
    let genesis = || Facts { spent: vec![Spent { owner: PAYER, nonce: NONCE, block: 0 }], ..facts(&[]) };
    let before = "a nonce was spent before the first block";
    both(genesis, (before, before)).await;
}

#[tokio::test]
async fn a_payment_that_is_not_final_is_none() {
    for (confirmations, expected) in [(FINALIZED + 60 - SPENT_IN, "settled 3"), (1051, "alive")] {
        let liar = Liar::start(facts(&[transfer(1, PAYEE, 3)])).await;
        let nodes = nodes(std::slice::from_ref(&liar), 1);
        let finality = Finality::Confirmations(confirmations);
        let timeout = Duration::from_secs(10);
        let mut watcher = Watcher::new(Nodes { finality, timeout, ..nodes }).unwrap();
        assert_eq!(ask_about(&mut watcher, question(UPTO)).await, expected, "{confirmations}");
    }
}

/// With one node that must be believed, every lie is a fault of its own, and no money is freed.
#[tokio::test]
async fn a_lie_frees_nothing() {
    let edit = |edit: fn(&mut Value)| Lie::Edit(edit);
    let word = |word: &str| Lie::Result(json!(word));
    let (block, call, logs, receipt) =
        ("eth_getBlockByNumber", "eth_call", "eth_getLogs", "eth_getTransactionReceipt");
    let half = format!("0x{}", "00".repeat(16));
    let two = format!("0x{}", "00".repeat(64));
    let cases = [
        (call, word("0x"), "NoPermit2"),
        (call, word("0x01"), "Malformed"),
        (call, word(&half), "Malformed"),
        (call, word(&two), "Malformed"),
        (call, word("1"), "Malformed"),
        (call, Lie::Result(json!(0)), "Malformed"),
        (call, Lie::Result(Value::Null), "Missing"),
        (call, Lie::AnyBlock, "IgnoresHashes"),
        (call, Lie::Refuse(-32000, "missing trie node"), "Refused"),
        (call, Lie::Status(500), "Http"),
        // Spent in every state there is.
        (call, word(&format!("0x{}", "ff".repeat(32))), "a nonce was spent before the first block"),
        (block, edit(|block| block["number"] = json!("0x1388")), "it sent another block than asked for"),
        (logs, Lie::Result(json!([])), "alive"),
        (logs, Lie::Result(Value::Null), "Missing"),
        (logs, Lie::Refuse(-32000, "unknown block"), "Refused"),
        (logs, edit(|logs| each(logs, |log| log["removed"] = json!(true))), "RemovedLog"),
        (logs, edit(|logs| each(logs, |log| log["address"] = json!(OTHER_HEX))), "ForeignLog"),
        (logs, edit(|logs| each(logs, |log| log["topics"][0] = json!(FORGED))), "ForeignLog"),
        (logs, edit(|logs| each(logs, |log| log["topics"][1] = json!(FORGED))), "ForeignLog"),
        (logs, edit(|logs| each(logs, |log| log["topics"][2] = json!(FORGED))), "ForeignLog"),
        (
            logs,
            edit(|logs| each(logs, |log| log["topics"].as_array_mut().unwrap().push(json!(FORGED)))),
            "ForeignLog",
        ),
        (logs, edit(|logs| each(logs, |log| log["topics"] = json!([]))), "ForeignLog"),
        (logs, edit(|logs| each(logs, |log| log["blockNumber"] = json!("0x1"))), "ForeignLog"),
        (logs, edit(|logs| each(logs, |log| log["blockHash"] = json!(FORGED))), "ForeignLog"),
        (logs, edit(|logs| each(logs, |log| log["data"] = json!("0x03"))), "ForeignLog"),
        (
            logs,
            edit(|logs| each(logs, |log| log["data"] = json!(format!("0x{}02", "00".repeat(31))))),
            UNMATCHED,
        ),
        (logs, edit(|logs| each(logs, |log| log["logIndex"] = json!("0x7"))), UNMATCHED),
        (logs, edit(|logs| each(logs, |log| log["transactionHash"] = json!(FORGED))), "Missing"),
        (receipt, Lie::Result(Value::Null), "Missing"),
        (receipt, edit(|receipt| receipt["status"] = json!("0x0")), UNMATCHED),
        (receipt, edit(|receipt| receipt["blockHash"] = json!(FORGED)), UNMATCHED),
        (receipt, edit(|receipt| receipt["transactionHash"] = json!(FORGED)), UNMATCHED),
        (receipt, edit(|receipt| receipt["logs"] = json!([])), UNMATCHED),
        (receipt, edit(|receipt| receipt["logs"][0]["address"] = json!(OTHER_HEX)), UNMATCHED),
        (receipt, edit(|receipt| receipt["logs"][0]["data"] = json!("0x03")), UNMATCHED),
        (receipt, edit(|receipt| receipt["logs"][1]["removed"] = json!(true)), "RemovedLog"),
        (receipt, edit(|receipt| receipt["logs"][1]["data"] = json!("0x03")), "ForeignLog"),
    ];
    for (index, (method, lie, expected)) in cases.into_iter().enumerate() {
        let (liar, mut watcher) = alone(facts(&[transfer(1, PAYEE, 3), transfer(1, OTHER, 1)])).await;
        liar.lie(method, lie);
        assert_eq!(ask_about(&mut watcher, question(UPTO)).await, expected, "case {index}: {method}");
    }
    // An invalidation that does not say of what is none.
    for words in [&[][..], &[[0; 32]], &[[0; 32], [0xff; 32], [0; 32]]] {
        let topics = [UNORDERED_NONCE_INVALIDATION, padded(PAYER)];
        let (_liar, mut watcher) = alone(facts(&[said(3, PERMIT2.to_bytes(), &topics, words)])).await;
        assert_eq!(ask_about(&mut watcher, question(EXACT)).await, "ForeignLog", "{words:?}");
    }
}

const UNMATCHED: &str = "a receipt does not have the log it should";
const OTHER_HEX: &str = "0xdddddddddddddddddddddddddddddddddddddddd";

fn each(logs: &mut Value, edit: fn(&mut Value)) {
    logs.as_array_mut().unwrap().iter_mut().for_each(edit);
}

#[tokio::test]
async fn nodes_must_agree_on_what_it_cost() {
    let (paid, whole) = ([transfer(1, PAYEE, 3)], [transfer(1, PAYEE, 5)]);
    let unspent = || Facts { spent: vec![], ..facts(&[]) };
    let later = || {
        let said = vec![Said { block: SPENT_IN + 1, ..transfer(1, PAYEE, 3) }];
        Facts { spent: vec![Spent { owner: PAYER, nonce: NONCE, block: SPENT_IN + 1 }], ..facts(&said) }
    };
    let behind = || Facts { finalized: SPENT_IN - 1, ..facts(&paid) };
    let cases = [
        ("agreed", [facts(&paid), facts(&paid)], "settled 3"),
        ("another amount", [facts(&paid), facts(&whole)], "Contradiction"),
        ("another payment", [facts(&paid), facts(&[transfer(2, PAYEE, 3)])], "Contradiction"),
        ("another block", [facts(&paid), later()], "Contradiction"),
        ("never", [facts(&paid), unspent()], "Contradiction"),
        ("voided", [facts(&paid), facts(&[voided(3, 0x77, [0xff; 32])])], "Contradiction"),
        // Too few that know what it cost: nothing is freed, and nobody is wrong.
        ("one sees no log", [facts(&paid), facts(&[])], "alive"),
        ("one is behind", [facts(&paid), behind()], "alive"),
        ("one cannot say", [facts(&paid), Facts { oldest_state: FINALIZED, ..facts(&paid) }], "Refused"),
    ];
    for (name, facts, expected) in cases {
        let mut liars = Vec::new();
        for facts in facts {
            liars.push(Liar::start(facts).await);
        }
        let mut watcher = watch(&liars, 2);
        assert_eq!(ask_about(&mut watcher, question(UPTO)).await, expected, "{name}");
    }
}
