//! How one node explains that an EIP-3009 authorization is used up: by a payment, or by a cancellation.

use pursekeeper_core::{Amount, EvmAddress, UnixSeconds};
use serde_json::json;
use tracing::warn;

use super::abi::{AUTHORIZATION_CANCELED, AUTHORIZATION_USED, TRANSFER, amount, topic};
use super::error::NodeFault;
use super::question::{Block, Question};
use super::quorum::Sight;
use super::rpc::Rpc;
use super::timeline::block;
use super::wire::{Bytes, Fixed, Log, Quantity, Receipt, bytes, quantity};

/// Most requests for the logs of one signature.
const LOG_REQUESTS_MAX: usize = 256;

/// The authorization a log is searched for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) asset: EvmAddress,
    pub(super) authorizer: EvmAddress,
    pub(super) nonce: [u8; 32],
    pub(super) valid_after: UnixSeconds,
    pub(super) valid_before: UnixSeconds,
}

/// What a log says of an authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Used,
    Canceled,
}

/// Searches the blocks `first` to `last` for what used up the signature of `question`, and follows it to its payment.
pub(super) async fn trace(
    rpc: &Rpc,
    question: &Question,
    wanted: Wanted,
    ((first, last), log_blocks_max): ((u64, u64), u64),
) -> Result<Option<Sight>, NodeFault> {
    let Some((event, log)) = search(rpc, wanted, (first, last), log_blocks_max).await? else {
        return Ok(None);
    };
    let Quantity(number) = log.block_number;
    let block = block(rpc, number).await?;
    if block.hash != log.block_hash.0 {
        return Err(NodeFault::Impossible { what: "a log is in another block than the one of that number" });
    }
    let Fixed(transaction) = log.transaction_hash;
    match event {
        Event::Canceled => Ok(Some(Sight::Canceled { transaction, block })),
        Event::Used => {
            if !within(block, wanted) {
                return Err(NodeFault::Impossible { what: "a signature was used while it was not valid" });
            }
            let receipt = receipt(rpc, &log).await?;
            let amount = cost(question, wanted, moved(&receipt.logs, &log, wanted, question.payee)?)?;
            Ok(Some(Sight::Settled { amount, transaction: Some(transaction), block }))
        }
    }
}

/// The contract demands a block time strictly between the two.
fn within(block: Block, wanted: Wanted) -> bool {
    let Wanted { valid_after, valid_before, .. } = wanted;
    valid_after < block.timestamp && block.timestamp < valid_before
}

