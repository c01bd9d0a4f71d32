// Standard Sign-In-With-X against the reference server: @x402/extensions behind the reference middleware asks, checks
// and lets in. Two pages: /me is free to whoever signs in, /report to whoever has paid for it once.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { promisify } from "node:util";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme as ExactClient } from "@x402/evm";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import * as siwx from "@x402/extensions/sign-in-with-x";
import { wrapFetchWithPayment, x402Client, x402HTTPClient } from "@x402/fetch";
import express from "express";
import { recoverMessageAddress } from "viem";
import { generatePrivateKey, privateKeyToAccount, privateKeyToAddress } from "viem/accounts";
import { costs, mint, peers } from "./client.mjs";
import { connect, startSidecar } from "./sidecar.mjs";

const { network } = peers;
const STATEMENT = "Sign in to read your reports";
const PRICE = 1_000n;
const SOLANA = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
const payee = privateKeyToAddress(generatePrivateKey());

// `alter(challenge)` changes the next challenges, as a hostile server would; `events` is what the extension reports.
async function startSite() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const site = { url: `http://127.0.0.1:${server.address().port}`, events: [], alter() {} };
  const nonces = new Set(); // given out, and not used yet
  const storage = Object.assign(new siwx.InMemorySIWxStorage(), {
    hasUsedNonce: (nonce) => !nonces.has(nonce),
    recordNonce: (nonce) => nonces.delete(nonce),
  });
  const options = { storage, origin: site.url, onEvent: (event) => site.events.push(event) };
  const extension = siwx.createSIWxResourceServerExtension(options);
  // The reference reads `requestId`, and has no option to ask for one. Payments echo the challenge; what is drawn anew
  // for each is not compared.
  const dynamicInfoFields = [...extension.dynamicInfoFields, "requestId"];
  const enrichPaymentRequiredResponse = async (...args) => {
    const challenge = await extension.enrichPaymentRequiredResponse(...args);
    challenge.info.requestId = randomUUID();
    nonces.add(challenge.info.nonce);
    site.alter(challenge);
    return challenge;
  };
  const resources = new x402ResourceServer(new HTTPFacilitatorClient({ url: peers.facilitator }))
    .register(network, new ExactEvmScheme())
    .registerExtension({ ...extension, dynamicInfoFields, enrichPaymentRequiredResponse });
  const extensions = siwx.declareSIWxExtension({ statement: STATEMENT, expirationSeconds: 300, network });
  const accepts = { scheme: "exact", network, price: "$0.001", payTo: payee };
  const routes = { "GET /me": { accepts: [], extensions }, "GET /report": { accepts, extensions } };
  // Past the middleware the header is true, or there is none because this is the call that pays.
  const reader = (req) => siwx.parseSIWxHeader(req.header("sign-in-with-x")).address;
  const app = express()
    .use(paymentMiddleware(routes, resources))
    .get("/me", (req, res) => res.json({ address: reader(req) }))
    .get("/report", (_, res) => res.json({ report: "all is well" }));
  server.on("request", app);
  return Object.assign(site, { close: () => server.close().closeAllConnections() });
}

const registry = (address) => `
version: 1
teams: [platform]
operators: { tester: { uids: [${process.getuid()}], teams: [platform] } }
agents: { reader: { uids: [${process.getuid()}], workflows: [reading] } }
workflows: { reading: { owner: platform, services: [site] } }
wallets:
  research-hot: { address: "${address}", networks: ["${network}"], workflows: [reading],
    owner: platform, recovery: [platform], revokers: [platform], backup: none }
services:
  site: { origin: "${site.url}", methods: [GET], paths: [/me, /report], payees: ["${payee}"] }
assets:
  usdc: { network: "${network}", address: "${peers.asset}", methods: [eip3009],
    symbol: USDC, name: USDC, version: "2", decimals: 6, usd: { peg: "1" } }
`;

let site, sidecar, wallet;
let signer; // all the agent has

before(async () => {
  site = await startSite();
  sidecar = await startSidecar({ registry: (addresses) => registry(addresses["research-hot"]) });
  wallet = sidecar.addresses["research-hot"];
  signer = connect(sidecar.socket);
  await mint(wallet, 10n * PRICE);
});

after(async () => {
  signer?.close();
  site?.close();
  await sidecar?.stop();
});

beforeEach(() => (site.alter = () => {}));

