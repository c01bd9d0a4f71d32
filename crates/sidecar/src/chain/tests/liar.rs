//! A node on loopback with a chain of our making, which lies on demand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use pursekeeper_core::PERMIT2;
use reqwest::Url;
use serde_json::{Value, json};

use super::super::abi::{AUTHORIZATION_CANCELED, AUTHORIZATION_USED, TRANSFER};

pub(super) const CHAIN_ID: u64 = 84532;
/// A hash of nothing.
pub(super) const FORGED: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";
/// The time of block 0.
pub(super) const GENESIS: u64 = 1_700_000_000;
const BLOCK_SECS: u64 = 2;

/// What the node does instead of telling the truth.
#[derive(Clone)]
pub(super) enum Lie {
    Result(Value),
    Edit(fn(&mut Value)),
    Refuse(i64, &'static str),
    Status(u16),
    StatusAndTruth(u16),
    /// A refusal with an HTTP status of its own.
    Both(u16, i64, &'static str),
    Redirect(String),
    Body(String),
    Hang,
    /// Calls are answered for the latest state, whatever block they name.
    AnyBlock,
}

/// Something that happened on the chain.
#[derive(Clone)]
pub(super) struct Happening {
    pub(super) nonce: [u8; 32],
    pub(super) block: u64,
    pub(super) asset: [u8; 20],
    pub(super) authorizer: [u8; 20],
    /// Payee and amount; none when it was cancelled.
    pub(super) paid: Option<([u8; 20], u8)>,
}

/// A Permit2 nonce that was spent, by whatever.
#[derive(Clone)]
pub(super) struct Spent {
    pub(super) owner: [u8; 20],
    pub(super) nonce: [u8; 32],
    pub(super) block: u64,
}

/// Something a contract said, in the order of its block.
#[derive(Clone)]
pub(super) struct Said {
    pub(super) block: u64,
    pub(super) transaction: [u8; 32],
    pub(super) address: [u8; 20],
    pub(super) topics: Vec<[u8; 32]>,
    pub(super) data: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Facts {
    pub(super) latest: u64,
    pub(super) finalized: u64,
    pub(super) happenings: Vec<Happening>,
    pub(super) spent: Vec<Spent>,
    pub(super) said: Vec<Said>,
    /// States of earlier blocks are pruned.
    pub(super) oldest_state: u64,
    /// Permit2 has no code before this block.
    pub(super) permit2_since: u64,
    pub(super) lies: HashMap<&'static str, Lie>,
    pub(super) balance: u8,
    /// How often each method was asked for.
    pub(super) asked: HashMap<String, u32>,
}

#[derive(Clone)]
pub(super) struct Liar {
    pub(super) facts: Arc<Mutex<Facts>>,
    pub(super) url: Url,
}

pub(super) fn time_of(block: u64) -> u64 {
    GENESIS.saturating_add(block.saturating_mul(BLOCK_SECS))
}

pub(super) fn hash_of(block: u64) -> [u8; 32] {
    let mut hash = [0xb1; 32];
    hash[24..].copy_from_slice(&block.to_be_bytes());
    hash
}

/// The hash of the transaction in which an authorization was used up.
pub(super) fn transaction_of(nonce: [u8; 32]) -> [u8; 32] {
    nonce.map(|byte| byte ^ 0xff)
}

impl Liar {
    pub(super) async fn start(facts: Facts) -> Self {
        let facts = Arc::new(Mutex::new(facts));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/secret-key", listener.local_addr().unwrap()).parse().unwrap();
        let shared = Arc::clone(&facts);
        let app = Router::new().fallback(move |body: Bytes| answer(Arc::clone(&shared), body));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { facts, url }
    }

    pub(super) fn lie(&self, method: &'static str, lie: Lie) {
        self.facts.lock().unwrap().lies.insert(method, lie);
    }
}

async fn answer(facts: Arc<Mutex<Facts>>, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let (id, method) = (request["id"].clone(), request["method"].as_str().unwrap().to_owned());
    let (truth, lie) = {
        let mut facts = facts.lock().unwrap();
        let count = facts.asked.entry(method.clone()).or_default();
        *count = count.saturating_add(1);
        let params = &request["params"];
        let unknown = method == "eth_call" && !params[1]["blockHash"].as_str().unwrap().starts_with("0xb1");
        let refusal = Lie::Refuse(-32001, "Resource not found");
        let lie = facts.lies.get(method.as_str()).cloned();
        // A node that lies about calls still knows its blocks, unless that is the lie.
        let lie = if unknown && !matches!(lie, Some(Lie::AnyBlock)) { Some(refusal) } else { lie };
        let pruned = !unknown && method == "eth_call" && state_of(&params[1]) < facts.oldest_state;
        let lie = if pruned { Some(Lie::Refuse(-32000, "missing trie node")) } else { lie };
        (facts.truth(&method, params), lie)
    };
    let result = |result: Value| json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string();
    let refuse = |code: i64, message: &str| {
        let error = json!({ "code": code, "message": message });
        json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string()
    };
    match lie {
        None | Some(Lie::AnyBlock) => result(truth).into_response(),
        Some(Lie::Result(value)) => result(value).into_response(),
        Some(Lie::Edit(edit)) => {
            let mut value = truth;
            edit(&mut value);
            result(value).into_response()
        }
        Some(Lie::Refuse(code, message)) => refuse(code, message).into_response(),
        Some(Lie::Both(status, code, message)) => {
            (StatusCode::from_u16(status).unwrap(), refuse(code, message)).into_response()
        }
        Some(Lie::StatusAndTruth(status)) => {
            (StatusCode::from_u16(status).unwrap(), result(truth)).into_response()
        }
        Some(Lie::Status(status)) => StatusCode::from_u16(status).unwrap().into_response(),
        Some(Lie::Redirect(to)) => (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, to)]).into_response(),
        Some(Lie::Body(body)) => body.into_response(),
        Some(Lie::Hang) => std::future::pending().await,
    }
}

impl Facts {
    fn truth(&self, method: &str, params: &Value) -> Value {
        match method {
            "eth_chainId" => json!(format!("{CHAIN_ID:#x}")),
            "eth_getBlockByNumber" => block(match params[0].as_str().unwrap() {
                "latest" => self.latest,
                "finalized" => self.finalized,
                number => parse(number),
            }),
            "eth_call" => self.call(&params[0], &params[1]),
            "eth_getLogs" => self.logs(&params[0]),
            "eth_getTransactionReceipt" => self.receipt(params[0].as_str().unwrap()),
            _ => panic!("{method} is not a method we use"),
        }
    }

