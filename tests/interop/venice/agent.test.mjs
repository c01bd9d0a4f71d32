// Venice end to end: an agent that holds no key tops up and spends its credit through the real binary.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { balance, costs, mint, peers } from "../client.mjs";
import { startSidecar } from "../sidecar.mjs";
import { CHAT, EMBEDDINGS, TOP_UP, VeniceAgent, changed } from "./agent.mjs";
import { startVenice } from "./server.mjs";

const FUNDS = 100_000_000n; // $100
const LEAST = 5_000_000n; // $5, what the 402 of a top-up asks for
const payee = privateKeyToAddress(generatePrivateKey());
const uid = process.getuid();

// The shipped example stops an agent at three open payments for one call. Beside Venice's "never pay again after a
// timeout" that is two too many.
const outstanding = edited("outstanding.cedar", {
  '@id("outstanding.three")': '@id("outstanding.one")',
  "three payments for this call are still open": "a payment for this call is still open",
  "context.outstanding >= 3": "context.outstanding >= 1",
});

// Money goes to the top-up only: the service of the calls that spend credit accepts no payee. Payments are made on the
// peers' chain; sign-ins name Base, so the wallet is on both. No asset is declared on Base: nothing can be paid there.
const registry = (address) => `
version: 1
teams: [platform]
operators:
  tester: { uids: [${uid}], teams: [platform] }
agents:
  assistant: { uids: [${uid}], workflows: [research, trial] }
workflows:
  research:
    owner: platform
    services: [venice-top-up, venice]
    ceilings: { usd: { payment: "5" } }
  trial:
    owner: platform
    services: [venice-strict, venice]
    ceilings: { sign_ins: { hour: 2 } }
wallets:
  research-hot:
    address: "${address}"
    owner: platform
    recovery: [platform]
    revokers: [platform]
    backup: none
    workflows: [research, trial]
    shared: true
    networks: ["${peers.network}", "eip155:8453"]
services:
  venice-top-up:
    origin: "${venice.url}"
    methods: [POST]
    paths: [${TOP_UP}]
    payees: ["${payee}"]
    resource_optional: true
  venice-strict:
    origin: "${venice.url}"
    methods: [POST]
    paths: [${TOP_UP}]
    payees: ["${payee}"]
  venice:
    origin: "${venice.url}"
    methods: [GET, POST]
    paths: [${CHAT}, ${EMBEDDINGS}, "/api/v1/x402/balance/*"]
assets:
  usdc:
    network: "${peers.network}"
    address: "${peers.asset}"
    symbol: USDC
    name: USDC
    version: "2"
    decimals: 6
    methods: [eip3009]
    usd: { peg: "1" }
`;

let venice;
let sidecar;
let wallet;
let agent; // of the workflow `research`
let trial;

before(async () => {
  venice = await startVenice({ ...peers, payee });
  // anvil makes a block a second; the next one is final enough here.
  const chains = { [peers.network]: { urls: [peers.rpc], interval_secs: 1, confirmations: 1 } };
  sidecar = await startSidecar({
    registry: (addresses) => registry(addresses["research-hot"]),
    policies: { "outstanding.cedar": outstanding },
    configure: (text) => `${text}\nchains: ${JSON.stringify(chains)}\n`,
  });
  wallet = sidecar.addresses["research-hot"];
  await mint(wallet, FUNDS);
  agent = new VeniceAgent(sidecar.socket, venice.url, "research");
  trial = new VeniceAgent(sidecar.socket, venice.url, "trial");
});

after(async () => {
  agent?.close();
  trial?.close();
  await venice?.close();
  await sidecar?.stop();
});

test("without credit a call is answered with what to pay, and where not to", async () => {
  const { status, body, signed } = await agent.chat("hello");
  assert.deepEqual([status, body.code, body.reason], [402, "PAYMENT_REQUIRED", "insufficient_balance"]);
  assert.equal(signed.wallet_address, wallet);
});

for (const header of ["PAYMENT-SIGNATURE", "X-402-Payment", "X-PAYMENT"]) {
  test(`a top-up in ${header} is credited, and the chain settles its hold`, async () => {
    const { signed, status, body } = await paysIn(LEAST, () => agent.topUp({ header }));
    assert.deepEqual([status, body.success, body.data.walletAddress, body.data.amountCredited], [200, true, wallet, 5]);
    assert.equal(signed.header_name, "PAYMENT-SIGNATURE");
    assert.equal(Buffer.from(signed.header_value, "base64").compare(signed.payload), 0);
    // The 402 names no resource, and neither does the answer.
    assert.deepEqual(Object.keys(JSON.parse(signed.payload)), ["x402Version", "accepted", "payload"]);
    const payment = venice.payments().at(-1);
    assert.deepEqual([payment.header, payment.status, payment.value], [header.toLowerCase(), "settled", LEAST]);
    const { settled_usd, claims, service } = await resolved(signed);
    assert.deepEqual([Number(settled_usd), service], [5, "venice-top-up"]);
    assert.deepEqual(claims, [{ outcome: "settled", detail: payment.transaction }]);
  });
}