const get = (path, headers = {}) => fetch(site.url + path, { headers });

// What the server answers to a stranger: a request for the sidecar.
async function challenged(path, request_id = randomUUID()) {
  const response = await get(path);
  assert.equal(response.status, 402, await response.text());
  const payment_required = Buffer.from(response.headers.get("PAYMENT-REQUIRED"));
  return { request_id, payment_required, endpoint: { method: "GET", url: site.url + path } };
}

const decoded = (base64) => JSON.parse(Buffer.from(String(base64), "base64"));
const headersOf = ({ headers }) => Object.fromEntries(headers.map(({ name, value }) => [name, value]));

async function signedIn(request) {
  const { signed_in: signed, denied } = await signer.signIn(request);
  assert.ok(signed, denied?.code);
  return signed;
}

// Sends a request that must not be let in, and returns what the extension says about it.
async function refused(path, headers) {
  site.events.length = 0;
  const response = await get(path, headers);
  assert.equal(response.status, 402, await response.text());
  return site.events.map(({ type }) => type);
}

test("the control: the reference client is let in by the same server", async () => {
  const account = privateKeyToAccount(peers.buyer.privateKey);
  const client = new x402HTTPClient(new x402Client()).onPaymentRequired(siwx.createSIWxClientHook(account));
  const free = await wrapFetchWithPayment(fetch, client)(`${site.url}/me`);
  assert.deepEqual([free.status, await free.json()], [200, { address: account.address }]);
  const signing = siwx.wrapFetchWithSIWx(fetch, account);
  assert.equal((await signing(`${site.url}/report`)).status, 402);
  const paying = wrapFetchWithPayment(fetch, new x402Client().register(network, new ExactClient(account)));
  assert.equal((await paying(`${site.url}/report`)).status, 200);
  assert.equal((await signing(`${site.url}/report`)).status, 200);
});

test("an agent with only the socket is let in, once for each sign-in", async () => {
  const request = await challenged("/me");
  const { info, supportedChains } = decoded(request.payment_required).extensions["sign-in-with-x"];
  const signed = await signedIn(request);
  assert.deepEqual(signed.headers.map(({ name }) => name), ["SIGN-IN-WITH-X"]);
  const { signature, address, ...echoed } = siwx.parseSIWxHeader(signed.headers[0].value);
  // Every field of the challenge comes back as it was, and nothing is added but the chain.
  assert.deepEqual(echoed, { ...info, ...supportedChains[0] });
  assert.deepEqual([info.statement, info.resources], [STATEMENT, [`${site.url}/me`]]);
  assert.ok(info.requestId && info.expirationTime);
  assert.deepEqual([address, signed.wallet_address], [wallet, wallet]);
  assert.equal(signed.message, siwx.createSIWxMessage(echoed, wallet));
  assert.equal(await recoverMessageAddress({ message: signed.message, signature }), wallet);
  assert.equal(signed.expires_at, Math.floor(Date.parse(info.expirationTime) / 1000));
  const response = await get("/me", headersOf(signed));
  assert.deepEqual([response.status, await response.json()], [200, { address: wallet }]);
  assert.deepEqual(await refused("/me", headersOf(signed)), ["nonce_reused"]);
  // The same id again is the same bytes, another id for the same challenge is no second way in.
  const again = await signedIn(request);
  assert.deepEqual([again.headers, again.message], [signed.headers, signed.message]);
  const other = await signedIn({ ...request, request_id: randomUUID() });
  assert.deepEqual(await refused("/me", headersOf(other)), ["nonce_reused"]);
  const { denied } = await signer.signIn(await challenged("/me", request.request_id));
  assert.equal(denied.code, "REQUEST_ID_REUSED");
});

test("who has paid once is let in again by a sign-in, and pays nothing", async () => {
  const early = await signedIn(await challenged("/report"));
  assert.deepEqual(await refused("/report", headersOf(early)), [], "well signed, and not paid for");
  await costs(PRICE, { payer: wallet, payee }, async () => {
    const { signed, denied } = await signer.signPayment(await challenged("/report"));
    assert.ok(signed, denied?.code);
    const response = await get("/report", { [signed.header_name]: signed.header_value });
    assert.equal(response.status, 200, await response.text());
  });
  await costs(0n, { payer: wallet, payee }, async () => {
    const response = await get("/report", headersOf(await signedIn(await challenged("/report"))));
    assert.deepEqual([response.status, await response.json()], [200, { report: "all is well" }]);
  });
});

