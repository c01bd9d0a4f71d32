// The control: the reference clients, holding a plain private key, buy from the same peers. When this fails, the peers
// are wrong, and nothing that suite.mjs says about Pursekeeper counts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { decodePaymentRequiredHeader, encodePaymentSignatureHeader } from "@x402/core/http";
import {
  ExactEvmScheme,
  PERMIT2_ADDRESS,
  UptoEvmScheme,
  x402ExactPermit2ProxyABI,
  x402ExactPermit2ProxyAddress,
  x402UptoPermit2ProxyABI,
  x402UptoPermit2ProxyAddress,
} from "@x402/evm";
import { decodePaymentResponseHeader, wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { createWalletClient, http, parseAbi, parseSignature, publicActions } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { baseSepolia } from "viem/chains";
import { createSigner, decodeXPaymentResponse, wrapFetchWithPayment as wrapFetchWithPaymentV1 } from "x402-fetch";
import { allowance, approve, costs, peers, permit2Routes, permitNonce, premium, routes } from "./client.mjs";

const account = privateKeyToAccount(peers.buyer.privateKey);
const payer = account.address;
const stranger = "0x00000000000000000000000000000000DeaDBeef";
const transport = http(peers.rpc);
const node = createWalletClient({ account, chain: baseSepolia, transport, pollingInterval: 20 }).extend(publicActions);

const client = new x402Client()
  .register(peers.network, new ExactEvmScheme(account, { rpcUrl: peers.rpc }))
  .register(peers.network, new UptoEvmScheme(account, { rpcUrl: peers.rpc }));
const fetchV2 = wrapFetchWithPayment(fetch, client);
const fetchV1 = wrapFetchWithPaymentV1(fetch, await createSigner("base-sepolia", peers.buyer.privateKey));

const request = ({ method, body }) => ({ method, body, headers: body ? { "content-type": "application/json" } : {} });

for (const route of [...routes, premium, ...permit2Routes]) {
  const { name, url, price, maximum = price, reply, v1, sponsored } = route;
  const byPermit2 = permit2Routes.includes(route);

  test(`the reference client buys ${name}`, async () => {
    await approve(payer, byPermit2 && !sponsored ? maximum : 0n);
    const permits = await permitNonce(payer);
    const payingFetch = v1 ? fetchV1 : fetchV2;
    const response = await costs(price, { payer, ...route }, () => payingFetch(url, request(route)));
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), reply);
    const settlement = v1
      ? decodeXPaymentResponse(response.headers.get("X-PAYMENT-RESPONSE"))
      : decodePaymentResponseHeader(response.headers.get("PAYMENT-RESPONSE"));
    assert.equal(settlement.success, true);
    assert.equal(settlement.payer.toLowerCase(), payer.toLowerCase());
    assert.equal(await allowance(payer), byPermit2 ? maximum - price : 0n);
    assert.equal(await permitNonce(payer), sponsored ? permits + 1n : permits);
    // `upto` alone has to say what it took.
    assert.equal(settlement.amount, maximum === price ? undefined : String(price));
  });
}

const [permit2, , upto, sponsored] = permit2Routes;

// Signs a payment without sending it. `offer` alters what the client is told, as a hostile seller would, and `payment`
// what it has signed. Either way the payment claims to answer the real offer.
async function sign(route, { offer = () => {}, payment = () => {} } = {}) {
  const response = await fetch(route.url, request(route));
  const required = decodePaymentRequiredHeader(response.headers.get("PAYMENT-REQUIRED"));
  const [accepted] = structuredClone(required.accepts);
  offer(required.accepts[0]);
  const signed = { ...(await client.createPaymentPayload(required)), accepted };
  payment(signed);
  return signed;
}

function send(route, payment) {
  const { headers, ...rest } = request(route);
  const header = { "PAYMENT-SIGNATURE": encodePaymentSignatureHeader(payment) };
  return fetch(route.url, { ...rest, headers: { ...headers, ...header } });
}

async function spent(route) {
  const payment = await sign(route);
  assert.equal((await send(route, payment)).status, 200);
  return payment;
}

