// The adapters end to end: apps on current x402 stacks buy every route through the real binary.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { allowance, approve, costs, mint, peers, permit2Routes, permitNonce, premium, routes } from "../client.mjs";
import { binary, run as execute, startSidecar, until } from "../sidecar.mjs";

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
    backup: none
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
const run = (command, args) => execute(command, args, here);
const FUNDS = 5_000_000n; // $5

let sidecar;
let wallet;
let config;

before(async () => {
  // anvil makes a block a second; four of them are final enough here.
  const chains = { [peers.network]: { urls: [peers.rpc], interval_secs: 1, confirmations: 4 } };
  sidecar = await startSidecar({
    registry(addresses) {
      [wallet] = Object.entries(addresses).map(([name, address]) => ({ name, address }));
      return registry(wallet);
    },
    configure(text) {
      // The SDKs sign for as long as the seller says, and these say 300 seconds: a signer has to take that or nothing.
      const changes = {
        "skew_secs: 60": "skew_secs: 5",
        "permit2_validity_secs_max: 60": "permit2_validity_secs_max: 300",
      };
      return `${replaced(text, changes)}\nchains: ${JSON.stringify(chains)}\n`;
    },
  });
  config = sidecar.config;
  await mint(wallet.address, FUNDS);
});

after(() => sidecar?.stop());

const typescript = (adapter, call) =>
  run(process.execPath, ["--import", "tsx", "typescript/app.ts", adapter, sidecar.socket, peers.rpc, ...call]);
const pythonApp = (adapter, call) => run(python, ["python/app.py", adapter, sidecar.socket, peers.rpc, ...call]);

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
  { name: "Rust x402-reqwest", buy: (call) => run(rustApp, [sidecar.socket, peers.rpc, ...call]) },
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
  await until(async () => (await holds()).every(({ state }) => state === "settled"), "every purchase is final", sidecar.logged);
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

async function succeeds(...args) {
  const { code, output, errors } = await run(binary, args);
  assert.equal(code, 0, `\`pursekeeper ${args.join(" ")}\` failed: ${errors}`);
  return output;
}
