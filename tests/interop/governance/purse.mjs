// What the tests of governance share: a purse with its agent and its operator, what the reference sellers and their
// facilitator make of what it signs, and the chain.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { createWalletClient, http, publicActions } from "viem";
import { baseSepolia } from "viem/chains";
import { peers } from "../client.mjs";
import { binary, connect, govern, run, startSidecar, until } from "../sidecar.mjs";

export const NAME = "research-hot"; // what `init` calls the wallet it makes
export const SKEW_SECS = 5;
// Venice's messages are for this chain.
const VENICE = "eip155:8453";

export const facilitator = new HTTPFacilitatorClient({ url: peers.facilitator });

const transport = http(peers.rpc);
const node = createWalletClient({ chain: baseSepolia, transport, pollingInterval: 20 }).extend(publicActions);

// Sends data to a contract, as anybody with gas could, and waits for the block: whether the contract took it.
export async function submit(to, data) {
  // Not the first account: the peers hand that one's transactions over themselves. With a limit nothing is estimated,
  // so that what fails does so on the chain.
  const [, account] = await node.getAddresses();
  const hash = await node.sendTransaction({ account, to, data, gas: 200_000n });
  const { status } = await node.waitForTransactionReceipt({ hash });
  return status === "success";
}

// A wallet as registry.yaml declares it; `more` are further lines.
const wallet = ({ name = NAME, address, more = [] }) =>
  [
    `  ${name}:`,
    `    address: "${address}"`,
    "    owner: platform",
    "    recovery: [recovery]",
    "    revokers: [platform]",
    "    workflows: [interop]",
    `    networks: ["${peers.network}", "${VENICE}"]`,
    '    ceilings: { usd: { day: "1" } }',
    ...more.map((line) => `    ${line}`),
  ].join("\n");

const registry = (wallets, recipients) => `
version: 1
teams:
  platform: {}
  recovery: ${JSON.stringify(recipients && { backup_recipients: recipients })}
operators:
  tester: { uids: [${process.getuid()}], teams: [platform, recovery] }
agents:
  buyer: { uids: [${process.getuid()}], workflows: [interop] }
workflows:
  interop: { owner: platform, services: [v2, permit2] }
wallets:
${wallets.map(wallet).join("\n")}
services:
  v2: { origin: "${peers.v2.url}", methods: [GET, POST], paths: [/weather, /infer], payees: ["${peers.v2.payee}"] }
  permit2: { origin: "${peers.permit2.url}", methods: [GET], paths: [/weather], payees: ["${peers.permit2.payee}"] }
assets:
  usdc: { network: "${peers.network}", address: "${peers.asset}", methods: [eip3009, permit2],
    symbol: USDC, name: USDC, version: "2", decimals: 6, usd: { peg: "1" } }
`;

// Puts a piece of registry.yaml into the whole, as a person would: what it says about a wallet replaces what was said.
export function merged(text, patch) {
  const [top, head, ...fields] = patch.trimEnd().split("\n");
  assert.equal(top, "wallets:", patch);
  const lines = text.split("\n");
  if (!lines.includes(head)) lines.splice(lines.indexOf(top) + 1, 0, head);
  for (const field of fields) {
    const key = field.match(/^ {4}[a-z_]+:/)?.[0];
    assert.ok(key, patch);
    const begin = lines.indexOf(head) + 1;
    const length = lines.slice(begin).findIndex((line) => !line.startsWith("    "));
    const known = lines.slice(begin, begin + length).findIndex((line) => line.startsWith(key));
    lines.splice(begin + Math.max(known, 0), known < 0 ? 0 : 1, field);
  }
  return lines.join("\n");
}

