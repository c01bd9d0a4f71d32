// Random requirements, signed by the real sidecar and judged by three who do not know it: viem and eth-account recover
// the signer from what they make of the requirement themselves, and the reference facilitator verifies on the chain.
//
//     COUNT=10000 ../run differential/differential.test.mjs
//
// SEED repeats the requirements (wallets and nonces are new each time); COUNT is how many.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { appendFileSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { verifyTypedData } from "viem";
import { peers } from "../client.mjs";
import { checkAnswer } from "./answers.mjs";
import { KINDS, makeCase } from "./cases.mjs";
import { Random } from "./random.mjs";
import { connect } from "../sidecar.mjs";
import { signatures } from "./typed-data.mjs";
import { makeWorld } from "./world.mjs";

const SEED = process.env.SEED || "1";
const COUNT = Number(process.env.COUNT || 300);
// Signed together, then judged together: what lives less than a minute has to be judged before it is dead.
const BATCH = 120;
const SIGNING_AT_ONCE = 48;
const VERIFYING_AT_ONCE = 8;
const SHOWN_MAX = 3; // mismatches that are printed
const PROGRESS_MS = 5_000;

const folder = mkdtempSync(join(tmpdir(), "differential-"));
const clock = { signing: 0, viem: 0, facilitator: 0, "eth-account": 0 };
let world;
let signer;

before(async () => {
  assert.ok(Number.isSafeInteger(COUNT) && COUNT > 0, "COUNT is a number of payments");
  world = await makeWorld(new Random(SEED));
  signer = connect(world.sidecar.socket);
});

after(async () => {
  signer?.close();
  await world?.sidecar.stop();
});

// What the three say is worth something: each of them notices when a signed word is another.
test("a changed payment is noticed by viem, eth-account and the facilitator alike", async () => {
  const payments = await signed([...KINDS.keys()], "control");
  const file = join(folder, "control");
  const labels = [];
  for (const payment of payments) {
    const { kind, index } = payment.it;
    assert.deepEqual([await viem(payment), await facilitator(payment)], [undefined, undefined], kind.name);
    appendFileSync(file, line(payment));
    for (const [number, change] of changes(kind).entries()) {
      const payload = JSON.parse(payment.text);
      change(payload);
      const changed = { ...payment, payload, text: JSON.stringify(payload) };
      assert.match((await viem(changed)) ?? "", /is not signed by/, `${kind.name}, change ${number}`);
      assert.match((await facilitator(changed)) ?? "", /signature|allowance/, `${kind.name}, change ${number}`);
      labels.push(`${index}, change ${number}`);
      appendFileSync(file, line(changed, labels.at(-1)));
    }
  }
  assert.deepEqual((await recover(file)).mismatches, labels.sort());
});

test(`${COUNT} random payments are good to viem, eth-account and the facilitator`, { timeout: 3_600_000 }, async () => {
  const began = Date.now();
  const counts = Object.fromEntries(KINDS.map(({ name }) => [name, 0]));
  const mismatches = [];
  const lines = join(folder, "payments");
  writeFileSync(lines, "");
  console.log(`differential: SEED=${SEED} COUNT=${COUNT}`);
  let reported = began;
  for (let from = 0; from < COUNT; from += BATCH) {
    const indices = Array.from({ length: Math.min(BATCH, COUNT - from) }, (_, offset) => from + offset);
    const payments = await signed(indices, SEED, mismatches);
    await timed("facilitator", () =>
      each(payments, VERIFYING_AT_ONCE, async (payment) => noted(mismatches, payment.it, await facilitator(payment))),
    );
    await timed("viem", async () => {
      for (const payment of payments) noted(mismatches, payment.it, await viem(payment));
    });
    for (const payment of payments) {
      counts[payment.it.kind.name]++;
      appendFileSync(lines, line(payment));
    }
    if (Date.now() - reported < PROGRESS_MS) continue;
    reported = Date.now();
    const progress = `${from + indices.length} of ${COUNT} after ${seconds(reported - began)} s`;
    console.log(`differential: ${progress}, ${mismatches.length} mismatches`);
  }
  const recovered = await timed("eth-account", () => recover(lines));
  for (const index of recovered.mismatches)
    noted(mismatches, makeCase(world, SEED, index), "eth-account recovers another signer");
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const kinds = Object.entries(counts).map(([name, count]) => `${name} ${count}`).join(", ");
  const rate = Object.entries(clock).map(([name, ms]) => `${name} ${Math.round((total * 1_000) / ms)}/s`).join(", ");
  const done = `${total} payments, ${recovered.signatures} signatures in ${seconds(Date.now() - began)} s`;
  console.log(`differential: SEED=${SEED}: ${done}, ${mismatches.length} mismatches (${kinds}; ${rate})`);
  for (const { index, kind, problem, request, required } of mismatches.slice(0, SHOWN_MAX)) {
    const asked = { ...request, body: undefined, payment_required: undefined };
    console.log(`mismatch: SEED=${SEED} case ${index}, ${kind}: ${problem}`);
    for (const what of [asked, required]) console.log(JSON.stringify(what));
  }
  assert.equal(mismatches.length, 0);
  assert.equal(total, COUNT);
  const permits = KINDS.filter(({ sponsored }) => sponsored).reduce((sum, { name }) => sum + counts[name], 0);
  assert.equal(recovered.signatures, total + permits);
});