async function invalidated(route) {
  const payment = await sign(route);
  const nonce = BigInt(payment.payload.permit2Authorization.nonce);
  const hash = await node.writeContract({
    address: PERMIT2_ADDRESS,
    abi: parseAbi(["function invalidateUnorderedNonces(uint256 word, uint256 mask)"]),
    functionName: "invalidateUnorderedNonces",
    args: [nonce >> 8n, 1n << (nonce & 0xffn)],
    gasPrice: 0n,
  });
  assert.equal((await node.waitForTransactionReceipt({ hash })).status, "success");
  return payment;
}

// A peer that takes any payload would prove nothing. Permit2 is allowed enough for two payments, or what is `allowed`.
const refusals = [
  {
    name: "a replayed payment",
    route: premium,
    payment: () => spent(premium),
    reason: "invalid_exact_evm_nonce_already_used",
  },
  {
    name: "a payment whose nonce was changed",
    route: premium,
    payment: () => sign(premium, { payment: (it) => (it.payload.authorization.nonce = `0x${"11".repeat(32)}`) }),
    reason: "invalid_exact_evm_signature",
  },
  {
    name: "a replayed Permit2 payment",
    route: permit2,
    payment: () => spent(permit2),
    reason: "permit2_simulation_failed",
  },
  {
    name: "a Permit2 payment that was invalidated",
    route: permit2,
    payment: () => invalidated(permit2),
    reason: "permit2_simulation_failed",
  },
  {
    name: "a Permit2 payment to somebody else",
    route: permit2,
    payment: () => sign(permit2, { offer: (it) => (it.payTo = stranger) }),
    reason: "invalid_permit2_recipient_mismatch",
  },
  {
    name: "a Permit2 payment that was signed for somebody else",
    route: permit2,
    payment: () =>
      sign(permit2, {
        offer: (it) => (it.payTo = stranger),
        payment: (it) => (it.payload.permit2Authorization.witness.to = permit2.payee),
      }),
    reason: "invalid_permit2_signature",
  },
  {
    name: "a Permit2 payment without an allowance",
    route: permit2,
    allowed: permit2.maximum - 1n,
    payment: () => sign(permit2),
    status: 412,
    reason: "permit2_allowance_required",
  },
  {
    name: "a Permit2 payment that is about to expire",
    route: permit2,
    payment: () => sign(permit2, { offer: (it) => (it.maxTimeoutSeconds = 5) }),
    reason: "permit2_deadline_expired",
  },
  {
    name: "an upto payment for another facilitator",
    route: upto,
    payment: () => sign(upto, { offer: (it) => (it.extra.facilitatorAddress = stranger) }),
    reason: "upto_facilitator_mismatch",
  },
  {
    name: "an upto payment that was signed for another facilitator",
    route: upto,
    payment: () =>
      sign(upto, {
        offer: (it) => (it.extra.facilitatorAddress = stranger),
        payment: (it) => (it.payload.permit2Authorization.witness.facilitator = peers.facilitatorAddress),
      }),
    reason: "invalid_permit2_signature",
  },
  {
    name: "an upto payment of less than the maximum",
    route: upto,
    payment: () => sign(upto, { offer: (it) => (it.amount = String(upto.price)) }),
    reason: "permit2_amount_mismatch",
  },
  {
    name: "a sponsored payment without what the seller said of the extension",
    route: sponsored,
    allowed: 0n,
    payment: () =>
      sign(sponsored, { payment: (it) => delete it.extensions.eip2612GasSponsoring.info.description }),
    reason: "extension_echo_mismatch",
  },
  {
    name: "a sponsored payment without a permit",
    route: sponsored,
    allowed: 0n,
    payment: () => sign(sponsored, { payment: (it) => delete it.extensions }),
    status: 412,
    reason: "permit2_allowance_required",
  },
  {
    // What is wrong with a permit shows in the simulation alone; the facilitator then looks at the allowance.
    name: "a sponsored payment with a permit of more",
    route: sponsored,
    allowed: 0n,
    payment: () =>
      sign(sponsored, { payment: (it) => (it.extensions.eip2612GasSponsoring.info.amount += "0") }),
    status: 412,
    reason: "permit2_allowance_required",
  },
];
for (const { name, route, allowed = 2n * (route.maximum ?? 0n), payment, status = 402, reason } of refusals) {
  test(`the seller refuses ${name}`, async () => {
    await approve(payer, allowed);
    const refused = await payment();
    const response = await costs(0n, { payer, ...route }, () => send(route, refused));
    assert.equal(response.status, status);
    assert.equal(decodePaymentRequiredHeader(response.headers.get("PAYMENT-REQUIRED")).error, reason);
  });
}

