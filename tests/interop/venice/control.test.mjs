// The control: Venice's own client, unmodified and holding a plain private key, buys from the local Venice. When this
// fails, the server is wrong, and nothing that other tests say about Pursekeeper and Venice counts.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createSIWxPayload, encodeSIWxHeader } from "@x402/extensions/sign-in-with-x";
import { ExactEvmScheme } from "@x402/evm";
import { wrapFetchWithPaymentFromConfig, x402Client } from "@x402/fetch";
import { VeniceClient, VeniceSigner } from "venice-x402-client";
import { generatePrivateKey, privateKeyToAccount, privateKeyToAddress } from "viem/accounts";
import { createSiweMessage } from "viem/siwe";
import { createPaymentHeader } from "x402/client";
import { mint, peers } from "../client.mjs";
import { startVenice } from "./server.mjs";
import { deployUsdCoin, token } from "./token.mjs";

const TOP_UP = "/api/v1/x402/top-up";
const CHAT = "/api/v1/chat/completions";
const key = peers.buyer.privateKey;
const account = privateKeyToAccount(key);
const payer = account.address;
const payee = privateKeyToAddress(generatePrivateKey());
const config = {
  schemes: [{ network: peers.network, client: new ExactEvmScheme(account) }],
  spendControls: { maxAmountPerPayment: "$10", allowedAssets: true }, // by default $1, and known tokens only
};
const question = { model: "test-model", messages: [{ role: "user", content: "hello" }] };

let coin;
let venice; // takes `coin`
let client;

before(async () => {
  coin = await deployUsdCoin(peers.rpc);
  await coin.mint(payer, 20_000_000_000n);
  venice = await startVenice({ ...peers, payee, asset: coin.address });
  client = new VeniceClient(key, { apiUrl: venice.url });
});
after(() => venice.close());

test("a wallet without credit is told how to top up", async () => {
  const { balanceUsd, canConsume } = await client.getBalance();
  assert.deepEqual([balanceUsd, canConsume], [0, false]);
  await assert.rejects(client.chat(question), ({ code, details }) => {
    assert.deepEqual([code, details], ["INSUFFICIENT_BALANCE", { currentBalance: 0, suggestedAmount: 10 }]);
    return true;
  });
  const response = await ask({ header: await signer().signIn(venice.url + CHAT) });
  assert.equal(response.status, 402);
  const body = await response.json();
  assert.equal(body.code, "PAYMENT_REQUIRED");
  assert.equal(body.topUpInstructions.receiverWallet, payee);
  const required = decode(response.headers.get("PAYMENT-REQUIRED"));
  assert.deepEqual([required.x402Version, required.accepts[0].amount], [2, "10000000"]);
  assert.equal(required.resource.url, venice.url + CHAT);
  assert.deepEqual(required.extensions["sign-in-with-x"], body.siwxChallenge);
});

test("the 402 of a top-up says the same in its header and its body, and nothing of a resource", async () => {
  const response = await fetch(venice.url + TOP_UP, { method: "POST" });
  assert.equal(response.status, 402);
  const required = await response.json();
  assert.deepEqual(decode(response.headers.get("PAYMENT-REQUIRED")), required);
  assert.deepEqual(Object.keys(required), ["x402Version", "accepts"]);
  const entry = { scheme: "exact", network: peers.network, amount: "5000000", asset: coin.address, payTo: payee };
  const extra = { name: "USD Coin", version: "2" };
  assert.deepEqual(required.accepts[0], { ...entry, maxTimeoutSeconds: 300, extra });
  assert.match(required.accepts[1].network, /^solana:/);
  assert.equal(required.x402Version, 2);
});