test("a service that does not say so accepts no 402 without a resource", async () => {
  const { denied } = await trial.topUp();
  assert.equal(denied.code, "ORIGIN_ABSENT");
});

test("an agent may raise the amount of a 402, up to its ceiling", async () => {
  const { denied } = await moves(0n, () => agent.topUp({ amount: 5_000_001n }));
  assert.equal(denied.code, "CEILING_EXCEEDED");
  assert.deepEqual(denied.policies.map(({ id }) => id), ["ceilings.workflow.usd.payment"]);
  // Of the two rails, Solana is stepped over.
  const codes = denied.offers.map(({ code }) => code);
  assert.deepEqual(codes, ["CEILING_EXCEEDED", "NETWORK_UNSUPPORTED"]);
});

test("each call spends credit with a sign-in of its own", async () => {
  const known = venice.signIns().length;
  const calls = [
    [CHAT, "sign-in-with-x", () => agent.chat("hello"), "echo: hello"],
    [CHAT, "sign-in-with-x", () => agent.chat("again", { only: "SIGN-IN-WITH-X" }), "echo: again"],
    [CHAT, "x-sign-in-with-x", () => agent.chat("more", { only: "X-Sign-In-With-X" }), "echo: more"],
    [EMBEDDINGS, "sign-in-with-x", () => agent.embed("four"), [4]],
  ];
  for (const [path, , call, expected] of calls) {
    const { status, body, left, signed } = await spends(venice.prices[path], call);
    assert.equal(status, 200, JSON.stringify(body));
    assert.deepEqual(body.choices?.[0].message.content ?? body.data[0].embedding, expected);
    assert.equal(left, (Number(venice.creditOf(wallet)) / 1e6).toFixed(6));
    assert.deepEqual(signed.headers.map(({ name }) => name), ["SIGN-IN-WITH-X", "X-Sign-In-With-X"]);
    assert.equal(signed.headers[0].value, signed.headers[1].value);
  }
  const seen = venice.signIns().slice(known);
  assert.equal(seen.length, calls.length);
  seen.forEach(({ path, header, message }, index) => {
    assert.deepEqual([path, header], calls[index].slice(0, 2));
    const { address, domain, uri, statement, version, chainId, issuedAt, expirationTime, ...rest } = message;
    assert.deepEqual([address, domain, uri], [wallet, venice.host, venice.url + path]);
    assert.deepEqual([statement, version, chainId], ["Sign in to Venice AI", "1", 8453]);
    assert.ok(Math.abs(Date.now() - Date.parse(issuedAt)) < 30_000, issuedAt);
    assert.equal(Date.parse(expirationTime) - Date.parse(issuedAt), 300_000);
    assert.match(rest.nonce, /^[0-9a-f]{32}$/);
    assert.deepEqual([rest.requestId, rest.resources, rest.notBefore], [undefined, undefined, undefined]);
  });
  assert.equal(new Set(seen.map(({ message }) => message.nonce)).size, calls.length);
});

test("the challenge of a 402 is answered by the standard", async () => {
  const body = { model: "test-model", messages: [{ role: "user", content: "hello" }] };
  const { status, signed } = await spends(venice.prices[CHAT], () => agent.callChallenged("POST", CHAT, body));
  assert.equal(status, 200);
  assert.deepEqual(signed.headers.map(({ name }) => name), ["SIGN-IN-WITH-X"]);
  const { message } = venice.signIns().at(-1);
  assert.deepEqual([message.chainId, message.uri, message.address], [8453, venice.url + CHAT, wallet]);
  assert.ok(signed.message.includes(`Nonce: ${message.nonce}`));
});

test("the balance route tells the credit", async () => {
  const { status, body } = await spends(0n, () => agent.call("GET", `/api/v1/x402/balance/${wallet}`));
  assert.equal(status, 200);
  const { walletAddress, balanceUsd, canConsume } = body.data;
  assert.deepEqual([walletAddress, balanceUsd, canConsume], [wallet, Number(venice.creditOf(wallet)) / 1e6, true]);
});