    fn call(&self, call: &Value, at: &Value) -> Value {
        assert_eq!(at["requireCanonical"], json!(true));
        let at = state_of(at);
        let data = hex::decode(&call["data"].as_str().unwrap()[2..]).unwrap();
        if data.is_empty() {
            return json!("0x");
        }
        if data[..4] == [0x70, 0xa0, 0x82, 0x31] {
            return word(self.balance);
        }
        if data[..4] == [0x4f, 0xe0, 0x2b, 0x44] {
            assert_eq!(call["to"], hex0x(&PERMIT2.to_bytes()));
            return if at < self.permit2_since { json!("0x") } else { self.bitmap(&data, at) };
        }
        let used = self.happenings.iter().any(|of| {
            of.block <= at
                && data[16..36] == of.authorizer
                && data[36..] == of.nonce
                && call["to"] == hex0x(&of.asset)
        });
        word(u8::from(used))
    }

    fn bitmap(&self, data: &[u8], at: u64) -> Value {
        let mut word = [0u8; 32];
        for Spent { owner, nonce, block } in &self.spent {
            let here = data[16..36] == *owner && data[36] == 0 && data[37..] == nonce[..31];
            if here && *block <= at {
                *word.iter_mut().rev().nth(usize::from(nonce[31] / 8)).unwrap() |= 1 << (nonce[31] % 8);
            }
        }
        json!(hex0x(&word))
    }