test("the client tops up and spends its credit with a fresh sign-in for each request", async () => {
  await paysIn(10_000_000n, () => client.topUp(10));
  assert.equal(client.balance, 10);
  assert.equal((await client.getBalance()).balanceUsd, 10);

  const before = venice.signIns().length;
  const { choices } = await moves(0n, () => client.chat(question));
  assert.equal(choices[0].message.content, "echo: hello");
  assert.equal(client.balance, 9.9877); // from X-Balance-Remaining
  const { data } = await moves(0n, () => client.embeddings({ model: "test-model", input: "four" }));
  assert.deepEqual(data[0].embedding, [4]);
  assert.equal(client.balance, 9.9832);
  assert.equal((await client.getBalance()).balanceUsd, 9.9832);

  const [chat, embeddings, ...rest] = venice.signIns().slice(before);
  assert.equal(rest.length, 1);
  for (const [{ header, message }, path] of [[chat, CHAT], [embeddings, "/api/v1/embeddings"]]) {
    const { domain, uri, statement, chainId, nonce } = message;
    assert.deepEqual([domain, uri, header], [venice.host, venice.url + path, "x-sign-in-with-x"]);
    assert.deepEqual([statement, chainId], ["Sign in to Venice AI", 8453]);
    assert.match(nonce, /^[0-9a-f]{16}$/);
  }
  assert.notEqual(chat.message.nonce, embeddings.message.nonce);
});

test("the ledger lists what happened, newest first", async () => {
  const { transactions, currentBalance, pagination } = await client.getTransactions({ limit: 2 });
  const rows = transactions.map(({ type, amount, balanceAfter }) => [type, amount, balanceAfter]);
  assert.deepEqual(rows, [["CHARGE", -0.0045, 9.9832], ["CHARGE", -0.0123, 9.9877]]);
  assert.equal(currentBalance, 9.9832);
  assert.deepEqual(pagination, { limit: 2, offset: 0, hasMore: true });
  const [{ type, amount }, ...rest] = (await client.getTransactions({ limit: 2, offset: 2 })).transactions;
  assert.deepEqual([type, amount, rest], ["TOP_UP", 10, []]);
});

for (const name of ["SIGN-IN-WITH-X", "X-Sign-In-With-X"]) {
  test(`a sign-in in ${name} is accepted once`, async () => {
    const header = await signedText();
    await costs(venice.prices[CHAT], async () => assert.equal((await ask({ name, header })).status, 200));
    await isRefused("NONCE_REUSED", header, { name });
  });
}

test("the nonce is spent by the first good signature, even when the wallet has no credit", async () => {
  const poor = stranger();
  const header = await signedText({ by: poor });
  assert.equal((await ask({ header })).status, 402);
  venice.give(poor.address, 1_000_000n);
  await isRefused("NONCE_REUSED", header);
});

const at = (seconds) => new Date(Date.now() + seconds * 1000);
const refusedSignIns = {
  "one from 301 seconds ago": ["EXPIRED", () => ({ issuedAt: at(-301) })],
  "one from the future": ["FUTURE_TIMESTAMP", () => ({ issuedAt: at(35) })],
  "one past its own end": ["EXPIRED", () => ({ issuedAt: at(-60), expirationTime: at(-1) })],
  "one before its own beginning": ["NOT_BEFORE", () => ({ notBefore: at(60) })],
  "one for another domain": ["DOMAIN_MISMATCH", () => ({ domain: "api.venice.ai" })],
  "one for another port": ["DOMAIN_MISMATCH", () => ({ domain: "127.0.0.1:1" })],
  "one for another chain": ["UNSUPPORTED_CHAIN", () => ({ chainId: 1 })],
  "one with a short nonce": ["INVALID_MESSAGE", () => ({ edit: withNonce("1234567") })],
  "one with a line too many": ["INVALID_MESSAGE", () => ({ edit: (text) => `${text}\nResources:\nhello` })],
  "one with another statement": ["INVALID_SIGNATURE", () => ({ forge: changed((text) => text.replace(" AI", "")) })],
  "one whose nonce was changed": ["INVALID_SIGNATURE", () => ({ forge: changed(withNonce("12345678")) })],
  "another wallet's": ["ADDRESS_MISMATCH", () => ({ forge: (it) => ({ ...it, address: payee }) })],
  "one that another wallet signed": ["INVALID_SIGNATURE", () => ({ signer: stranger() })],
  "one whose header names another chain": ["CHAIN_MISMATCH", () => ({ forge: (it) => ({ ...it, chainId: 1 }) })],
  "one whose chain has another form": ["INVALID_CHAIN_ID", () => ({ forge: (it) => ({ ...it, chainId: "base" }) })],
  "one with another timestamp": [
    "TIMESTAMP_MISMATCH",
    () => ({ forge: (it) => ({ ...it, timestamp: Date.now() + 40_000 }) }),
  ],
  "one without a signature": ["INVALID_PAYLOAD", () => ({ forge: ({ signature: _, ...it }) => it })],
};
for (const [name, [code, options]] of Object.entries(refusedSignIns)) {
  test(`a sign-in is refused: ${name}`, async () => isRefused(code, await signedText(options())));
}

