// A wallet is revoked while its payments are outside: what can be voided is voided on a real chain, what cannot dies or
// is settled, and the sidecar learns both from the chain alone.

import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  decodeFunctionData,
  encodeFunctionData,
  parseAbi,
  recoverMessageAddress,
  recoverTypedDataAddress,
  serializeSignature,
  toHex,
} from "viem";
import { approve, balance, costs, mint, peers, permit2Routes, routes } from "../client.mjs";
import {
  NAME,
  SKEW_SECS,
  allowed,
  asked,
  openPurse,
  refused,
  settle,
  sign,
  signIn,
  spend,
  subject,
  submit,
  verify,
} from "./purse.mjs";

const ABI = parseAbi([
  "function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)",
  "function transferWithAuthorization(address, address, uint256, uint256, uint256, bytes32, bytes signature)",
]);
const LIFE_SECS_MAX = 60; // `permit2_validity_secs_max`
const FUNDS = 1_000_000n;
const [weather, infer] = routes;
const [byPermit2] = permit2Routes;
const { payee } = weather;
const reason = "the key leaked";

let purse, cancelled;
const payments = []; // by EIP-3009: the first one is settled in time
const permits = {}; // by Permit2
let entered; // a sign-in

const voidable = () => payments.slice(1);
const sum = (list) => list.reduce((total, { route }) => total + route.price, 0n);

before(async () => {
  purse = await openPurse({});
  await mint(purse.address, FUNDS);
  await approve(purse.address, FUNDS);
});

after(() => purse?.stop());

test("the control: everything that was signed is good, and still outside", async () => {
  for (const route of [weather, infer, weather, infer, weather, weather]) payments.push(await sign(purse, route));
  const begun = Math.floor(Date.now() / 1000);
  permits.settled = await sign(purse, byPermit2);
  permits.dying = await sign(purse, byPermit2, { patience: 15 });
  for (const payment of [...payments, ...Object.values(permits)])
    assert.deepEqual([(await verify(payment)).isValid, payment.wallet_address], [true, purse.address]);
  for (const { valid_before } of Object.values(permits)) assert.ok(valid_before <= begun + LIFE_SECS_MAX + 1);
  entered = signIn(weather);
  const { message, headers } = allowed(await purse.signer.signIn(entered));
  const { signature } = JSON.parse(Buffer.from(headers[0].value, "base64"));
  assert.equal(await recoverMessageAddress({ message, signature }), purse.address);
  const { total } = await purse.governance.exposure({ subject: subject() });
  assert.deepEqual([total.signatures, total.cancellable], [8, 6]);
  assert.equal(Number(total.usd) * 1e6, Number(sum([...payments, ...Object.values(permits)])));
});

test("what is active cannot be voided as a whole: it would go on signing", async () => {
  const answer = await purse.governance.cancelOutstanding({ subject: subject(), reason });
  assert.equal(refused(answer), "SUBJECT_ACTIVE");
});

test("a revocation destroys the key and says what is outside", async () => {
  const file = join(purse.keystore, `${NAME}.json`);
  assert.ok(existsSync(file));
  const revoked = allowed(await purse.governance.revoke({ subject: subject(), reason }));
  assert.deepEqual([revoked.status, revoked.durable, revoked.already], ["revoked", true, false]);
  assert.equal(revoked.key, "destroyed");
  assert.deepEqual([revoked.exposure.signatures, revoked.exposure.cancellable], [8, 6]);
  assert.ok(!existsSync(file), "the key file is gone");
  const known = await purse.known();
  assert.deepEqual([known.status, known.journal, known.key], ["revoked", "revoked", "absent"]);
  const again = allowed(await purse.governance.revoke({ subject: subject(), reason }));
  assert.deepEqual([again.status, again.already, again.key], ["revoked", true, "absent"]);
});

test("the agent gets nothing any more: no payment, no retry, no preview, no sign-in", async () => {
  for (const route of [weather, infer, byPermit2]) {
    assert.equal(refused(await purse.signer.signPayment(await asked(route))), "NOT_ACTIVE");
    assert.equal(refused(await purse.signer.preview(await asked(route))), "NOT_ACTIVE");
  }
  for (const { request } of [...payments, ...Object.values(permits)])
    assert.equal(refused(await purse.signer.signPayment(request)), "NOT_ACTIVE");
  assert.equal(refused(await purse.signer.signIn(signIn(weather))), "NOT_ACTIVE");
  assert.equal(refused(await purse.signer.signIn(entered)), "NOT_ACTIVE");
});

test("no operator brings it back", async () => {
  for (const verb of ["resume", "suspend", "retire"])
    assert.equal(refused(await purse.governance[verb]({ subject: subject(), reason })), "REVOKED", verb);
});

test("nor gets it another key, or a backup of the one it had", async () => {
  const kept = readdirSync(purse.keystore);
  for (const verb of ["rotate", "backup"])
    assert.equal(refused(await purse.governance[verb]({ subject: subject(), reason })), "REVOKED", verb);
  assert.deepEqual(readdirSync(purse.keystore), kept);
});