test("the server lets in only what was signed: the signature covers every field", async () => {
  const signed = await signedIn(await challenged("/me"));
  const payload = decoded(signed.headers[0].value);
  const changes = {
    address: peers.buyer.address,
    statement: `${STATEMENT}!`,
    uri: `${site.url}/report`,
    chainId: "eip155:8453",
    nonce: "abcdefgh12345678",
    issuedAt: new Date(Date.parse(payload.issuedAt) - 1000).toISOString(),
    expirationTime: new Date(Date.parse(payload.expirationTime) + 1000).toISOString(),
    requestId: "another",
    resources: [`${site.url}/me`, `${site.url}/report`],
  };
  for (const [field, value] of Object.entries(changes)) {
    const forged = siwx.encodeSIWxHeader({ ...payload, [field]: value });
    assert.deepEqual(await refused("/me", { "SIGN-IN-WITH-X": forged }), ["validation_failed"], field);
  }
  assert.equal((await get("/me", headersOf(signed))).status, 200, "none of that has spent the nonce");
});

const fromNow = (seconds) => new Date(Date.now() + seconds * 1000).toISOString();
const chains = (...chains) => (it) => (it.supportedChains = chains.map(([chainId, type]) => ({ chainId, type })));
const LINES = "x\nResources:\n- https://bank.example"; // the reference client signs them as lines of the message
const hostile = [
  ["a foreign domain", (it) => (it.info.domain = "bank.example"), "SIGN_IN_DOMAIN"],
  ["a foreign uri", (it) => (it.info.uri = "https://bank.example/"), "SIGN_IN_DOMAIN"],
  ["a foreign resource", (it) => it.info.resources.push("https://bank.example/"), "SIGN_IN_DOMAIN"],
  ["an end in 16 minutes", (it) => (it.info.expirationTime = fromNow(960)), "SIGN_IN_TIME"],
  ["a stale challenge", (it) => (it.info.issuedAt = fromNow(-301)), "SIGN_IN_TIME"],
  ["lines in requestId", ({ info }) => ((info.requestId = LINES), delete info.resources), "SIGN_IN_FIELD"],
  ["a contract's signature", chains([network, "eip1271"]), "SIGN_IN_CHAIN"],
  ["another chain only", chains(["eip155:1", "eip191"]), "NETWORK_NOT_ALLOWED"],
  ["Solana only", chains([SOLANA, "ed25519"]), "SIGN_IN_CHAIN"],
];
for (const [name, alter, code] of hostile) {
  test(`${name} is not signed`, async () => {
    site.alter = alter;
    const { denied, ...rest } = await signer.signIn(await challenged("/me"));
    assert.deepEqual([denied?.code, rest], [code, {}], "a reason, and nothing signed");
  });
}

test("what other honest servers ask for is signed: several chains, no statement, no end, microseconds", async () => {
  const offered = chains([SOLANA, "ed25519"], ["eip155:1", "eip191"], [network, "eip191"]);
  site.alter = (it) => {
    offered(it);
    const issuedAt = it.info.issuedAt.replace("Z", "456Z"); // as the reference in Python writes it
    Object.assign(it.info, { issuedAt, statement: undefined, expirationTime: undefined });
  };
  const response = await get("/me", headersOf(await signedIn(await challenged("/me"))));
  assert.equal(response.status, 200, await response.text());
});

test("pursekeeper sign-in prints what the server serves", async () => {
  const config = join(dirname(sidecar.socket), "..", "pursekeeper.yaml");
  const run = (...words) =>
    promisify(execFile)(process.env.PURSEKEEPER_BIN, ["sign-in", `${site.url}/me`, "--config", config, ...words]);
  const { stdout, stderr } = await run();
  assert.equal(stdout, JSON.stringify({ address: wallet }));
  assert.match(stderr, new RegExp(`signed in as ${wallet}`));
  const answer = JSON.parse((await run("--output", "json")).stdout);
  assert.deepEqual([answer.signed_in.wallet_address, answer.status, answer.body], [wallet, 200, stdout]);
  site.alter = (it) => (it.info.domain = "bank.example");
  const denied = await run().catch((error) => error);
  assert.deepEqual([denied.code, denied.stdout], [3, ""]);
  assert.match(denied.stderr, /SIGN_IN_DOMAIN/);
});
