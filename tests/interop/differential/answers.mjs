// Holds the answer to a case against what has to come of it: everything except whether the signatures are good.

import assert from "node:assert/strict";
import { getAddress } from "viem";
import { peers } from "../client.mjs";
import { members } from "./json.mjs";
import { PROXIES } from "./typed-data.mjs";
import { PERMIT2, SKEW_SECS, VALIDITY_SECS_MAX } from "./world.mjs";

const HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n;
const SPONSORING = ["from", "asset", "spender", "amount", "nonce", "deadline", "signature", "version"];
const nonces = new Set();

// `asked` are the seconds before and after the call. Returns the payload.
export function checkAnswer(it, signed, asked) {
  const { kind, wallet, position } = it;
  const text = signed.payload.toString();
  const payload = JSON.parse(text);
  const header = kind.version === 1 ? "X-PAYMENT" : "PAYMENT-SIGNATURE";
  assert.equal(signed.header_name, header);
  assert.equal(signed.header_value, signed.payload.toString("base64"));
  assert.deepEqual([signed.wallet_address, signed.offer_index], [wallet.address, position]);
  checkEchoes(it, text);
  checkTerms(it, payload, signed, asked);
  return payload;
}

// What the seller wrote comes back byte for byte.
function checkEchoes({ kind, entry, resource, extensions, request }, text) {
  const sent = members(text);
  if (kind.version === 1) {
    assert.deepEqual([...sent.keys()].sort(), ["network", "payload", "scheme", "x402Version"]);
    const words = ["x402Version", "scheme", "network"].map((name) => JSON.parse(sent.get(name)));
    return assert.deepEqual(words, [1, "exact", "base-sepolia"]);
  }
  assert.equal(sent.get("x402Version"), "2");
  assert.equal(sent.get("accepted"), entry);
  assert.equal(sent.get("resource"), resource);
  const known = ["x402Version", "accepted", "resource", "payload", "extensions"];
  assert.deepEqual([...sent.keys()].filter((name) => !known.includes(name)), []);
  if (extensions === undefined) return assert.equal(sent.get("extensions"), undefined);
  const added = addedTo(extensions, kind, request);
  if (Object.keys(added).length === 0) return assert.equal(sent.get("extensions"), extensions);
  const [declared, answered] = [members(extensions), members(sent.get("extensions"))];
  assert.deepEqual([...answered.keys()], [...declared.keys()]);
  for (const [name, extension] of declared) {
    if (!Object.hasOwn(added, name)) assert.equal(answered.get(name), extension);
    else checkFilled(members(extension), members(answered.get(name)), added[name]);
  }
}

// Which members of which extensions are ours to fill, and with what, if that is known beforehand.
function addedTo(extensions, { sponsored }, { request_id }) {
  const { "payment-identifier": identifier } = JSON.parse(extensions);
  const isId = /^[A-Za-z0-9_-]{16,128}$/.test(request_id);
  const asksForId = identifier !== undefined && !Object.hasOwn(identifier.info, "id");
  return {
    ...(asksForId && { "payment-identifier": { id: isId ? request_id : /^pk_[0-9a-f]{32}$/ } }),
    ...(sponsored && { eip2612GasSponsoring: Object.fromEntries(SPONSORING.map((name) => [name, /^/])) }),
  };
}

function checkFilled(declared, answered, added) {
  const without = (map) => [...map].filter(([name]) => name !== "info").sort();
  assert.deepEqual(without(answered), without(declared));
  const theirs = declared.has("info") ? members(declared.get("info")) : new Map();
  const info = members(answered.get("info"));
  for (const [name, value] of theirs) assert.equal(info.get(name), value);
  const ours = Object.entries(added).filter(([name]) => !theirs.has(name));
  assert.deepEqual([...info.keys()].sort(), [...theirs.keys(), ...ours.map(([name]) => name)].sort());
  for (const [name, value] of ours) {
    const text = JSON.parse(info.get(name));
    if (value instanceof RegExp) assert.match(text, value);
    else assert.equal(text, value);
  }
}

// The payload says what the requirement says, and lives as long as it may.
function checkTerms({ kind, asset, wallet, payee, amount, timeout, nonce, extensions }, payload, signed, asked) {
  const { signature, authorization, permit2Authorization } = payload.payload;
  assert.deepEqual(Object.keys(payload.payload), [
    "signature",
    kind.method === "eip3009" ? "authorization" : "permit2Authorization",
  ]);
  checkSignature(signature);
  const secs = Math.min(Number(timeout), VALIDITY_SECS_MAX[kind.method]);
  const end = signed.valid_before;
  assert.ok(end >= asked[0] + secs && end <= asked[1] + secs, `${end} is not ${secs} s after ${asked}`);
  const validAfter = String(end - secs - SKEW_SECS);
  const [from, to, value] = [wallet.address, getAddress(payee), String(amount)];
  if (kind.method === "eip3009") {
    const { nonce: drawn, ...rest } = authorization;
    assert.match(drawn, /^0x[0-9a-f]{64}$/);
    isNew(BigInt(drawn));
    return assert.deepEqual(rest, { from, to, value, validAfter, validBefore: String(end) });
  }
  const { nonce: drawn, ...rest } = permit2Authorization;
  isNew(BigInt(drawn));
  assert.equal(drawn, String(BigInt(drawn)));
  const deadline = String(end - 1);
  const token = getAddress(asset.address);
  const permitted = { token, amount: value };
  const spender = PROXIES[kind.scheme];
  const facilitator = kind.scheme === "upto" && { facilitator: getAddress(peers.facilitatorAddress) };
  assert.deepEqual(rest, { from, permitted, spender, deadline, witness: { to, ...facilitator, validAfter } });
  if (!kind.sponsored) return assert.ok(!("signature" in (payload.extensions?.eip2612GasSponsoring?.info ?? {})));
  const { info } = payload.extensions.eip2612GasSponsoring;
  const said = JSON.parse(extensions).eip2612GasSponsoring.info?.version ?? "1";
  const permit = { from, asset: token, spender: PERMIT2, amount: value, nonce: String(nonce), deadline };
  const filled = Object.fromEntries(SPONSORING.map((name) => [name, info[name]]));
  assert.deepEqual(filled, { ...permit, signature: info.signature, version: said });
  checkSignature(info.signature);
}

// r‖s‖v as tokens take it: v is 27 or 28, s the smaller of two.
function checkSignature(signature) {
  assert.match(signature, /^0x[0-9a-f]{128}(1b|1c)$/);
  assert.ok(BigInt(`0x${signature.slice(66, 130)}`) <= HALF_ORDER);
}

function isNew(nonce) {
  assert.ok(!nonces.has(nonce), "a nonce was drawn twice");
  nonces.add(nonce);
}