// The facilitator looks at most of a payment by itself. These ask the contracts, who have the last word.
const errors = parseAbi(["error InvalidSigner()", "error InvalidNonce()", "error SignatureExpired(uint256)"]);
const exactProxy = { address: x402ExactPermit2ProxyAddress, abi: [...x402ExactPermit2ProxyABI, ...errors] };
const uptoProxy = { address: x402UptoPermit2ProxyAddress, abi: [...x402UptoPermit2ProxyABI, ...errors] };

// What the facilitator would hand to the proxy.
function settlement({ payload, extensions }) {
  const { from, permitted, nonce, deadline, witness } = payload.permit2Authorization;
  const info = extensions?.eip2612GasSponsoring.info;
  return {
    caller: peers.facilitatorAddress,
    permit2612: info && { ...parseSignature(info.signature), value: info.amount, deadline: info.deadline },
    permit: { permitted, nonce, deadline },
    amount: permitted.amount,
    owner: from,
    witness,
    signature: payload.signature,
  };
}

function settle(proxy, { caller, permit2612, permit, amount, owner, witness, signature }) {
  const args = [permit, ...(proxy === uptoProxy ? [amount] : []), owner, witness, signature];
  return node.simulateContract({
    ...proxy,
    account: caller,
    functionName: permit2612 ? "settleWithPermit" : "settle",
    args: permit2612 ? [permit2612, ...args] : args,
  });
}

const reverts = [
  [permit2, exactProxy, "another payee", "InvalidSigner", ({ witness }) => (witness.to = stranger)],
  [permit2, exactProxy, "another amount", "InvalidSigner", ({ permit }) => (permit.permitted.amount = "1")],
  [permit2, exactProxy, "another nonce", "InvalidSigner", ({ permit }) => (permit.nonce = "1")],
  [permit2, exactProxy, "a later deadline", "InvalidSigner", ({ permit }) => (permit.deadline += "0")],
  [permit2, exactProxy, "a deadline in the past", "SignatureExpired", ({ permit }) => (permit.deadline = "1")],
  [permit2, exactProxy, "a later start", "PaymentTooEarly", (it) => (it.witness.validAfter = it.permit.deadline)],
  [permit2, exactProxy, "another start", "InvalidSigner", ({ witness }) => (witness.validAfter = "1")],
  [permit2, exactProxy, "nobody as the payee", "InvalidDestination", (it) => (it.witness.to = `0x${"0".repeat(40)}`)],
  [upto, uptoProxy, "another caller", "UnauthorizedFacilitator", (it) => (it.caller = stranger)],
  [upto, uptoProxy, "another facilitator", "InvalidSigner", (it) => (it.witness.facilitator = it.caller = stranger)],
  [upto, uptoProxy, "more than the maximum", "AmountExceedsPermitted", (it) => (it.amount = String(upto.maximum + 1n))],
  [sponsored, exactProxy, "a permit of more", "Permit2612AmountMismatch", (it) => (it.permit2612.value += "0")],
  [sponsored, exactProxy, "another permit", "FiatTokenV2: invalid signature", (it) => (it.permit2612.deadline += "0")],
];
for (const [route, proxy, name, error, change] of reverts) {
  test(`the contracts refuse ${route.name} with ${name}`, async () => {
    await approve(payer, route.sponsored ? 0n : route.maximum);
    const it = settlement(await sign(route));
    await settle(proxy, it); // as it was signed, it would be settled
    change(it);
    await assert.rejects(settle(proxy, it), ({ message }) => message.includes(error));
  });
}

test("the contracts refuse a nonce that was spent", async () => {
  await approve(payer, 2n * permit2.maximum);
  const it = settlement(await spent(permit2));
  await assert.rejects(settle(exactProxy, it), ({ message }) => message.includes("InvalidNonce()"));
});