// Signed words of which each judge has a notion of its own.
function changes({ method, sponsored }) {
  const other = (object, name) => (object[name] = String(BigInt(object[name]) + 1n));
  if (method === "eip3009") return [({ payload }) => other(payload.authorization, "validBefore")];
  const payment = ({ payload }) => other(payload.permit2Authorization, "deadline");
  return sponsored ? [payment, ({ extensions }) => other(extensions.eip2612GasSponsoring.info, "deadline")] : [payment];
}

// The payments for some cases, `{it, payload, text}`. What is not what it has to be is noted.
async function signed(indices, seed, mismatches) {
  const cases = indices.map((index) => makeCase(world, seed, index));
  const payments = [];
  await timed("signing", () =>
    each(cases, SIGNING_AT_ONCE, async (it) => {
      try {
        const began = now();
        const { signed, denied } = await signer.signPayment(it.request);
        assert.ok(signed, `denied: ${denied?.code} ${denied?.message}`);
        const payload = checkAnswer(it, signed, [began, now()]);
        payments.push({ it, payload, text: signed.payload.toString() });
      } catch (error) {
        if (!mismatches) throw error;
        noted(mismatches, it, error.message);
      }
    }),
  );
  return payments;
}

function noted(mismatches, { index, kind, request, required }, problem) {
  if (problem) mismatches.push({ index, kind: kind.name, problem, request, required });
}

// What is wrong with a payment, according to viem.
async function viem({ it, payload }) {
  for (const one of signatures(it, payload)) {
    const good = await verifyTypedData({ address: it.wallet.address, ...one }).catch(() => false);
    if (!good) return `viem: ${one.primaryType} is not signed by ${it.wallet.address}`;
  }
  return undefined;
}

// What is wrong with a payment, according to the reference facilitator. It gets both texts as they were sent.
async function facilitator({ it, text }) {
  const { version } = it.kind;
  const body = `{"x402Version":${version},"paymentPayload":${text},"paymentRequirements":${it.entry}}`;
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${peers.facilitator}/verify`, { method: "POST", headers, body });
  if (!response.ok) return `the facilitator: ${response.status} ${await response.text()}`;
  const { isValid, invalidReason, payer } = await response.json();
  if (isValid && payer === it.wallet.address) return undefined;
  return `the facilitator: ${isValid ? `the payer is ${payer}` : invalidReason}`;
}

// What eth-account recovers from a file of payments: `{signatures, mismatches}`.
async function recover(file) {
  const [python, script] = ["../.venv/bin/python", "recover.py"].map((path) => join(import.meta.dirname, path));
  const { stdout } = await promisify(execFile)(python, [script, file]);
  return JSON.parse(stdout);
}

function line({ it, text }, index = it.index) {
  const { kind, asset, wallet, entry, nonce } = it;
  const token = { name: asset.name, version: asset.version };
  const known = { index, kind, token, wallet: wallet.address, nonce: String(nonce) };
  return `${JSON.stringify({ ...known, entry, payload: text })}\n`;
}

// Does `work` for every item, `width` at a time.
async function each(items, width, work) {
  const rest = items.values();
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (const item of rest) await work(item);
    }),
  );
}

async function timed(what, work) {
  const began = performance.now();
  const result = await work();
  clock[what] += performance.now() - began;
  return result;
}

function seconds(ms) {
  return (ms / 1_000).toFixed(1);
}

function now() {
  return Math.floor(Date.now() / 1_000);
}
