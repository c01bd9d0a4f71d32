// The adapters end to end: apps on current x402 stacks buy every route through the real binary.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import * as grpc from "@grpc/grpc-js";
import { allowance, approve, costs, mint, peers, permit2Routes, permitNonce, premium, routes } from "../client.mjs";

const binary = process.env.PURSEKEEPER_BIN;
if (!binary) throw new Error("PURSEKEEPER_BIN is not set: start the tests with ./run");
const rustApp = process.env.RUST_ADAPTER;
if (!rustApp) throw new Error("RUST_ADAPTER is not set: build adapters/rust and name its binary `pursekeeper-x402`");

// The test's own user is both the agent and the operator. Each seller is one service, with its own payee; /premium is in
// none, though its payee is that of another route.
const sellers = ["v2", "v1", "permit2", "upto", "sponsored"];
const registry = (wallet) => `
version: 1
teams: [platform]
operators:
  tester: { uids: [${process.getuid()}], teams: [platform] }
agents:
  buyer: { uids: [${process.getuid()}], workflows: [interop] }
workflows:
  interop:
    owner: platform
    services: [${sellers}]
    ceilings: { usd: { payment: "0.05", day: "5" } }
wallets:
  ${wallet.name}:
    address: "${wallet.address}"
    owner: platform
    recovery: [platform]
    revokers: [platform]
    workflows: [interop]
    networks: ["${peers.network}"]
services:${sellers
  .map(
    (name) => `
  ${name}:
    origin: "${peers[name].url}"
    methods: [GET, POST]
    paths: [/weather, /infer, /v1/weather]
    payees: ["${peers[name].payee}"]
    facilitators: ["${peers.facilitatorAddress}"]
    resource_optional: true
    unknown_endpoints: true`,
  )
  .join("")}
assets:
  usdc:
    network: "${peers.network}"
    address: "${peers.asset}"
    symbol: USDC
    name: USDC
    version: "2"
    decimals: 6
    methods: [eip3009, permit2]
    eip2612: true
    usd: { peg: "1" }
`;

const here = import.meta.dirname;
const python = join(here, "..", ".venv", "bin", "python");
const home = mkdtempSync(join(tmpdir(), "pursekeeper-adapters-"));
const socket = join(home, "run", "agent.sock");
const log = join(home, "serve.log");
const config = ["--config", join(home, "pursekeeper.yaml")];
const FUNDS = 5_000_000n; // $5

let serve;
let wallet;

before(async () => {
  await succeeds("init", home);
  const file = join(home, "pursekeeper.yaml");
  // The SDKs sign for as long as the seller says, and these sellers say 300 seconds: a signer has to take that or nothing.
  const text = replaced(readFileSync(file, "utf8"), {
    "skew_secs: 60": "skew_secs: 5",
    "permit2_validity_secs_max: 60": "permit2_validity_secs_max: 300",
  });
  // anvil makes a block a second; four of them are final enough here.
  const chains = { [peers.network]: { urls: [peers.rpc], interval_secs: 1, confirmations: 4 } };
  writeFileSync(file, `${text}\nchains: ${JSON.stringify(chains)}\n`);
  [wallet] = JSON.parse(await succeeds("wallet", "list", ...config, "--output", "json"));
  writeFileSync(join(home, "policies", "registry.yaml"), registry(wallet));
  const out = openSync(log, "a");
  serve = spawn(binary, ["serve", ...config], { stdio: ["ignore", out, out] });
  await answers();
  await mint(wallet.address, FUNDS);
});

after(() => serve?.kill("SIGKILL"));

const typescript = (adapter, call) =>
  run(process.execPath, ["--import", "tsx", "typescript/app.ts", adapter, socket, peers.rpc, ...call]);
const pythonApp = (adapter, call) => run(python, ["python/app.py", adapter, socket, peers.rpc, ...call]);

// `typed`: it has typed data signed, which does not carry what the seller said. `alone`: and not for which call either.
const adapters = [
  { name: "TypeScript fetch", buy: (call) => typescript("fetch", call) },
  { name: "TypeScript @x402 with our scheme", buy: (call) => typescript("scheme", call) },
  { name: "TypeScript @x402 with our signer", buy: (call) => typescript("signer", call), typed: true },
  {
    name: "TypeScript @x402 with our signer alone",
    buy: (call) => typescript("signer-alone", call),
    typed: true,
    alone: true,
  },
  { name: "Python requests", buy: (call) => pythonApp("requests", call) },
  { name: "Python httpx", buy: (call) => pythonApp("httpx", call) },
  { name: "Python x402 with requests", buy: (call) => pythonApp("x402-requests", call) },
  { name: "Python x402 with httpx", buy: (call) => pythonApp("x402-httpx", call) },
  { name: "Rust x402-reqwest", buy: (call) => run(rustApp, [socket, peers.rpc, ...call]) },
];
const callOf = ({ method, url, body }) => [method, url, ...(body ? [body] : [])];
const purchases = []; // in the order in which they were made

