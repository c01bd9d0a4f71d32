//! Nodes that tell the truth, nodes that lie, and what is believed of either.

mod liar;
mod lies;
mod permit2;

use std::time::Duration;

use pursekeeper_core::{Amount, ChainId, EvmAddress, UnixSeconds};
use serde_json::json;

use super::*;
use liar::{CHAIN_ID, FORGED, Facts, GENESIS, Happening, Liar, Lie, hash_of, time_of, transaction_of};

const ASSET: [u8; 20] = [0xaa; 20];
const PAYER: [u8; 20] = [0xbb; 20];
const PAYEE: [u8; 20] = [0xcc; 20];
const SETTLED: [u8; 32] = [1; 32];
const CANCELED: [u8; 32] = [2; 32];
const UNUSED: [u8; 32] = [3; 32];
const FINALIZED: u64 = 5000;

/// A chain on which one signature for 5 was settled in block 4010 and another cancelled in block 4020.
fn facts() -> Facts {
    let of = |nonce, block, paid| Happening { nonce, block, asset: ASSET, authorizer: PAYER, paid };
    Facts {
        latest: FINALIZED + 60,
        finalized: FINALIZED,
        happenings: vec![of(SETTLED, 4010, Some((PAYEE, 5))), of(CANCELED, 4020, None)],
        balance: 100,
        ..Facts::default()
    }
}

/// Signed for 5 at block 4000, for two minutes.
fn question(nonce: [u8; 32]) -> Question {
    let signed_at = UnixSeconds(time_of(4000));
    Question {
        hold: u64::from(nonce[0]),
        asset: EvmAddress::from_bytes(ASSET),
        payee: EvmAddress::from_bytes(PAYEE),
        amount: Amount::parse("5").unwrap(),
        signed_at,
        dead_at: signed_at.plus(150),
        authorization: Authorization::Eip3009 {
            authorizer: EvmAddress::from_bytes(PAYER),
            nonce,
            valid_after: UnixSeconds(0),
            valid_before: signed_at.plus(120),
        },
    }
}

fn now() -> UnixSeconds {
    UnixSeconds(time_of(FINALIZED + 60))
}

fn nodes(liars: &[Liar], quorum: usize) -> Nodes {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Nodes {
        network: ChainId::Eip155(CHAIN_ID),
        urls: liars.iter().map(|liar| liar.url.clone()).collect(),
        quorum,
        log_blocks_max: 100,
        timeout: Duration::from_secs(10),
        finality: Finality::Finalized,
    }
}

async fn start<const N: usize>() -> [Liar; N] {
    let mut liars = Vec::new();
    for _ in 0..N {
        liars.push(Liar::start(facts()).await);
    }
    liars.try_into().unwrap_or_else(|_| panic!("{N} liars"))
}

fn watch(liars: &[Liar], quorum: usize) -> Watcher {
    Watcher::new(nodes(liars, quorum)).unwrap()
}

/// The name of an error and of the faults in it.
fn name(error: &ChainError) -> String {
    let word = |debug: String| debug.split([' ', '(']).next().unwrap().to_owned();
    let fault = |NodeError { fault, .. }: &NodeError| {
        if let NodeFault::Impossible { what } = fault {
            (*what).to_owned()
        } else {
            word(format!("{fault:?}"))
        }
    };
    if let ChainError::TooFewNodes { faults, .. } = error {
        return faults.iter().map(fault).collect::<Vec<_>>().join(" ");
    }
    word(format!("{error:?}"))
}

/// What a round makes of one signature.
async fn ask(watcher: &mut Watcher, nonce: [u8; 32]) -> String {
    ask_about(watcher, question(nonce)).await
}

async fn ask_about(watcher: &mut Watcher, question: Question) -> String {
    let round = match watcher.look(&[question], now()).await {
        Ok(round) => round,
        Err(error) => return name(&error),
    };
    match &round.answers[0].result {
        Ok((Finding::Settled { amount, .. }, _)) => format!("settled {amount}"),
        Ok((Finding::Canceled { .. }, _)) => "canceled".to_owned(),
        Ok((Finding::Dead { .. }, _)) => "dead".to_owned(),
        Ok((Finding::Alive, _)) => "alive".to_owned(),
        Err(error) => name(error),
    }
}