/// The one log that says what became of the authorization.
async fn search(
    rpc: &Rpc,
    wanted: Wanted,
    (first, last): (u64, u64),
    log_blocks_max: u64,
) -> Result<Option<(Event, Log)>, NodeFault> {
    let Wanted { asset, authorizer, nonce, .. } = wanted;
    for (requests, range) in ranges(first, last, log_blocks_max).enumerate() {
        if requests >= LOG_REQUESTS_MAX {
            return Err(NodeFault::TooManyRanges { requests_max: LOG_REQUESTS_MAX });
        }
        let filter = json!([{
            "fromBlock": quantity(range.0),
            "toBlock": quantity(range.1),
            "address": bytes(&asset.to_bytes()),
            "topics": [
                [bytes(&AUTHORIZATION_USED), bytes(&AUTHORIZATION_CANCELED)],
                bytes(&topic(authorizer)),
                bytes(&nonce),
            ],
        }]);
        let logs: Vec<Log> = rpc.ask("eth_getLogs", filter).await?;
        let mut found = None;
        for log in logs {
            let event = read(&log, wanted, range)?;
            if found.replace((event, log)).is_some() {
                return Err(NodeFault::Impossible { what: "an authorization was used up twice" });
            }
        }
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The blocks `first` to `last`, both included, in ranges of at most `blocks_max`.
fn ranges(first: u64, last: u64, blocks_max: u64) -> impl Iterator<Item = (u64, u64)> {
    let mut next = Some(first);
    std::iter::from_fn(move || {
        let from = next.filter(|from| *from <= last)?;
        let to = from.saturating_add(blocks_max.saturating_sub(1)).min(last);
        next = to.checked_add(1);
        Some((from, to))
    })
}

/// What `log` says, if it is one of those asked for.
fn read(log: &Log, wanted: Wanted, (first, last): (u64, u64)) -> Result<Event, NodeFault> {
    let foreign = |what| Err(NodeFault::ForeignLog { what });
    let Log { address, topics, data, block_number, removed, .. } = log;
    if *removed {
        return Err(NodeFault::RemovedLog);
    }
    if address.0 != wanted.asset.to_bytes() {
        return foreign("another contract");
    }
    if !(first..=last).contains(&block_number.0) {
        return foreign("another block");
    }
    let [Fixed(event), Fixed(authorizer), Fixed(nonce)] = topics.as_slice() else {
        return foreign("another number of topics");
    };
    if *authorizer != topic(wanted.authorizer) || *nonce != wanted.nonce || *data != Bytes(Vec::new()) {
        return foreign("another authorization");
    }
    match *event {
        AUTHORIZATION_USED => Ok(Event::Used),
        AUTHORIZATION_CANCELED => Ok(Event::Canceled),
        _ => foreign("another event"),
    }
}

/// The receipt of the transaction `log` is in, with `log` in it.
pub(super) async fn receipt(rpc: &Rpc, log: &Log) -> Result<Receipt, NodeFault> {
    let hash = bytes(&log.transaction_hash.0);
    let receipt: Receipt = rpc.ask("eth_getTransactionReceipt", json!([hash])).await?;
    let Receipt { transaction_hash, block_number, block_hash, status, logs } = &receipt;
    let same = (transaction_hash, block_number, block_hash)
        == (&log.transaction_hash, &log.block_number, &log.block_hash);
    let inside = logs.iter().any(|other| {
        (other.log_index, other.address, &other.topics, &other.data)
            == (log.log_index, log.address, &log.topics, &log.data)
    });
    if !same || *status != Quantity(1) || !inside {
        return Err(NodeFault::Impossible { what: "a receipt does not have the log it should" });
    }
    Ok(receipt)
}

/// What the token says it moved to `payee` because of the authorization in `used`: the next transfer after it and
/// before the next authorization, because one transaction may settle many of the same payer for the same payee.
fn moved(logs: &[Log], used: &Log, wanted: Wanted, payee: EvmAddress) -> Result<Option<Amount>, NodeFault> {
    let after = logs.iter().filter(|log| log.log_index.0 > used.log_index.0 && log.address == used.address);
    for log in after {
        if log.removed {
            return Err(NodeFault::RemovedLog);
        }
        match log.topics.as_slice() {
            [Fixed(AUTHORIZATION_USED), ..] => return Ok(None),
            [Fixed(TRANSFER), Fixed(from), Fixed(to)]
                if *from == topic(wanted.authorizer) && *to == topic(payee) =>
            {
                let amount = amount(&log.data.0);
                return amount
                    .map(Some)
                    .ok_or(NodeFault::ForeignLog { what: "a transfer without an amount" });
            }
            _ => {}
        }
    }
    Ok(None)
}

/// What the signature cost.
///
/// The amount is part of an EIP-3009 signature, so the contract takes exactly that. A token that reports less keeps a
/// fee, or the node lies to have money freed; the wallet is poorer by the whole amount either way, so that is what
/// counts. Nothing reported counts the same.
fn cost(question: &Question, wanted: Wanted, moved: Option<Amount>) -> Result<Amount, NodeFault> {
    let signed = question.amount;
    match moved {
        Some(observed) if observed > signed => Err(NodeFault::Overpaid { observed, signed }),
        Some(observed) if observed == signed => Ok(signed),
        Some(_) | None => {
            let observed = moved.map(|amount| amount.to_string());
            warn!(hold = question.hold, asset = %wanted.asset, observed, %signed, "settled without a transfer of what was signed for: counted in full");
            Ok(signed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::question::Authorization;
    use super::*;

    const ASSET: EvmAddress = EvmAddress::from_bytes([0xaa; 20]);
    const PAYER: EvmAddress = EvmAddress::from_bytes([0xbb; 20]);
    const PAYEE: EvmAddress = EvmAddress::from_bytes([0xcc; 20]);
    const NONCE: [u8; 32] = [7; 32];
    const WANTED: Wanted = Wanted {
        asset: ASSET,
        authorizer: PAYER,
        nonce: NONCE,
        valid_after: UnixSeconds(0),
        valid_before: UnixSeconds(9),
    };

    fn log(index: u64, topics: &[[u8; 32]], data: &[u8]) -> Log {
        Log {
            address: Fixed(ASSET.to_bytes()),
            topics: topics.iter().copied().map(Fixed).collect(),
            data: Bytes(data.to_vec()),
            block_number: Quantity(10),
            block_hash: Fixed([1; 32]),
            transaction_hash: Fixed([2; 32]),
            log_index: Quantity(index),
            removed: false,
        }
    }

    fn used(index: u64, nonce: [u8; 32]) -> Log {
        log(index, &[AUTHORIZATION_USED, topic(PAYER), nonce], &[])
    }

    fn transfer(index: u64, to: EvmAddress, amount: u8) -> Log {
        log(index, &[TRANSFER, topic(PAYER), topic(to)], &[[0; 31].as_slice(), &[amount]].concat())
    }

    #[test]
    fn ranges_cover_every_block_once() {
        let of = |first, last, max| ranges(first, last, max).collect::<Vec<_>>();
        assert_eq!(of(5, 4, 10), []);
        assert_eq!(of(5, 5, 10), [(5, 5)]);
        assert_eq!(of(0, 9, 5), [(0, 4), (5, 9)]);
        assert_eq!(of(0, 10, 5), [(0, 4), (5, 9), (10, 10)]);
        assert_eq!(of(u64::MAX - 1, u64::MAX, 1), [(u64::MAX - 1, u64::MAX - 1), (u64::MAX, u64::MAX)]);
    }

    #[test]
    fn only_the_log_asked_for_is_read() {
        let event = |log: &Log| read(log, WANTED, (10, 20));
        assert_eq!(event(&used(0, NONCE)).unwrap(), Event::Used);
        let canceled = log(0, &[AUTHORIZATION_CANCELED, topic(PAYER), NONCE], &[]);
        assert_eq!(event(&canceled).unwrap(), Event::Canceled);
        let foreign = [
            Log { address: Fixed([0xab; 20]), ..used(0, NONCE) },
            Log { block_number: Quantity(9), ..used(0, NONCE) },
            Log { block_number: Quantity(21), ..used(0, NONCE) },
            Log { data: Bytes(vec![0]), ..used(0, NONCE) },
            used(0, [8; 32]),
            log(0, &[AUTHORIZATION_USED, topic(PAYEE), NONCE], &[]),
            log(0, &[TRANSFER, topic(PAYER), NONCE], &[]),
            log(0, &[AUTHORIZATION_USED, topic(PAYER)], &[]),
            log(0, &[AUTHORIZATION_USED, topic(PAYER), NONCE, NONCE], &[]),
            log(0, &[], &[]),
        ];
        for log in foreign {
            assert!(matches!(event(&log), Err(NodeFault::ForeignLog { .. })), "{log:?}");
        }
        assert!(matches!(event(&Log { removed: true, ..used(0, NONCE) }), Err(NodeFault::RemovedLog)));
    }

    #[test]
    fn a_transfer_belongs_to_the_authorization_before_it() {
        let amount = |text: &str| Amount::parse(text).unwrap();
        let ours = used(3, NONCE);
        let foreign = Log { address: Fixed([0xab; 20]), ..transfer(4, PAYEE, 99) };
        let cases = [
            (vec![ours.clone(), transfer(4, PAYEE, 5)], Some(amount("5"))),
            (vec![transfer(1, PAYEE, 9), ours.clone(), transfer(4, PAYEE, 5)], Some(amount("5"))),
            (vec![ours.clone(), foreign, transfer(5, PAYEE, 5)], Some(amount("5"))),
            (vec![ours.clone(), transfer(4, ASSET, 1), transfer(5, PAYEE, 4)], Some(amount("4"))),
            (vec![ours.clone(), used(4, [8; 32]), transfer(5, PAYEE, 5)], None),
            (vec![transfer(1, PAYEE, 9), ours.clone()], None),
            (vec![ours.clone(), transfer(4, PAYER, 5)], None),
        ];
        for (logs, expected) in cases {
            assert_eq!(moved(&logs, &ours, WANTED, PAYEE).unwrap(), expected, "{logs:?}");
        }
        let short = log(4, &[TRANSFER, topic(PAYER), topic(PAYEE)], &[5]);
        assert!(moved(&[ours.clone(), short], &ours, WANTED, PAYEE).is_err());
        assert!(
            moved(&[ours.clone(), Log { removed: true, ..transfer(4, PAYEE, 5) }], &ours, WANTED, PAYEE)
                .is_err()
        );
    }

    #[test]
    fn a_settlement_never_costs_less_than_was_signed_for() {
        let signed = Amount::parse("5").unwrap();
        let question = Question {
            hold: 1,
            asset: ASSET,
            payee: PAYEE,
            amount: signed,
            signed_at: UnixSeconds(0),
            dead_at: UnixSeconds(9),
            authorization: Authorization::Eip3009 {
                authorizer: PAYER,
                nonce: NONCE,
                valid_after: UnixSeconds(0),
                valid_before: UnixSeconds(9),
            },
        };
        for observed in [None, Amount::parse("0").ok(), Amount::parse("4").ok(), Some(signed)] {
            assert_eq!(cost(&question, WANTED, observed).unwrap(), signed, "{observed:?}");
        }
        let fault = cost(&question, WANTED, Amount::parse("6").ok());
        assert!(matches!(fault, Err(NodeFault::Overpaid { .. })));
    }
}