test("a sign-in is good once, and asking again with its id makes no other", async () => {
  const [id, body] = [randomUUID(), { model: "test-model", input: "once" }];
  const { signed_in: first } = await agent.signIn("POST", EMBEDDINGS, id);
  const { signed_in: second } = await agent.signIn("POST", EMBEDDINGS, id);
  assert.deepEqual(second, first);
  const { status } = await spends(venice.prices[EMBEDDINGS], () => agent.send("POST", EMBEDDINGS, first.headers, body));
  assert.equal(status, 200);
  const reused = await spends(0n, () => agent.send("POST", EMBEDDINGS, second.headers, body));
  assert.deepEqual([reused.status, reused.body.code], [401, "X402_SIGN_IN_NONCE_REUSED"]);
  const { denied } = await agent.signIn("POST", CHAT, id);
  assert.equal(denied.code, "REQUEST_ID_REUSED");
});

test("a sign-in for another place than Venice's calls is refused", async () => {
  const { denied } = await agent.signIn("POST", "/api/v1/images/generations");
  assert.equal(denied.code, "ENDPOINT_OUT_OF_SCOPE");
});

test("the 402 of a call can be paid, and is not", async () => {
  const unpaid = await fetch(venice.url + CHAT, { method: "POST" });
  const required = unpaid.headers.get("PAYMENT-REQUIRED");
  const [rail] = JSON.parse(Buffer.from(required, "base64")).accepts;
  assert.deepEqual([unpaid.status, rail.payTo, rail.network], [402, payee, peers.network], "it looks payable");
  const held = await holds();
  const { denied, signed } = await moves(0n, () => agent.signPayment({ path: CHAT, required }));
  assert.deepEqual([signed, denied.code], [undefined, "PAYEE_UNACCEPTED"]);
  // An agent that says it is a top-up pays its own credit in at most, and within its ceiling: this one is for $10.
  const lie = await agent.signPayment({ path: TOP_UP, required });
  assert.equal(lie.denied.code, "CEILING_EXCEEDED");
  // The wallet is on Base for sign-ins; there is nothing on it that could be paid.
  const elsewhere = changed(required, (it) => (it.accepts[0].network = "eip155:8453"));
  assert.equal((await agent.signPayment({ path: TOP_UP, required: elsewhere })).denied.code, "ASSET_UNKNOWN");
  assert.deepEqual(await holds(), held, "nothing was signed");
});

test("after a timeout nothing is paid twice", { timeout: 90_000 }, async () => {
  const [known, id] = [venice.payments().length, randomUUID()];
  const late = venice.timeOutNextSettlement();
  const { signed, status, body } = await paysNothing(() => agent.topUp({ id }));
  assert.deepEqual([status, body.error], [504, "SETTLEMENT_TIMEOUT"]);

  // The same id: the same payment, byte for byte, and Venice knows it.
  const retried = await paysNothing(() => agent.topUp({ id }));
  const { header_name, header_value, payload, decision_id } = signed;
  assert.deepEqual(subset(retried.signed), { header_name, header_value, payload, decision_id });
  assert.deepEqual([retried.status, retried.body.error], [409, "PAYMENT_IN_PROGRESS"]);

  // What the agent says about it frees nothing, however often the chain is looked at.
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  const hold = await holdOf(signed);
  assert.deepEqual([hold.state, hold.settled_usd], ["held", ""]);
  const claims = ["504 SETTLEMENT_TIMEOUT", "409 PAYMENT_IN_PROGRESS"];
  assert.deepEqual(hold.claims, claims.map((detail) => ({ outcome: "failed", detail })));

  // Another id would be another payment: the policy does not let it be signed.
  const { denied } = await paysNothing(() => agent.topUp());
  assert.equal(denied.code, "POLICY_DENIED");
  assert.deepEqual(denied.policies.map(({ id }) => id), ["outstanding.one"]);
  assert.match(denied.message, /still open/);

  await paysIn(LEAST, () => late.land());
  assert.deepEqual((await resolved(signed)).settled_usd, hold.usd);
  const payments = venice.payments().slice(known);
  assert.deepEqual(payments.map(({ status, value }) => [status, value]), [["settled", LEAST]]);

  // Even now the same id is the same payment, and is not credited again.
  const afterwards = await paysNothing(() => agent.topUp({ id }));
  assert.deepEqual([afterwards.status, afterwards.body.error], [409, "PAYMENT_ALREADY_PROCESSED"]);
  assert.equal(afterwards.signed.header_value, header_value);
  // Nothing is open any more: a new top-up would be signed.
  const { would_sign } = await agent.signTopUp({ preview: true });
  assert.equal(Number(would_sign.usd), 5);
});

