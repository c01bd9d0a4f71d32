// Backups, opened by age itself and read by Ethereum's libraries; and wallets that come back from them on machines that
// never had their key.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Wallet, computeAddress } from "ethers";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { costs, mint, routes } from "../client.mjs";
import { binary, run } from "../sidecar.mjs";
import {
  NAME,
  age,
  allowed,
  asked,
  openPurse,
  operate,
  person,
  refused,
  sign,
  signIn,
  spend,
  subject,
  verify,
} from "./purse.mjs";

const FAILED_PRECONDITION = 9; // of gRPC
const FUNDS = 1_000_000n;
const [weather] = routes;
const { payee, price } = weather;
const directory = mkdtempSync(join(tmpdir(), "recovery-"));
const reason = "the first backup";

// Two members of the recovery team, and somebody else.
const [alice, bob, eve] = ["alice", "bob", "eve"].map((name) => person(directory, name));
const recipients = [alice.recipient, bob.recipient];

let first; // the machine that is lost
let address;
let backup; // the age file

before(async () => {
  first = await openPurse({ more: [], recipients });
  ({ address } = first);
  await mint(address, FUNDS);
});

after(() => first?.stop());

const opened = (file, { identity }) => age(["--decrypt", "--identity", identity, file]);
const buys = (purse) =>
  costs(price, { payer: address, payee }, async () => assert.equal(await spend(await sign(purse, weather)), 200));

// The addresses that three libraries find for a key.
async function addressesOf(key) {
  const script = "import sys; from eth_account import Account; print(Account.from_key(sys.argv[1]).address)";
  const { output, errors } = await run(".venv/bin/python", ["-c", script, key], join(import.meta.dirname, ".."));
  return [privateKeyToAddress(key), computeAddress(key), output.trim() || errors];
}

test("a wallet signs nothing before there is a backup of its key", async () => {
  assert.equal((await first.known()).backup, "missing");
  assert.equal(refused(await first.signer.signPayment(await asked(weather))), "BACKUP_MISSING");
  assert.equal(refused(await first.signer.preview(await asked(weather))), "BACKUP_MISSING");
  assert.equal(refused(await first.signer.signIn(signIn(weather))), "BACKUP_MISSING");
});

test("age opens a backup for each of the recovery team, and for nobody else", async () => {
  const made = allowed(await first.governance.backup({ subject: subject(), reason }));
  assert.deepEqual([made.wallet, made.address, made.recipients], [NAME, address, [...recipients].sort()]);
  backup = join(directory, "backup.age");
  writeFileSync(backup, made.age_file);
  assert.match(String(made.age_file), /^-----BEGIN AGE ENCRYPTED FILE-----\n/);
  const plain = opened(backup, alice);
  assert.deepEqual(plain, opened(backup, bob));
  assert.throws(() => opened(backup, eve), /no identity matched/);
  const { private_key, ...rest } = JSON.parse(plain);
  assert.deepEqual(rest, { kind: "pursekeeper-wallet", version: 1, wallet: NAME, address });
  assert.deepEqual(await addressesOf(private_key), [address, address, address]);
});

test("a backup is sealed: age takes none that was changed", () => {
  const lines = String(readFileSync(backup)).split("\n");
  const file = join(directory, "changed.age");
  const middle = lines.length - 4; // of the part that is encrypted
  lines[middle] = `${lines[middle].startsWith("A") ? "B" : "A"}${lines[middle].slice(1)}`;
  writeFileSync(file, lines.join("\n"));
  assert.throws(() => opened(file, alice), /age: error/);
});

test("from then on it signs, and the seller is paid", async () => {
  assert.equal((await first.known()).backup, "done");
  await buys(first);
});

test("pursekeeper wallet backup writes the same, for its owner only and never over a file", async () => {
  const file = join(directory, "by-command.age");
  const words = ["wallet", "backup", NAME, "--out", file, "--reason", "a second one"];
  const answer = await operate(first, ...words);
  assert.deepEqual([answer.name, answer.address, answer.recipients], [NAME, address, [...recipients].sort()]);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  for (const person of [alice, bob]) assert.deepEqual(opened(file, person), opened(backup, person));
  assert.throws(() => opened(file, eve), /no identity matched/);
  const sealed = readFileSync(file);
  const again = await run(binary, [...words, ...first.config]);
  assert.deepEqual([again.code, readFileSync(file)], [1, sealed], again.errors);
});

