// Keys that are made, taken in and replaced while the sidecar runs: other software opens their files, reference sellers
// take their signatures, and a key that was replaced ends once nothing that it signed can be settled any more.

import assert from "node:assert/strict";
import { cpSync, existsSync, mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { costs, mint, peers, routes } from "../client.mjs";
import { run, until } from "../sidecar.mjs";
import {
  NAME,
  age,
  allowed,
  asked,
  merged,
  openPurse,
  person,
  refused,
  sign,
  signIn,
  spend,
  subject,
} from "./purse.mjs";

const FUNDS = 1_000_000n;
const [weather, infer] = routes;
const { payee } = weather;
const reason = "a year has passed";

let purse;
let old; // the address that is replaced
let next; // the pending act that replaces it

before(async () => {
  const { recipient } = person(mkdtempSync(join(tmpdir(), "rotation-")), "alice");
  purse = await openPurse({ more: [], recipients: [recipient] });
  old = purse.address;
  await backUp();
  await mint(old, FUNDS);
});

after(() => purse?.stop());

const backUp = async () => allowed(await purse.governance.backup({ subject: subject(), reason }));

const libraries = { "eth-account": [".venv/bin/python", "keystore.py"], ethers: [process.execPath, "keystore.mjs"] };

// The address of every key file, as each library finds it by opening the file; by name.
async function openedFiles() {
  const found = [];
  for (const [executable, script] of Object.values(libraries)) {
    const dir = mkdtempSync(join(tmpdir(), "keystore-"));
    cpSync(purse.keystore, dir, { recursive: true });
    cpSync(join(purse.home, "passphrase"), join(dir, "passphrase"));
    const { code, output, errors } = await run(executable, [script, "roundtrip", dir], join(import.meta.dirname, ".."));
    assert.equal(code, 0, errors);
    // The last one is a key that the library has made.
    found.push(output.trim().split("\n").slice(0, -1));
  }
  const [one, other] = found;
  assert.deepEqual(one, other);
  const names = readdirSync(purse.keystore).filter((name) => name.endsWith(".json") && name !== "keystore.json");
  return Object.fromEntries(names.sort().map((name, index) => [name, one[index]]));
}

// Buys from the reference seller and checks who has paid; resolves to the payment.
const buys = (payer, route = weather, wallet = NAME) =>
  costs(route.price, { payer, payee }, async () => {
    const payment = await sign(purse, route, { wallet });
    assert.equal(payment.wallet_address, payer);
    assert.equal(await spend(payment), 200);
    return payment;
  });

// Declares a new wallet. What the patch cannot know is the reviewer's: which network, and that it needs no backup.
const declared = ({ registry_patch }) => (text) =>
  merged(text, `${registry_patch.trimEnd()}\n    networks: ["${peers.network}"]\n    backup: none\n`);

const additions = {
  "is made here": (wallet) => purse.governance.create({ wallet, reason }),
  "was made elsewhere and sealed by age": async (wallet) => {
    const private_key = generatePrivateKey();
    const address = privateKeyToAddress(private_key);
    const plain = { kind: "pursekeeper-wallet", version: 1, wallet, address, private_key };
    const { transport_recipient } = await purse.governance.status({});
    const sealed_key = age(["--encrypt", "--recipient", transport_recipient], JSON.stringify(plain));
    const answer = await purse.governance.import({ wallet, sealed_key, reason });
    assert.equal(answer.pending?.address, address);
    return answer;
  },
};

for (const [index, [what, add]] of Object.entries(additions).entries()) {
  test(`a key that ${what} is opened by other software, and pays once the registry declares it`, async () => {
    const wallet = `added-${index}`;
    const pending = allowed(await add(wallet));
    assert.deepEqual([pending.wallet, pending.replaces], [wallet, ""]);
    assert.equal((await openedFiles())[`${wallet}.json`], pending.address);
    assert.equal(refused(await purse.signer.signPayment(await asked(weather, { wallet }))), "WALLET_UNKNOWN");
    assert.equal(refused(await purse.signer.signIn(signIn(weather, wallet))), "WALLET_UNKNOWN");
    const { completed } = await purse.declare(declared(pending));
    assert.deepEqual(completed.map(({ decision_id }) => decision_id), [pending.decision_id]);
    await mint(pending.address, FUNDS);
    await buys(pending.address, weather, wallet);
  });
}

test("a key that is to replace another is opened by other software, and signs nothing yet", async () => {
  const bought = [await buys(old)];
  next = allowed(await purse.governance.rotate({ subject: subject(), reason }));
  assert.deepEqual([next.verb, next.wallet, next.replaces], ["rotate", NAME, old]);
  const files = await openedFiles();
  assert.equal(files[`${NAME}.json`], old);
  assert.equal(files[`${NAME}.${next.address.toLowerCase()}.json`], next.address);
  const again = allowed(await purse.governance.rotate({ subject: subject(), reason }));
  assert.equal(again.address, next.address, "asked twice, there is one new key");
  await mint(next.address, FUNDS);
  bought.push(await buys(old));
  for (const payment of bought) assert.equal(await purse.fate(payment), "settled");
});

test("once the registry says so, the new address pays and the old one only drains", async () => {
  const kept = await sign(purse, infer);
  const dying = await sign(purse, weather, { patience: 15 });
  const { completed } = await purse.declare((text) => merged(text, next.registry_patch));
  assert.deepEqual(completed.map(({ verb, address }) => [verb, address]), [["rotate", next.address]]);
  assert.equal(refused(await purse.signer.signPayment(await asked(weather))), "BACKUP_MISSING", "of the new key");
  assert.equal((await backUp()).address, next.address);
  await buys(next.address);
  await buys(next.address, infer);
  const drains = await purse.known(old);
  assert.deepEqual([drains.status, drains.replaced, drains.key], ["draining", true, "present"]);
  assert.equal(drains.exposure.signatures, 2);
  const { status, address } = await purse.known();
  assert.deepEqual([status, address], ["active", next.address]);
  assert.equal(refused(await purse.governance.resume({ subject: subject(old), reason })), "WALLET_REPLACED");

  // What it signed before is still good: a retry gets it again, and the seller takes it.
  const retried = allowed(await purse.signer.signPayment(kept.request));
  assert.equal(retried.header_value, kept.header_value);
  await costs(infer.price, { payer: old, payee }, async () => assert.equal(await spend(kept), 200));

  // The other one is never settled. It dies, and with it the key.
  await until(async () => (await purse.known(old)).status === "revoked", "the old address has drained", purse.logged);
  assert.ok(Date.now() / 1000 > dying.valid_before, "not before it is dead");
  assert.deepEqual([await purse.fate(kept), await purse.fate(dying)], ["settled", "released"]);
  const file = join(purse.keystore, `${NAME}.json`);
  await until(() => !existsSync(file), "the key file is gone", purse.logged);
  assert.equal((await purse.known(old)).key, "absent");
  assert.equal(Object.values(await openedFiles()).includes(old), false);
});

test("the new address signs on, and answers for what the old one spent", async () => {
  await buys(next.address);
  const { budgets } = await purse.governance.listBudgets({});
  const day = budgets.find(({ scope, name, window }) => [scope, name, window].join() === `wallet,${NAME},day`);
  // Each of the two has bought two forecasts and one inference.
  const spent = 2n * (2n * weather.price + infer.price);
  assert.equal(Math.round((Number(day.settled) + Number(day.held)) * 1e6), Number(spent));
  assert.equal(refused(await purse.governance.resume({ subject: subject(old), reason })), "REVOKED");
});

test("a key that was replaced and has no backup is an operator's to destroy", async () => {
  const wallet = "added-0";
  const { address: without } = await purse.known(wallet);
  const pending = allowed(await purse.governance.rotate({ subject: subject(wallet), reason }));
  await purse.declare((text) => merged(text, pending.registry_patch));
  await until(async () => (await purse.known(without)).exposure.signatures === 0, "nothing is outside", purse.logged);
  await setTimeout(3_000); // time enough for what happens by itself
  const drains = await purse.known(without);
  assert.deepEqual([drains.status, drains.key, drains.replaced], ["draining", "present", true]);
  assert.equal((await openedFiles())[`${wallet}.json`], without, "what it holds can still be moved");
  const revoked = allowed(await purse.governance.revoke({ subject: subject(without), reason: "it is empty" }));
  assert.deepEqual([revoked.status, revoked.key], ["revoked", "destroyed"]);
  const files = await openedFiles();
  assert.deepEqual([files[`${wallet}.json`], Object.values(files).includes(without)], [undefined, false]);
  await mint(pending.address, FUNDS);
  await buys(pending.address, weather, wallet);
});

test("a registry that forgets the old address is refused, and the one in force stays", async () => {
  let before;
  const forgetful = (text) => ((before = text), text.replace(new RegExp(`\\n {4}was: .*${old}.*`), ""));
  await assert.rejects(purse.declare(forgetful), /was rotated/);
  await buys(next.address);
  await purse.declare(() => before);
});

test("what is on disk is whole without the old key", async () => {
  await purse.command("check");
  await purse.command("audit", "verify");
});