test("a ceiling on sign-ins ends the calls of one workflow, and of no other", async () => {
  for (const text of ["one", "two"]) assert.equal((await trial.embed(text)).status, 200);
  const known = venice.signIns().length;
  const { denied, signed } = await spends(0n, () => trial.embed("three"));
  assert.deepEqual([signed, denied.code], [undefined, "CEILING_EXCEEDED"]);
  assert.deepEqual(denied.policies.map(({ id }) => id), ["ceilings.workflow.sign_ins.hour"]);
  assert.equal(venice.signIns().length, known);
  const budget = (await trial.budgets()).find(({ unit, name }) => unit === "sign_ins" && name === "trial");
  assert.deepEqual([budget.window, budget.limit, budget.free], ["hour", "2", "0"]);
  assert.equal((await agent.embed("three")).status, 200);
});

test("a suspended wallet signs in nowhere until it is resumed", async () => {
  const id = randomUUID();
  assert.ok((await agent.signIn("POST", CHAT, id)).signed_in);
  await sidecar.command("wallet", "suspend", "research-hot", "--reason", "credit is draining");
  const known = venice.signIns().length;
  for (const options of [{}, { id }]) {
    const { denied, signed } = await spends(0n, () => agent.chat("hello", options));
    assert.deepEqual([signed, denied.code], [undefined, "NOT_ACTIVE"], "an earlier sign-in leaves no more either");
  }
  assert.equal((await agent.signTopUp()).denied.code, "NOT_ACTIVE");
  assert.equal(venice.signIns().length, known);
  await sidecar.command("wallet", "resume", "research-hot", "--reason", "it was a test");
  assert.equal((await spends(venice.prices[CHAT], () => agent.chat("hello"))).status, 200);
});

test("the audit trail verifies, and has each sign-in and each payment that Venice saw", async () => {
  await sidecar.command("audit", "verify");
  const permits = (await sidecar.command("audit", "tail", "-n", "1000")).filter(({ verdict }) => verdict === "permit");
  const signIns = permits.filter(({ kind }) => kind === "sign-in").map(({ sign_in }) => sign_in.message.nonce);
  const seen = venice.signIns().map(({ message }) => message.nonce);
  assert.ok(seen.every((nonce) => signIns.includes(nonce)));
  assert.equal(signIns.length, seen.length + 1, "one was signed and never sent");
  const payments = permits.filter(({ kind }) => kind === "payment");
  assert.equal(payments.length, 4, "three top-ups, and the late one");
  assert.equal(venice.payments().length, 4);
  assert.equal(FUNDS - (await balance(wallet)), 4n * LEAST);
});

function edited(name, replacements) {
  let text = readFileSync(new URL(`../../../policies/examples/${name}`, import.meta.url), "utf8");
  for (const [from, to] of Object.entries(replacements)) {
    assert.ok(text.includes(from), `policies/examples/${name} says \`${from}\` no more`);
    text = text.replace(from, to);
  }
  return text;
}

function subset({ header_name, header_value, payload, decision_id }) {
  return { header_name, header_value, payload, decision_id };
}

async function holds() {
  const [list] = await sidecar.command("hold", "list");
  return list;
}

async function holdOf({ decision_id }) {
  return (await holds()).find((hold) => hold.decision_id === decision_id);
}

// The hold of a payment, once the chain has shown that it was settled.
async function resolved(signed) {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const hold = await holdOf(signed);
    if (hold.state === "settled") return hold;
    assert.equal(hold.state, "held");
    assert.ok(Date.now() < deadline, `still held: ${sidecar.logged()}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

// Runs `action` and checks that exactly `amount` went from the wallet to Venice on the chain.
function moves(amount, action) {
  return costs(amount, { payer: wallet, payee }, action);
}

// Runs `action` and checks that exactly `price` of the wallet's credit is spent, and nothing on the chain.
async function spends(price, action) {
  const before = venice.creditOf(wallet);
  const result = await moves(0n, action);
  assert.equal(before - venice.creditOf(wallet), price, "what was spent");
  return result;
}

const paysNothing = (action) => spends(0n, action);

// Runs `action` and checks that exactly `amount` went to Venice and became credit.
async function paysIn(amount, action) {
  const credit = venice.creditOf(wallet);
  const result = await moves(amount, action);
  assert.equal(venice.creditOf(wallet) - credit, amount, "what was credited");
  return result;
}
