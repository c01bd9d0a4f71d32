// Pursekeeper end to end: agents that hold no key buy from the same peers, through the real binary.

import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, cpSync, mkdtempSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { approve, costs, mint, peers, permit2Routes, premium, routes } from "./client.mjs";
import { binary, run, startSidecar, until } from "./sidecar.mjs";

// What the agents buy. Sponsored routes need an agent that reads its allowance: adapters/ has those.
const bought = [...routes, ...permit2Routes.filter(({ sponsored }) => !sponsored)];

// A seller that takes a payment and never settles it.
const deadbeat = { patience: 3, payee: "0x00000000000000000000000000000000DeaDBeef" };

// The test's own user is both the agent and the operator. Each seller is one service, with its own payee; /premium is
// in none.
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
    services: [seller-v2, seller-v1, seller-permit2, seller-upto, deadbeat]
    ceilings: { usd: { payment: "0.05", day: "1" }, warn_at: 1% }
wallets:
  ${wallet.name}:
    address: "${wallet.address}"
    owner: platform
    recovery: [platform]
    revokers: [platform]
    backup: none
    workflows: [interop]
    networks: ["${peers.network}"]
    floor: "0.10"
services:
  seller-v2:
    origin: "${peers.v2.url}"
    methods: [GET, POST]
    paths: [/weather, /infer]
    payees: ["${peers.v2.payee}"]
  seller-v1:
    origin: "${peers.v1.url}"
    methods: [GET]
    paths: [/v1/weather]
    payees: ["${peers.v1.payee}"]
  seller-permit2:
    origin: "${peers.permit2.url}"
    methods: [GET, POST]
    paths: [/weather, /infer]
    payees: ["${peers.permit2.payee}"]
  seller-upto:
    origin: "${peers.upto.url}"
    methods: [POST]
    paths: [/infer]
    payees: ["${peers.upto.payee}"]
    facilitators: ["${peers.facilitatorAddress}"]
  deadbeat:
    origin: "${deadbeat.url}"
    methods: [GET]
    paths: [/]
    payees: ["${deadbeat.payee}"]
assets:
  usdc:
    network: "${peers.network}"
    address: "${peers.asset}"
    symbol: USDC
    name: USDC
    version: "2"
    decimals: 6
    methods: [eip3009, permit2]
    usd: { peg: "1" }