test("a sign-in is refused: no JSON in base64", async () => {
  await isRefused("PARSE_ERROR", "hello");
  await isRefused("PARSE_ERROR", (await signedText()).replaceAll("=", "") + "!");
});

test("all three forms of the chain are accepted, and a message just inside the times", async () => {
  for (const chainId of [8453, "8453", "eip155:8453", undefined]) {
    const header = await signedText({ forge: (it) => ({ ...it, chainId }) });
    assert.equal((await ask({ header })).status, 200, String(chainId));
  }
  for (const issuedAt of [at(-290), at(25)]) {
    assert.equal((await ask({ header: await signedText({ issuedAt }) })).status, 200, issuedAt.toISOString());
  }
});

test("a sign-in under both names, with the older fields, counts once", async () => {
  const issuedAt = at(0);
  const forge = (it) => ({ ...it, timestamp: issuedAt.getTime(), type: "eip191" });
  const value = await signedText({ issuedAt, expirationTime: at(300), forge });
  const headers = { "SIGN-IN-WITH-X": value, "X-Sign-In-With-X": value, "content-type": "application/json" };
  await costs(venice.prices[CHAT], async () => {
    const response = await fetch(venice.url + CHAT, { method: "POST", headers, body: JSON.stringify(question) });
    assert.equal(response.status, 200);
  });
});

test("without a sign-in the 402 carries a challenge that the reference SDK answers", async () => {
  const refused = await ask({});
  assert.equal(refused.status, 402);
  const { authOptions, ...body } = await refused.json();
  assert.equal(authOptions.x402Wallet.header, "SIGN-IN-WITH-X");
  assert.deepEqual(decode(refused.headers.get("PAYMENT-REQUIRED")), body);
  const { info, supportedChains } = body.extensions["sign-in-with-x"];
  const payload = await createSIWxPayload({ ...info, ...supportedChains[0] }, account, venice.url + CHAT);
  assert.equal(payload.message, undefined, "the answer carries fields, not the message");
  const header = encodeSIWxHeader(payload);
  await costs(venice.prices[CHAT], async () => assert.equal((await ask({ header })).status, 200));
  await isRefused("NONCE_REUSED", header);
});

test("only the owner of a wallet sees its credit", async () => {
  const path = `/api/v1/x402/balance/${payer}`;
  const get = (headers) => fetch(venice.url + path, { headers });
  const without = await get({});
  assert.deepEqual([without.status, (await without.json()).accepts], [402, []]);
  const bad = await get({ "SIGN-IN-WITH-X": await signedText({ issuedAt: at(-301) }) });
  assert.deepEqual([bad.status, await bad.json()], [401, { error: "Invalid Sign-in-with-x signature" }]);
  assert.equal((await get({ "SIGN-IN-WITH-X": await signedText({ by: stranger() }) })).status, 403);
  assert.equal((await get({ "SIGN-IN-WITH-X": await signedText() })).status, 200);
});

test("a payment has no business on an inference route", async () => {
  const headers = { "PAYMENT-SIGNATURE": await payment(), "content-type": "application/json" };
  const response = await fetch(venice.url + CHAT, { method: "POST", headers, body: JSON.stringify(question) });
  assert.deepEqual([response.status, (await response.json()).code], [400, "PAYMENT_HEADER_NOT_ACCEPTED"]);
});