// Starts a purse of one wallet. `address` is not its own where the key is elsewhere; `more` are lines about the wallet,
// `recipients` open its backups.
export async function openPurse({ address, more = ["backup: none"], recipients = null, prepare }) {
  // anvil makes a block a second; four of them are final enough here.
  const chains = { [peers.network]: { urls: [peers.rpc], interval_secs: 1, confirmations: 4 } };
  const sidecar = await startSidecar({
    registry: ({ [NAME]: own }) => registry([{ address: address ?? own, more }], recipients),
    configure: (text) =>
      `${text.replace("skew_secs: 60", `skew_secs: ${SKEW_SECS}`)}\nchains: ${JSON.stringify(chains)}\n`,
    prepare,
  });
  const signer = connect(sidecar.socket);
  const governance = govern(join(sidecar.home, "run", "operator.sock"));
  const registryFile = join(sidecar.home, "policies", "registry.yaml");
  return {
    ...sidecar,
    signer,
    governance,
    address: address ?? sidecar.addresses[NAME],
    keystore: join(sidecar.home, "keystore"),
    // What the wallet is said to be, called by its name or by an address.
    known: async (called = NAME) => (await governance.getWallet({ wallet: called })).wallet,
    // Changes registry.yaml and puts it in force.
    async declare(change) {
      writeFileSync(registryFile, change(readFileSync(registryFile, "utf8")));
      return allowed(await governance.reloadPolicies({ reason: "the registry was reviewed" }));
    },
    async hold({ decision_id }) {
      const { holds } = await governance.listHolds({ limit: 1000 });
      return holds.find((hold) => hold.decision_id === decision_id);
    },
    // Waits until the chain has told what became of a payment: "settled" or "released".
    async fate(payment) {
      await until(async () => (await this.hold(payment)).state !== "held", "the chain tells its fate", sidecar.logged);
      return (await this.hold(payment)).state;
    },
    async stop() {
      signer.close();
      governance.close();
      await sidecar.stop();
    },
  };
}

export const subject = (name = NAME, kind = "wallet") => ({ kind, name });

// The answer, which must not be a refusal.
export function allowed({ denied, ...answer }) {
  assert.equal(denied, undefined, denied && `${denied.code}: ${denied.message}`);
  return Object.values(answer)[0];
}

// The code of an answer, which must be a refusal.
export function refused({ denied, ...answer }) {
  assert.deepEqual(answer, {}, "it was not refused");
  return denied.code;
}

const header = (required) => Buffer.from(Buffer.from(JSON.stringify(required)).toString("base64"));

// What a reference seller asks for, as a request to the sidecar. `patience` replaces the seconds the seller waits.
export async function asked({ method, url, body }, { patience, wallet = NAME } = {}) {
  const headers = body ? { "content-type": "application/json" } : {};
  const response = await fetch(url, { method, body, headers });
  assert.equal(response.status, 402, await response.text());
  const required = JSON.parse(Buffer.from(response.headers.get("PAYMENT-REQUIRED"), "base64"));
  if (patience) for (const offer of required.accepts) offer.maxTimeoutSeconds = patience;
  return { request_id: randomUUID(), payment_required: header(required), endpoint: { method, url }, wallet };
}

// Has the agent sign a payment, and keeps it from the seller.
export async function sign(purse, route, options) {
  const request = await asked(route, options);
  const signed = allowed(await purse.signer.signPayment(request));
  return { ...signed, request, route, payload: JSON.parse(signed.payload) };
}

// Asks the reference facilitator whether a payment is good, and settles it.
export const verify = ({ payload }) => facilitator.verify(payload, payload.accepted);
export const settle = ({ payload }) => facilitator.settle(payload, payload.accepted);

// Hands a payment to its seller: the status of the answer.
export async function spend({ header_name, header_value, route: { method, url, body } }) {
  const headers = { [header_name]: header_value, ...(body && { "content-type": "application/json" }) };
  const response = await fetch(url, { method, body, headers });
  await response.body?.cancel();
  return response.status;
}

// A sign-in for which nobody has to ask: Venice sends no challenge.
export const signIn = ({ method, url }, wallet = NAME) => ({
  request_id: randomUUID(),
  venice: {},
  endpoint: { method, url },
  wallet,
});

// Runs the command line of the purse's operator, which must succeed, and reads what it prints.
export async function operate(purse, ...words) {
  const { code, output, errors } = await run(binary, [...words, ...purse.config, "--output", "json"]);
  assert.equal(code, 0, `\`pursekeeper ${words.join(" ")}\` failed: ${errors}${output}`);
  return JSON.parse(output);
}

// Somebody who can open what is sealed for them: `identity` is the file that does.
export function person(directory, name) {
  const identity = join(directory, `${name}.key`);
  execFileSync("age-keygen", ["-o", identity], { stdio: "pipe" });
  return { identity, recipient: String(execFileSync("age-keygen", ["-y", identity])).trim() };
}

// Runs age, which must succeed: what it prints.
export const age = (args, input = "") => execFileSync("age", args, { input, stdio: ["pipe", "pipe", "pipe"] });