const lost = "the disk was lost";
const byCommand = ({ identity }) =>
  ["wallet", "recover", NAME, "--backup", backup, "--identity", identity, "--reason", lost, "--yes"];

// Has age seal a key for a sidecar, or for whoever else can open what is for `recipient`.
async function deliver(purse, plain, recipient) {
  const { transport_recipient } = await purse.governance.status({});
  const sealed_key = age(["--encrypt", "--recipient", recipient ?? transport_recipient], plain);
  return purse.governance.recover({ wallet: NAME, sealed_key, reason: lost });
}

// Two ways to bring a key back, and what of each must fail. The second uses no program of ours: age opens the backup
// and seals it for the sidecar.
const ways = {
  "pursekeeper wallet recover": {
    recover: (purse) => operate(purse, ...byCommand(bob)),
    async fail(purse) {
      const { code, errors } = await run(binary, [...byCommand(eve), ...purse.config]);
      assert.equal(code, 1, errors);
      assert.equal((await purse.known()).journal, "active", "nothing was asked of the sidecar");
    },
  },
  "age and the API alone": {
    recover: async (purse) => allowed(await deliver(purse, opened(backup, alice))),
    async fail(purse) {
      const plain = opened(backup, alice);
      await assert.rejects(deliver(purse, plain, eve.recipient), { code: FAILED_PRECONDITION });
      const private_key = generatePrivateKey();
      const other = { ...JSON.parse(plain), private_key, address: privateKeyToAddress(private_key) };
      await assert.rejects(deliver(purse, JSON.stringify(other)), { code: FAILED_PRECONDITION });
    },
  },
};

for (const [way, { recover, fail }] of Object.entries(ways)) {
  test(`on another machine a wallet comes back by ${way}`, { timeout: 120_000 }, async (t) => {
    // It never had the key: a journal of its own, and a keystore in which the wallet has none.
    const prepare = (home) => rmSync(join(home, "keystore", `${NAME}.json`));
    const purse = await openPurse({ address, more: [], recipients, prepare });
    t.after(() => purse.stop());
    const file = join(purse.keystore, `${NAME}.json`);

    await t.test("without its key it signs nothing", async () => {
      assert.deepEqual([existsSync(file), (await purse.known()).key], [false, "absent"]);
      assert.equal(refused(await purse.signer.signPayment(await asked(weather))), "NOT_ACTIVE");
      assert.equal(refused(await purse.signer.signIn(signIn(weather))), "NOT_ACTIVE");
      await assert.rejects(purse.governance.backup({ subject: subject(), reason }), /no key/i);
    });

    await t.test("without the right key in the right hands nothing comes back", async () => {
      await fail(purse);
      assert.deepEqual([existsSync(file), (await purse.known()).key], [false, "absent"]);
    });

    await t.test("with its key it is suspended, and nothing of its ceilings is free", async () => {
      assert.equal((await recover(purse)).status, "suspended");
      const { status, key } = await purse.known();
      assert.deepEqual([status, key], ["suspended", "present"]);
      assert.equal(refused(await purse.signer.signPayment(await asked(weather))), "NOT_ACTIVE");
      const day = (await purse.governance.listBudgets({})).budgets.find(isDayOfWallet);
      assert.deepEqual([Number(day.limit), Number(day.free)], [1, 0]);
    });

    await t.test("the key file is the same key", async () => {
      const passphrase = readFileSync(join(purse.home, "passphrase"), "utf8").trimEnd();
      const opened = await Wallet.fromEncryptedJson(readFileSync(file, "utf8"), passphrase);
      assert.equal(opened.address, address);
    });

    await t.test("resumed and backed up from here, it signs, and the seller is paid", async () => {
      const resumed = allowed(await purse.governance.resume({ subject: subject(), reason: "we know what was spent" }));
      assert.equal(resumed.status, "active");
      // The backup was recorded by the machine that is lost.
      assert.equal(refused(await purse.signer.signPayment(await asked(weather))), "BACKUP_MISSING");
      allowed(await purse.governance.backup({ subject: subject(), reason }));
      const { isValid, payer } = await verify(await sign(purse, weather));
      assert.deepEqual([isValid, payer.toLowerCase()], [true, address.toLowerCase()]);
      await buys(purse);
      await purse.command("audit", "verify");
    });
  });
}

const isDayOfWallet = ({ scope, window }) => scope === "wallet" && window === "day";