test("below ten cents nothing is served, and the last request takes what is left", async () => {
  const dear = await startVenice({ ...peers, payee, asset: coin.address, prices: { [CHAT]: 150_000n } });
  try {
    const other = new VeniceClient(key, { apiUrl: dear.url });
    dear.give(payer, 99_999n);
    await assert.rejects(other.chat(question), { code: "INSUFFICIENT_BALANCE" });
    dear.give(payer, 1n);
    await other.chat(question);
    assert.equal(dear.creditOf(payer), 0n);
    assert.equal(other.balance, 0);
    assert.equal((await other.getTransactions()).transactions[0].amount, -0.1);
  } finally {
    await dear.close();
  }
});

for (const name of ["PAYMENT-SIGNATURE", "X-402-Payment", "X-PAYMENT"]) {
  test(`a payment in ${name} is credited once`, async () => {
    const header = await payment();
    const response = await paysIn(5_000_000n, () => pay(header, name));
    assert.equal(response.status, 200);
    const { data } = await response.json();
    assert.deepEqual([data.walletAddress, data.amountCredited], [payer, 5]);
    assert.equal(data.newBalance, Number(venice.creditOf(payer)) / 1e6);
    const settlement = decode(response.headers.get("PAYMENT-RESPONSE"));
    assert.deepEqual([settlement.success, settlement.network], [true, peers.network]);
    assert.equal(settlement.payer.toLowerCase(), payer.toLowerCase());
    assert.equal(venice.payments().at(-1).header, name.toLowerCase());
    await isUnpaid(409, "PAYMENT_ALREADY_PROCESSED", header);
  });
}

const refusedPayments = {
  "less than $5": ["AMOUNT_TOO_LOW", { maxAmountRequired: "4999999" }],
  "more than $10,000": ["AMOUNT_TOO_HIGH", { maxAmountRequired: "10000000001" }],
  "no whole amount": ["INVALID_AMOUNT", {}, (it) => void (it.payload.authorization.value = "5e6")],
  "another payee": ["INVALID_PAYMENT_RECIPIENT", { payTo: payer }],
  "another network": ["UNSUPPORTED_NETWORK", { network: "base" }],
  "another token": ["PAYMENT_VERIFICATION_FAILED", { asset: peers.asset }],
  "another name of the token": ["PAYMENT_VERIFICATION_FAILED", { extra: { name: "USDC", version: "2" } }],
  "a changed amount": ["PAYMENT_VERIFICATION_FAILED", {}, (it) => void (it.payload.authorization.value = "6000000")],
  "a changed nonce": [
    "PAYMENT_VERIFICATION_FAILED",
    {},
    (it) => void (it.payload.authorization.nonce = `0x${"11".repeat(32)}`),
  ],
  "another scheme": ["UNSUPPORTED_SCHEME", {}, (it) => void (it.scheme = "upto")],
  "no payer": ["INVALID_PAYMENT_PAYER", {}, (it) => void (it.payload.authorization.from = "0x12")],
  "no authorization": ["INVALID_PAYMENT", {}, (it) => void delete it.payload.authorization],
  "no version": ["INVALID_PAYMENT_FORMAT", {}, (it) => void delete it.x402Version],
};
for (const [name, [code, terms, change]] of Object.entries(refusedPayments)) {
  test(`a payment is refused: ${name}`, async () => isUnpaid(400, code, await payment(terms, change)));
}

test("a payment is refused: no JSON in base64", () => isUnpaid(400, "INVALID_PAYMENT_FORMAT", "hello"));

test("$10,000 is accepted", () => paysIn(10_000_000_000n, () => client.topUp(10_000)));

test("a payment that arrives twice at once is settled once", async () => {
  const header = await payment();
  const responses = await paysIn(5_000_000n, () => Promise.all([pay(header), pay(header)]));
  assert.deepEqual(responses.map(({ status }) => status).sort(), [200, 409]);
});