#[tokio::test]
async fn two_honest_nodes_are_believed() {
    let liars = start::<2>().await;
    // The second is behind.
    liars[1].facts.lock().unwrap().finalized = 4500;
    let mut watcher = watch(&liars, 2);
    let round = watcher.look(&[SETTLED, CANCELED, UNUSED].map(question), now()).await.unwrap();
    assert_eq!(round.heads.iter().map(|(_, head)| head.number).collect::<Vec<_>>(), [FINALIZED, 4500]);
    assert!(round.faults.is_empty(), "{:?}", round.faults);
    let findings = round.answers.iter().map(|Answer { hold, result }| (*hold, result.clone().unwrap()));
    let (settled, canceled) = (transaction_of(SETTLED), transaction_of(CANCELED));
    let amount = Amount::parse("5").unwrap();
    let expected = [
        Finding::Settled { amount, transaction: Some(settled), block: 4010, block_hash: hash_of(4010) },
        Finding::Canceled { transaction: canceled, block: 4020, block_hash: hash_of(4020) },
        Finding::Dead { block: 4500, block_hash: hash_of(4500) },
    ];
    assert_eq!(
        findings.collect::<Vec<_>>(),
        [1, 2, 3].into_iter().zip(expected.map(|finding| (finding, 2))).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_signature_lives_until_a_final_block_is_late_enough() {
    let [liar] = start().await;
    let mut watcher = watch(std::slice::from_ref(&liar), 1);
    for (finalized, expected) in [(4000, "alive"), (4074, "alive"), (4075, "dead")] {
        liar.facts.lock().unwrap().finalized = finalized;
        assert_eq!(ask(&mut watcher, UNUSED).await, expected, "at {finalized}");
    }
    // A settlement that is not final yet is none.
    let [liar] = start().await;
    let mut watcher = watch(std::slice::from_ref(&liar), 1);
    for (finalized, expected) in [(4009, "alive"), (4010, "settled 5")] {
        liar.facts.lock().unwrap().finalized = finalized;
        assert_eq!(ask(&mut watcher, SETTLED).await, expected, "at {finalized}");
    }
}

/// A cancellation may arrive when the signature is void already; a payment may not.
#[tokio::test]
async fn a_late_cancellation_is_found() {
    let [liar] = start().await;
    let mut watcher = watch(std::slice::from_ref(&liar), 1);
    liar.facts.lock().unwrap().happenings.iter_mut().for_each(|of| of.block = 4900);
    assert_eq!(ask(&mut watcher, CANCELED).await, "canceled");
    assert_eq!(ask(&mut watcher, SETTLED).await, "a signature was used while it was not valid");
}

#[tokio::test]
async fn confirmations_stand_in_for_finality() {
    let [liar] = start().await;
    let watcher = |confirmations| {
        let finality = Finality::Confirmations(confirmations);
        Watcher::new(Nodes { finality, ..nodes(std::slice::from_ref(&liar), 1) }).unwrap()
    };
    for (confirmations, expected) in
        [(60, "dead"), (985, "dead"), (986, "alive"), (FINALIZED + 60, "alive"), (FINALIZED + 61, "TooShort")]
    {
        assert_eq!(ask(&mut watcher(confirmations), UNUSED).await, expected, "{confirmations}");
    }
}

#[tokio::test]
async fn a_node_that_is_silent_or_gone_is_a_fault() {
    let [liar] = start().await;
    liar.lie("eth_chainId", Lie::Hang);
    let mut silent =
        Watcher::new(Nodes { timeout: Duration::from_millis(50), ..nodes(std::slice::from_ref(&liar), 1) })
            .unwrap();
    assert_eq!(ask(&mut silent, UNUSED).await, "Timeout");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/secret-key", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let mut gone = Watcher::new(Nodes { urls: vec![url], ..nodes(&[], 1) }).unwrap();
    let error = gone.look(&[], now()).await.unwrap_err();
    assert_eq!(name(&error), "Unreachable");
    assert!(!format!("{error} {error:?}").contains("secret-key"), "{error:?}");
}

#[tokio::test]
async fn what_was_final_stays_final() {
    let [liar] = start().await;
    let mut watcher = watch(std::slice::from_ref(&liar), 1);
    let set = |finalized| liar.facts.lock().unwrap().finalized = finalized;
    assert_eq!(ask(&mut watcher, UNUSED).await, "dead");
    set(FINALIZED - 1);
    assert_eq!(ask(&mut watcher, UNUSED).await, "WentBack");
    set(FINALIZED);
    assert_eq!(ask(&mut watcher, UNUSED).await, "dead");
    liar.lie("eth_getBlockByNumber", Lie::Edit(|block| block["hash"] = json!(FORGED)));
    assert_eq!(ask(&mut watcher, UNUSED).await, "Rewritten");
}

#[tokio::test]
async fn what_was_final_is_remembered_of_rounds_without_a_quorum() {
    let liars = start::<2>().await;
    liars[1].lie("eth_chainId", Lie::Status(500));
    let mut watcher = watch(&liars, 2);
    assert_eq!(ask(&mut watcher, UNUSED).await, "Http");
    liars[0].facts.lock().unwrap().finalized = FINALIZED - 1;
    assert_eq!(ask(&mut watcher, UNUSED).await, "WentBack Http");
}

#[tokio::test]
async fn a_quorum_is_enough_and_less_is_not() {
    let liars = start::<3>().await;
    let mut watcher = watch(&liars, 2);
    liars[2].lie("eth_call", Lie::Refuse(-32000, "over the limit of secret-key"));
    let round = watcher.look(&[question(UNUSED)], now()).await.unwrap();
    assert!(matches!(round.answers[0].result, Ok((Finding::Dead { .. }, 2))));
    let fault = round.faults[0].to_string();
    assert!(fault.starts_with("`http://127.0.0.1:") && !fault.contains("secret-key"), "{fault}");
    liars[1].lie("eth_chainId", Lie::Status(429));
    assert_eq!(ask(&mut watcher, UNUSED).await, "Http Refused");
}

#[tokio::test]
async fn one_contradiction_is_enough_to_believe_nobody() {
    let liars = start::<3>().await;
    let mut watcher = watch(&liars, 2);
    let unused = format!("0x{}", "00".repeat(32));
    liars[2].lie("eth_call", Lie::Result(json!(unused)));
    assert_eq!(ask(&mut watcher, UNUSED).await, "dead");
    assert_eq!(ask(&mut watcher, SETTLED).await, "Contradiction");
    let error =
        watcher.look(&[question(SETTLED)], now()).await.unwrap().answers[0].result.clone().unwrap_err();
    let text = error.to_string();
    for liar in [&liars[0], &liars[2]] {
        assert!(text.contains(&NodeName::of(&liar.url).to_string()), "{text}");
    }
    // Two that lie alike, against one that does not show its log.
    liars[1].lie("eth_call", Lie::Result(json!(unused)));
    liars[0].lie("eth_getLogs", Lie::Result(json!([])));
    assert_eq!(ask(&mut watcher, SETTLED).await, "Contradiction");
}

#[tokio::test]
async fn one_question_that_fails_does_not_stop_the_others() {
    let [liar] = start().await;
    liar.lie("eth_getLogs", Lie::Refuse(-32005, "range"));
    let mut watcher = watch(std::slice::from_ref(&liar), 1);
    let round = watcher.look(&[SETTLED, UNUSED].map(question), now()).await.unwrap();
    assert!(round.answers[0].result.is_err());
    assert!(matches!(round.answers[1].result, Ok((Finding::Dead { .. }, 1))));
    assert_eq!(round.faults.iter().map(|fault| fault.hold).collect::<Vec<_>>(), [Some(1)]);
}

#[tokio::test]
async fn a_search_takes_few_requests() {
    let [liar] = start().await;
    let mut watcher = watch(std::slice::from_ref(&liar), 1);
    for round in 0..2 {
        assert_eq!(ask(&mut watcher, SETTLED).await, "settled 5");
        let asked = std::mem::take(&mut liar.facts.lock().unwrap().asked);
        let blocks = asked["eth_getBlockByNumber"];
        // The second time, only the head and the block of the settlement are asked for.
        assert!(blocks <= if round == 0 { 16 } else { 2 }, "{blocks} blocks in round {round}");
        // The first time, one call more: whether it knows hashes.
        assert_eq!(asked["eth_call"], if round == 0 { 2 } else { 1 });
        // From 600 s before block 4000, in ranges of 100 blocks, to block 4010.
        assert_eq!(asked["eth_getLogs"], 4);
    }
    let mut short =
        Watcher::new(Nodes { log_blocks_max: 1, ..nodes(std::slice::from_ref(&liar), 1) }).unwrap();
    assert_eq!(ask(&mut short, SETTLED).await, "TooManyRanges");
}

#[tokio::test]
async fn of_balances_the_lowest_counts() {
    let liars = start::<3>().await;
    liars[1].facts.lock().unwrap().balance = 7;
    liars[2].facts.lock().unwrap().latest = FINALIZED;
    let watcher = watch(&liars, 2);
    let wallet = (EvmAddress::from_bytes(ASSET), EvmAddress::from_bytes(PAYER));
    let balances = watcher.balances(&[wallet, wallet], now()).await.unwrap();
    assert_eq!(balances.oldest.timestamp, UnixSeconds(time_of(FINALIZED)));
    for amount in balances.amounts {
        assert_eq!(amount.unwrap(), Amount::parse("7").unwrap());
    }
    liars[0].lie("eth_call", Lie::Result(json!("0x")));
    liars[2].lie("eth_call", Lie::Result(json!("0x07")));
    let balances = watcher.balances(&[wallet], now()).await.unwrap();
    assert_eq!(name(balances.amounts[0].as_ref().unwrap_err()), "NotAToken Malformed");
    assert_eq!(balances.faults.len(), 2);
    let error = watcher.balances(&[wallet], UnixSeconds(GENESIS)).await.unwrap_err();
    assert_eq!(name(&error), "FromTheFuture FromTheFuture FromTheFuture");
}

#[tokio::test]
async fn configurations_that_cannot_work_are_refused() {
    let url = |text: &str| text.parse().unwrap();
    let with = |urls: &[&str], quorum| Nodes {
        urls: urls.iter().map(|text| url(text)).collect(),
        ..nodes(&[], quorum)
    };
    let solana = ChainId::parse("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp").unwrap();
    let (a, b) = ("https://a.example/key", "https://b.example/key");
    for (nodes, expected) in [
        (with(&[], 0), "Quorum"),
        (with(&[], 1), "Quorum"),
        (with(&[a], 0), "Quorum"),
        (with(&[a, b], 3), "Quorum"),
        (with(&[a, "ftp://b.example"], 1), "Url"),
        (with(&[a, "https://a.example:443/other-key"], 2), "SameNode"),
        (Nodes { network: solana, ..with(&[a], 1) }, "Family"),
        (Nodes { log_blocks_max: 0, ..with(&[a], 1) }, "LogBlocks"),
    ] {
        assert_eq!(Watcher::new(nodes).map(|_| ()).map_err(|error| name(&error)), Err(expected.to_owned()));
    }
    let mut watcher = Watcher::new(with(&[a, b], 2)).unwrap();
    let many = vec![question(UNUSED); QUESTIONS_MAX + 1];
    assert_eq!(name(&watcher.look(&many, now()).await.unwrap_err()), "TooMany");
}