for (const { name: adapter, buy, typed, alone } of adapters) {
  for (const route of [...routes, ...permit2Routes]) {
    const { name, price, maximum = price, payee, reply, sponsored } = route;
    const byPermit2 = permit2Routes.includes(route);

    test(`${adapter}: buys ${name}`, async () => {
      const payer = wallet.address;
      await approve(payer, byPermit2 && !sponsored ? maximum : 0n);
      const permits = await permitNonce(payer);
      await costs(price, { payer, payee }, async () => {
        const { code, output, errors } = await buy(callOf(route));
        assert.equal(code, 0, errors || output);
        const { status, body, paymentResponse } = JSON.parse(output);
        assert.equal(status, 200, body);
        assert.deepEqual(JSON.parse(body), reply);
        assert.equal(paymentResponse.success, true);
      });
      // What Permit2 was allowed is used up, but for what `upto` leaves.
      assert.equal(await allowance(payer), byPermit2 ? maximum - price : 0n);
      assert.equal(await permitNonce(payer), sponsored ? permits + 1n : permits);
      purchases.push({ ...route, maximum, typed, alone });
    });
  }

  // /premium has the payee of another route. Typed data names no URL: with that alone, whatever the payee sells is bought.
  if (alone) {
    test(`${adapter}: buys what is out of scope, too`, async () => {
      await costs(premium.price, { payer: wallet.address, ...premium }, async () => {
        const { code, output, errors } = await buy(callOf(premium));
        assert.equal(code, 0, errors || output);
      });
      purchases.push({ ...premium, maximum: premium.price, typed, alone });
    });
    continue;
  }

  test(`${adapter}: is denied what is out of scope, and nothing is spent`, () =>
    costs(0n, { payer: wallet.address, ...premium }, async () => {
      const { code, output, errors } = await buy(callOf(premium));
      assert.equal(code, 3, errors || output);
      const denial = JSON.parse(output);
      assert.equal(denial.code, "ENDPOINT_OUT_OF_SCOPE");
      assert.ok(denial.message && denial.decisionId);
    }));
}

test("the operator sees what was bought, what the seller said and what it cost", { timeout: 90_000 }, async () => {
  const lines = (await succeeds("audit", "tail", "-n", "1000", ...config, "--output", "json")).trim().split("\n");
  const records = lines.map((line) => JSON.parse(line));
  const permits = records.filter(({ kind, verdict }) => kind === "payment" && verdict === "permit");
  assert.deepEqual(
    permits.map(({ intent }) => [intent.terms.amount, intent.endpoint, intent.origin]),
    purchases.map(({ maximum, method, url, typed, alone }) => [
      String(maximum),
      alone ? { method: "", url: "" } : { method, url },
      typed ? "absent" : "match",
    ]),
  );
  // The chain says what became of each: what the seller took, which may be less than was signed.
  await until(async () => (await holds()).every(({ state }) => state === "settled"), "every purchase is final");
  for (const [i, { usd, settled_usd, ...hold }] of (await holds()).entries()) {
    const { payee, price, maximum, alone } = purchases[i];
    assert.deepEqual([Number(usd), Number(settled_usd)], [Number(maximum) / 1e6, Number(price) / 1e6]);
    assert.equal(hold.payee, payee);
    assert.deepEqual(hold.claims.map(({ outcome }) => outcome), alone ? [] : ["settled"]);
  }
});

test("the audit trail verifies", () => succeeds("audit", "verify", ...config));

function replaced(text, changes) {
  for (const [from, to] of Object.entries(changes)) {
    assert.ok(text.includes(from), `\`${from}\` is not in ${text}`);
    text = text.replace(from, to);
  }
  return text;
}

async function holds() {
  return JSON.parse(await succeeds("hold", "list", ...config, "--output", "json"));
}

async function until(done, what) {
  const deadline = Date.now() + 60_000;
  while (!(await done())) {
    if (Date.now() > deadline) throw new Error(`gave up waiting until ${what}: ${readFileSync(log, "utf8")}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function succeeds(...args) {
  const { code, output, errors } = await run(binary, args);
  assert.equal(code, 0, `\`pursekeeper ${args.join(" ")}\` failed: ${errors}`);
  return output;
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    execFile(command, args, { cwd: here, timeout: 60_000, maxBuffer: 2 ** 26 }, (error, output, errors) => {
      const code = error ? error.code : 0;
      // Not a number: it could not be started, or was killed when its time was over.
      if (typeof code === "number") resolve({ code, output, errors });
      else reject(new Error(`\`${command} ${args.join(" ")}\` did not end by itself: ${errors}`, { cause: error }));
    });
  });
}

async function answers() {
  const options = {
    "grpc.default_authority": "localhost",
    "grpc.initial_reconnect_backoff_ms": 20,
    "grpc.max_reconnect_backoff_ms": 100,
  };
  const client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure(), options);
  const ready = promisify(client.waitForReady).bind(client);
  const deadline = Date.now() + 30_000;
  try {
    // In short turns, so that a `serve` that ends instead is noticed at once.
    while (serve.exitCode === null && Date.now() < deadline) {
      if (await ready(Date.now() + 200).then(() => true, () => false)) return;
    }
  } finally {
    client.close();
  }
  throw new Error(`\`pursekeeper serve\` does not answer (exit status ${serve.exitCode}): ${readFileSync(log, "utf8")}`);
}