// The 402 names the least; a client of version 2 pays more by raising the entry's amount before it signs.
test("a payment of version 2 pays what its entry says", async () => {
  const response = await fetch(venice.url + TOP_UP, { method: "POST" });
  const required = decode(response.headers.get("PAYMENT-REQUIRED"));
  required.accepts[0].amount = "7500000";
  const signed = await x402Client.fromConfig(config).createPaymentPayload(required);
  const forged = {
    INVALID_AMOUNT: { amount: "5000000" },
    UNSUPPORTED_TOKEN: { asset: peers.asset },
    INVALID_PAYMENT_RECIPIENT: { payTo: payer },
    UNSUPPORTED_SCHEME: { scheme: "upto" },
    UNSUPPORTED_NETWORK: { network: "eip155:8453" },
  };
  for (const [code, field] of Object.entries(forged))
    await isUnpaid(400, code, encode({ ...signed, accepted: { ...signed.accepted, ...field } }));
  assert.equal((await paysIn(7_500_000n, () => pay(encode(signed)))).status, 200);
});

test("a settlement that times out lands later, and is credited once", async () => {
  const known = venice.payments().length;
  const late = venice.timeOutNextSettlement();
  await assert.rejects(late.land(), /no settlement has timed out/);
  const header = await payment();
  await isUnpaid(504, "SETTLEMENT_TIMEOUT", header);
  await isUnpaid(409, "PAYMENT_IN_PROGRESS", header);
  await paysIn(5_000_000n, () => late.land());
  assert.equal((await client.getBalance()).balanceUsd, Number(venice.creditOf(payer)) / 1e6);
  await isUnpaid(409, "PAYMENT_ALREADY_PROCESSED", header);
  const rest = venice.payments().slice(known).map(({ status, value }) => [status, value]);
  assert.deepEqual(rest, [["settled", 5_000_000n]]);
});

test("the client sees a timeout as a failed top-up; what it pays after it is a second payment", async () => {
  const known = venice.payments().length;
  const late = venice.timeOutNextSettlement();
  await moves(0n, () => assert.rejects(client.topUp(5), { code: "TOP_UP_FAILED", message: "SETTLEMENT_TIMEOUT" }));
  await paysIn(5_000_000n, () => client.topUp(5));
  assert.deepEqual(venice.payments().slice(known).map(({ status }) => status), ["settling", "settled"]);
  await paysIn(5_000_000n, () => late.land());
});

test("the reference client of version 2 tops up, in the peers' own token", async () => {
  const usdc = token(peers.rpc, peers.asset);
  const other = await startVenice({ ...peers, payee, balanceHeader: false, domains: ["api.venice.ai"] });
  try {
    await mint(payer, 5_000_000n);
    const payingFetch = wrapFetchWithPaymentFromConfig(fetch, config);
    const before = [await usdc.balanceOf(payer), await usdc.balanceOf(payee)];
    const response = await payingFetch(other.url + TOP_UP, { method: "POST" });
    assert.equal(response.status, 200, await response.clone().text());
    const after = [await usdc.balanceOf(payer), await usdc.balanceOf(payee)];
    assert.deepEqual([before[0] - after[0], after[1] - before[1]], [5_000_000n, 5_000_000n]);
    assert.equal(other.creditOf(payer), 5_000_000n);
    assert.equal(other.payments()[0].header, "payment-signature");

    // The real domain, and no X-Balance-Remaining: the balance route still tells.
    const header = await signedText({ domain: "api.venice.ai", uri: "https://api.venice.ai" });
    const answer = await ask({ header, url: other.url + CHAT });
    assert.deepEqual([answer.status, answer.headers.get("X-Balance-Remaining")], [200, null]);
    assert.equal(other.creditOf(payer), 5_000_000n - other.prices[CHAT]);
    await assert.rejects(new VeniceClient(key, { apiUrl: other.url }).getBalance(), { code: "API_ERROR" });
  } finally {
    await other.close();
  }
});

function stranger() {
  return privateKeyToAccount(generatePrivateKey());
}