`;

const FUNDS = 1_000_000n; // $1

let sidecar;
let wallet;
let config;

before(async () => {
  deadbeat.url = await listen((req, res) => {
    const offer = {
      scheme: "exact",
      network: peers.network,
      amount: "1000",
      asset: peers.asset,
      payTo: deadbeat.payee,
      maxTimeoutSeconds: deadbeat.patience,
      extra: { name: "USDC", version: "2" },
    };
    const required = { x402Version: 2, resource: { url: `${deadbeat.url}/` }, accepts: [offer] };
    if (req.headers["payment-signature"]) return res.writeHead(504).end("the settlement timed out");
    res.writeHead(402, { "PAYMENT-REQUIRED": Buffer.from(JSON.stringify(required)).toString("base64") }).end();
  });
  // anvil makes a block a second; four of them are final enough here.
  const chains = { [peers.network]: { urls: [peers.rpc], interval_secs: 1, confirmations: 4 } };
  sidecar = await startSidecar({
    registry(addresses) {
      [wallet] = Object.entries(addresses).map(([name, address]) => ({ name, address }));
      return registry(wallet);
    },
    configure: (text) => `${text.replace("skew_secs: 60", "skew_secs: 5")}\nchains: ${JSON.stringify(chains)}\n`,
  });
  config = sidecar.config;
  // The wallet has a floor: before its balance is known, and while it is empty, it pays nothing.
  await until(async () => (await previewed()).code === "BALANCE_BELOW_FLOOR", "the empty balance is known", sidecar.logged);
  await approve(wallet.address, FUNDS);
  await mint(wallet.address, FUNDS);
  await until(async () => (await previewed()).code === undefined, "the new balance is known", sidecar.logged);
});

// Whether the deadbeat would be paid now, and why not. `pay --preview` asks and binds nothing.
async function previewed() {
  const { output } = await run(binary, ["pay", deadbeat.url, "--preview", ...config, "--output", "json"]);
  const answer = JSON.parse(output);
  assert.ok(answer.denied || answer.would_sign, output);
  return answer.denied ?? {};
}

after(() => {
  deadbeat.server.close();
});

// What each buyer makes of a route: `code` is the exit status, `output` what it printed.
const buyers = {
  "the TypeScript agent": ({ method, url, body }) =>
    run(process.execPath, ["--import", "tsx", "agents/agent.ts", sidecar.socket, method, url, ...(body ? [body] : [])]),
  "the Python agent": ({ method, url, body }) =>
    run(".venv/bin/python", ["agents/agent.py", sidecar.socket, method, url, ...(body ? [body] : [])]),
  "the Rust agent": ({ method, url, body }) =>
    run(process.env.RUST_AGENT, [sidecar.socket, method, url, ...(body ? [body] : [])]),
  "pursekeeper pay": ({ method, url, body }) => {
    const json = body ? ["--header", "content-type: application/json", "--data", body] : [];
    return run(binary, ["pay", url, "--method", method, ...json, ...config]);
  },
};

for (const [buyer, buy] of Object.entries(buyers)) {
  const isAgent = buyer.endsWith("agent");

  for (const route of bought) {
    test(`${buyer} buys ${route.name}`, () =>
      costs(route.price, { payer: wallet.address, payee: route.payee }, async () => {
        const { code, output, errors } = await buy(route);
        assert.equal(code, 0, errors || output);
        // `pay` prints the body and nothing else.
        if (!isAgent) return assert.deepEqual(JSON.parse(output), route.reply);
        const { status, body, paymentResponse, decisionId } = JSON.parse(output);
        assert.equal(status, 200, errors);
        assert.deepEqual(JSON.parse(body), route.reply);
        assert.equal(paymentResponse.success, true);
        assert.ok(decisionId);
      }),
    );
  }

  test(`${buyer} is denied what is outside the scope, and nothing is spent`, () =>
    costs(0n, { payer: wallet.address, payee: premium.payee }, async () => {
      const { code, output, errors } = await buy(premium);
      if (!isAgent) return assert.notEqual(code, 0, output);
      assert.equal(code, 3, errors || output);
      const denial = JSON.parse(output);
      assert.match(denial.code, /^[A-Z]+(_[A-Z]+)*$/);
      assert.ok(denial.message && denial.decisionId);
    }),
  );
}

for (const [library, command] of Object.entries({
  "eth-account": [".venv/bin/python", "keystore.py"],
  ethers: [process.execPath, "keystore.mjs"],
})) {
  test(`${library} opens our key files, and we open its`, async () => {
    const dir = mkdtempSync(join(tmpdir(), "keystore-"));
    cpSync(join(sidecar.home, "keystore"), dir, { recursive: true });
    cpSync(join(sidecar.home, "passphrase"), join(dir, "passphrase"));
    const [executable, script] = command;
    const { code, output, errors } = await run(executable, [script, "roundtrip", dir]);
    assert.equal(code, 0, errors);
    const addresses = output.trim().split("\n");
    assert.ok(addresses.includes(wallet.address), output);
    // The libraries leave it to their user who may read what they write; we insist.
    chmodSync(join(dir, "new.json"), 0o600);
    const name = `from-${library}`;
    const source = ["--key-file", join(dir, "new.json"), "--key-file-passphrase", join(sidecar.home, "passphrase")];
    const imported = await succeeds("wallet", "import", name, "--offline", ...source, ...config, "--output", "json");
    assert.deepEqual(JSON.parse(imported), { name, address: addresses.at(-1) });
  });
}

test("money is freed by the chain alone: never by what the agent claims", { timeout: 90_000 }, async () => {
  const { code, errors } = await run(binary, ["pay", deadbeat.url, ...config]);
  assert.equal(code, 1, errors);
  const find = async () => (await holds()).find(({ payee }) => payee.toLowerCase() === deadbeat.payee.toLowerCase());
  const claimed = await find();
  assert.deepEqual([claimed.state, claimed.claims.map(({ outcome }) => outcome)], ["held", ["failed"]]);
  const release = ["hold", "release", claimed.decision_id, "--reason", "too early", ...config];
  assert.match((await run(binary, release)).errors, /HOLD_ALIVE/);
  await until(async () => (await find()).state !== "held", "the chain has passed the end of the signature", sidecar.logged);
  assert.equal((await find()).state, "released");
  await until(async () => (await holds()).every(({ state }) => state !== "held"), "every purchase is final", sidecar.logged);
  const settled = (await holds()).filter(({ state }) => state === "settled");
  assert.equal(settled.length, bought.length * Object.keys(buyers).length);
  for (const { payee, usd, settled_usd, endpoint } of settled) {
    const route = bought.find((route) => route.url === endpoint.url && route.method === endpoint.method);
    assert.equal(payee.toLowerCase(), route.payee.toLowerCase());
    // An `upto` payment binds its maximum until the chain says what was taken.
    assert.deepEqual([Number(usd), Number(settled_usd)], [route.maximum ?? route.price, route.price].map((n) => Number(n) / 1e6));
  }
});

test("a payment that was signed is voided before anybody settles it", { timeout: 90_000 }, async () => {
  deadbeat.patience = 300;
  const { code, errors } = await run(binary, ["pay", deadbeat.url, ...config]);
  assert.equal(code, 1, errors);
  const [{ decision_id, valid_before }] = (await holds()).filter(({ state }) => state === "held");
  const cancel = ["hold", "cancel", decision_id, "--reason", "never delivered", ...config, "--output", "json"];
  const { to, calldata } = JSON.parse(await succeeds(...cancel));
  // Anybody's transaction: the sender is one of the node's own accounts.
  const [from] = await rpc("eth_accounts");
  const hash = await rpc("eth_sendTransaction", [{ from, to, data: calldata }]);
  await until(async () => (await rpc("eth_getTransactionReceipt", [hash]))?.status === "0x1", "the token took it", sidecar.logged);
  const find = async () => (await holds()).find((hold) => hold.decision_id === decision_id);
  await until(async () => (await find()).state !== "held", "the chain shows that it is void", sidecar.logged);
  assert.equal((await find()).state, "released");
  assert.ok(Date.now() / 1000 < Number(valid_before), "long before it would have died by itself");
});

test("the operator sees every payment and denial in the audit trail and the budget", async () => {
  const lines = (await succeeds("audit", "tail", "-n", "100", ...config, "--output", "json")).trim().split("\n");
  const decisions = lines.map((line) => JSON.parse(line)).filter(({ kind }) => kind === "payment");
  const permits = decisions.filter(({ verdict }) => verdict === "permit");
  assert.equal(decisions.length, (bought.length + 1) * Object.keys(buyers).length + 2);
  assert.equal(permits.length, bought.length * Object.keys(buyers).length + 2);
  const budgets = JSON.parse(await succeeds("budget", "show", ...config, "--output", "json"));
  const day = budgets.find(({ scope, window }) => scope === "workflow" && window === "day");
  const spent = bought.reduce((sum, { price }) => sum + price, 0n) * BigInt(Object.keys(buyers).length);
  assert.deepEqual([Number(day.settled), Number(day.held)], [Number(spent) / 1e6, 0]);
  assert.ok(permits.at(-1).warnings.length > 0, "a hundredth of the day is spent");
});

test("serve ends cleanly on SIGTERM", { timeout: 30_000 }, () => sidecar.stop());

test("the audit trail verifies", () => succeeds("audit", "verify", ...config));

async function rpc(method, params = []) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  const response = await fetch(peers.rpc, { method: "POST", headers: { "content-type": "application/json" }, body });
  const { result, error } = await response.json();
  assert.equal(error, undefined);
  return result;
}

async function holds() {
  return JSON.parse(await succeeds("hold", "list", ...config, "--output", "json"));
}

// A server on loopback: its URL.
async function listen(handler) {
  deadbeat.server = createServer(handler).listen(0, "127.0.0.1");
  await once(deadbeat.server, "listening");
  return `http://127.0.0.1:${deadbeat.server.address().port}`;
}

async function succeeds(...args) {
  const { code, output, errors } = await run(binary, args);
  assert.equal(code, 0, `\`pursekeeper ${args.join(" ")}\` failed: ${errors}`);
  return output;
}