test("what voids each payment is handed out after the key is gone, and what cannot be voided is named", async () => {
  cancelled = allowed(await purse.governance.cancelOutstanding({ subject: subject(), reason }));
  assert.deepEqual(cancelled.cancellations.map(({ decision_id }) => decision_id), payments.map((it) => it.decision_id));
  for (const [index, { network, asset, calldata, authorizer, nonce, signature }] of cancelled.cancellations.entries()) {
    const { authorization } = payments[index].payload.payload;
    assert.deepEqual([network, asset, authorizer], [peers.network, peers.asset, purse.address]);
    assert.equal(nonce, authorization.nonce);
    const { functionName, args } = decodeFunctionData({ abi: ABI, data: toHex(calldata) });
    const [from, voided, v, r, s] = args;
    assert.deepEqual([functionName, from, voided], ["cancelAuthorization", purse.address, nonce]);
    assert.equal(serializeSignature({ v: BigInt(v), r, s }), signature);
    assert.equal(await recoverTypedDataAddress({ ...cancelAuthorization(nonce), signature }), purse.address);
  }
  const left = Object.values(permits);
  assert.deepEqual(cancelled.not_cancellable.map(({ decision_id }) => decision_id), left.map((it) => it.decision_id));
  for (const { valid_before, held_until } of cancelled.not_cancellable) {
    assert.ok(valid_before <= Date.now() / 1000 + LIFE_SECS_MAX, "it dies within a minute");
    assert.equal(held_until, valid_before + SKEW_SECS);
  }
  const { signatures } = await purse.governance.exposure({ subject: subject() });
  const states = signatures.map(({ cancellation }) => cancellation);
  assert.deepEqual(states, [...payments.map(() => "signed"), "not-cancellable", "not-cancellable"]);
});

test("a payment that is settled first cannot be voided any more", () =>
  costs(payments[0].route.price, { payer: purse.address, payee }, async () => {
    const { success, transaction } = await settle(payments[0]);
    assert.ok(success && transaction);
    assert.equal(await submit(peers.asset, toHex(cancelled.cancellations[0].calldata)), false);
  }));

test("a payment that is voided first can be settled by nobody", async () => {
  const last = payments.at(-1);
  await costs(0n, { payer: purse.address, payee }, async () => {
    for (const { asset, calldata } of cancelled.cancellations.slice(1)) assert.ok(await submit(asset, toHex(calldata)));
    for (const payment of voidable()) {
      assert.equal((await verify(payment)).isValid, false);
      const { success, errorReason } = await settle(payment);
      assert.deepEqual([success, typeof errorReason], [false, "string"]);
    }
    assert.equal(await spend(last), 402, "nor by its seller");
    // Past the facilitator too, which only looks before: the token itself refuses.
    const { authorization, signature } = last.payload.payload;
    const args = ["from", "to", "value", "validAfter", "validBefore", "nonce"].map((field) => authorization[field]);
    const call = { abi: ABI, functionName: "transferWithAuthorization", args: [...args, signature] };
    assert.equal(await submit(peers.asset, encodeFunctionData(call)), false);
  });
});

test("a payment through Permit2 is settled although the wallet is revoked: only its deadline ends it", async () => {
  await costs(byPermit2.price, { payer: purse.address, payee: byPermit2.payee }, async () => {
    assert.equal((await settle(permits.settled)).success, true);
  });
  const begun = await balance(purse.address);
  assert.equal(await purse.fate(permits.dying), "released");
  assert.ok(Date.now() / 1000 > permits.dying.valid_before, "not before it is dead");
  assert.equal((await settle(permits.dying)).success, false);
  assert.equal(await balance(purse.address), begun);
});

test("the chain tells the sidecar what became of each, and no money is bound any more", async () => {
  const fates = [];
  for (const payment of payments) fates.push(await purse.fate(payment));
  assert.deepEqual(fates, ["settled", ...voidable().map(() => "released")]);
  assert.equal(await purse.fate(permits.settled), "settled");
  const earliest = Math.min(...voidable().map(({ valid_before }) => valid_before));
  assert.ok(Date.now() / 1000 < earliest, "long before they would have died");
  const { total, signatures } = await purse.governance.exposure({ subject: subject() });
  assert.deepEqual([total.signatures, total.until, signatures], [0, 0, []]);
  const { budgets } = await purse.governance.listBudgets({});
  const day = budgets.find(({ scope, window }) => scope === "wallet" && window === "day");
  const spent = sum([payments[0], permits.settled]);
  assert.deepEqual([Number(day.settled), Number(day.held)], [Number(spent) / 1e6, 0]);
  assert.equal(FUNDS - (await balance(purse.address)), spent);
  const rest = allowed(await purse.governance.cancelOutstanding({ subject: subject(), reason }));
  assert.deepEqual([rest.cancellations, rest.not_cancellable], [[], []]);
});

test("the audit trail verifies", () => purse.command("audit", "verify"));

// What the wallet signs to void a payment, as the token checks it.
function cancelAuthorization(nonce) {
  const fields = [
    { name: "authorizer", type: "address" },
    { name: "nonce", type: "bytes32" },
  ];
  return {
    domain: { name: "USDC", version: "2", chainId: peers.chainId, verifyingContract: peers.asset },
    types: { CancelAuthorization: fields },
    primaryType: "CancelAuthorization",
    message: { authorizer: purse.address, nonce },
  };
}