function withNonce(nonce) {
  return (text) => text.replace(/Nonce: .*/, `Nonce: ${nonce}`);
}

function signer() {
  return new VeniceSigner(key, venice.url);
}

// The header of a sign-in: `edit` changes the text before it is signed, `forge` the payload after that.
async function signedText({ by = account, signer = by, edit = (text) => text, forge = (it) => it, ...fields } = {}) {
  const nonce = crypto.randomUUID().replaceAll("-", "");
  const { host: domain, url } = venice;
  const common = { address: by.address, statement: "Sign in to Venice AI", version: "1", chainId: 8453, nonce };
  const written = createSiweMessage({ ...common, domain, uri: url + CHAT, issuedAt: new Date(), ...fields });
  const message = edit(written);
  const signature = await signer.signMessage({ message });
  return encode(forge({ address: by.address, message, signature, chainId: fields.chainId ?? 8453 }));
}

function changed(change) {
  return ({ message, ...rest }) => {
    assert.notEqual(change(message), message);
    return { ...rest, message: change(message) };
  };
}

function ask({ url = venice.url + CHAT, name = "SIGN-IN-WITH-X", header }) {
  const headers = { "content-type": "application/json", ...(header && { [name]: header }) };
  return fetch(url, { method: "POST", headers, body: JSON.stringify(question) });
}

async function isRefused(code, header, { name } = {}) {
  const accepted = venice.signIns().length;
  await costs(0n, async () => {
    const response = await ask({ name, header });
    assert.deepEqual([response.status, (await response.json()).code], [401, `X402_SIGN_IN_${code}`]);
  });
  assert.equal(venice.signIns().length, accepted);
}

// Runs `request` and checks that it took exactly `price` of the payer's credit.
async function costs(price, request) {
  const before = venice.creditOf(payer);
  await request();
  assert.equal(before - venice.creditOf(payer), price);
}

// A payment as Venice's client makes it, for $5 unless `terms` say otherwise; `change` alters it after signing.
async function payment(terms = {}, change = () => {}) {
  const requirements = {
    scheme: "exact",
    network: "base-sepolia",
    maxAmountRequired: "5000000",
    resource: venice.url + TOP_UP,
    description: "",
    mimeType: "application/json",
    payTo: payee,
    maxTimeoutSeconds: 300,
    asset: coin.address,
    extra: { name: "USD Coin", version: "2" },
    ...terms,
  };
  const signed = decode(await createPaymentHeader(account, 2, requirements));
  const before = JSON.stringify(signed);
  change(signed);
  assert.ok(change.length === 0 || JSON.stringify(signed) !== before, "the change changes something");
  return encode(signed);
}

function pay(header, name = "PAYMENT-SIGNATURE") {
  return fetch(venice.url + TOP_UP, { method: "POST", headers: { [name]: header } });
}

async function isUnpaid(status, code, header) {
  const credit = venice.creditOf(payer);
  const response = await moves(0n, () => pay(header));
  assert.deepEqual([response.status, (await response.json()).error], [status, code]);
  assert.equal(venice.creditOf(payer), credit);
}

// Runs `action` and checks that exactly `amount` went from the payer to the payee, and became credit.
async function paysIn(amount, action) {
  const credit = venice.creditOf(payer);
  const result = await moves(amount, action);
  assert.equal(venice.creditOf(payer) - credit, amount);
  return result;
}

// Runs `action` and checks that exactly `amount` went from the payer to the payee on the chain.
async function moves(amount, action) {
  const before = [await coin.balanceOf(payer), await coin.balanceOf(payee)];
  const result = await action();
  const after = [await coin.balanceOf(payer), await coin.balanceOf(payee)];
  assert.deepEqual([before[0] - after[0], after[1] - before[1]], [amount, amount], "what was paid and received");
  return result;
}

function encode(value) {
  return Buffer.from(JSON.stringify(value)).toString("base64");
}

function decode(header) {
  return JSON.parse(Buffer.from(header, "base64"));
}