    fn logs(&self, filter: &Value) -> Value {
        if !filter["blockHash"].is_null() {
            let found = self.said().filter(|log| {
                let topics = filter["topics"].as_array().unwrap();
                log["blockHash"] == filter["blockHash"]
                    && log["address"] == filter["address"]
                    && log["topics"].as_array().unwrap().starts_with(topics)
            });
            return found.collect();
        }
        let (from, to) =
            (parse(filter["fromBlock"].as_str().unwrap()), parse(filter["toBlock"].as_str().unwrap()));
        let found = self.happenings.iter().filter(|of| {
            (from..=to).contains(&of.block)
                && filter["address"] == hex0x(&of.asset)
                && filter["topics"][1] == hex0x(&padded(of.authorizer))
                && filter["topics"][2] == hex0x(&of.nonce)
        });
        found.map(|of| of.logs()[0].clone()).collect()
    }

    fn receipt(&self, hash: &str) -> Value {
        let found = self.happenings.iter().find(|of| hash == hex0x(&transaction_of(of.nonce)));
        let Some(of) = found else {
            let logs: Vec<Value> = self.said().filter(|log| log["transactionHash"] == hash).collect();
            let Some(log) = logs.first() else { return Value::Null };
            return json!({
                "transactionHash": hash,
                "blockNumber": log["blockNumber"],
                "blockHash": log["blockHash"],
                "status": "0x1",
                "logs": logs,
            });
        };
        json!({
            "transactionHash": hash,
            "blockNumber": format!("{:#x}", of.block),
            "blockHash": hex0x(&hash_of(of.block)),
            "status": "0x1",
            "logs": of.logs(),
        })
    }
}

impl Facts {
    fn said(&self) -> impl Iterator<Item = Value> {
        self.said.iter().enumerate().map(|(index, of)| {
            let Said { block, transaction, address, topics, data } = of;
            json!({
                "address": hex0x(address),
                "topics": topics.iter().map(|topic| hex0x(topic)).collect::<Vec<_>>(),
                "data": hex0x(data),
                "blockNumber": format!("{block:#x}"),
                "blockHash": hex0x(&hash_of(*block)),
                "transactionHash": hex0x(transaction),
                "logIndex": format!("{index:#x}"),
                "removed": false,
            })
        })
    }
}

impl Happening {
    fn logs(&self) -> Vec<Value> {
        let Self { nonce, block, asset, authorizer, paid } = self;
        let log = |index: u8, topics: Value, data: Value| {
            json!({
                "address": hex0x(asset),
                "topics": topics,
                "data": data,
                "blockNumber": format!("{block:#x}"),
                "blockHash": hex0x(&hash_of(*block)),
                "transactionHash": hex0x(&transaction_of(*nonce)),
                "transactionIndex": "0x0",
                "logIndex": format!("{index:#x}"),
                "removed": false,
            })
        };
        let event = if paid.is_some() { AUTHORIZATION_USED } else { AUTHORIZATION_CANCELED };
        let authorizer = hex0x(&padded(*authorizer));
        let mut logs = vec![log(0, json!([hex0x(&event), authorizer, hex0x(nonce)]), json!("0x"))];
        if let Some((payee, amount)) = paid {
            logs.push(log(1, json!([hex0x(&TRANSFER), authorizer, hex0x(&padded(*payee))]), word(*amount)));
        }
        logs
    }
}

fn block(number: u64) -> Value {
    json!({
        "number": format!("{number:#x}"),
        "hash": hex0x(&hash_of(number)),
        "timestamp": format!("{:#x}", time_of(number)),
        "transactions": [],
    })
}

fn state_of(at: &Value) -> u64 {
    let hash = hex::decode(&at["blockHash"].as_str().unwrap()[2..]).unwrap();
    u64::from_be_bytes(hash[24..].try_into().unwrap())
}

fn parse(number: &str) -> u64 {
    u64::from_str_radix(&number[2..], 16).unwrap()
}

fn word(last: u8) -> Value {
    json!(format!("0x{}{last:02x}", "00".repeat(31)))
}

pub(super) fn padded(address: [u8; 20]) -> [u8; 32] {
    let mut topic = [0; 32];
    topic[12..].copy_from_slice(&address);
    topic
}

fn hex0x(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}
