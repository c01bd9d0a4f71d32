// The control: the reference clients, holding a plain private key, buy from the same peers. When this fails, the peers
// are wrong, and nothing that suite.mjs says about Pursekeeper counts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ExactEvmScheme } from "@x402/evm";
import { decodePaymentResponseHeader, wrapFetchWithPaymentFromConfig } from "@x402/fetch";
import { privateKeyToAccount } from "viem/accounts";
import { createSigner, decodeXPaymentResponse, wrapFetchWithPayment } from "x402-fetch";
import { balance, costs, peers, premium, routes } from "./client.mjs";

const account = privateKeyToAccount(peers.buyer.privateKey);
const payer = account.address;

// The header of the last v2 payment, to be replayed.
let sent;

const schemes = [{ network: peers.network, client: new ExactEvmScheme(account) }];
const fetchV2 = wrapFetchWithPaymentFromConfig((input, init) => {
  const request = new Request(input, init);
  sent = request.headers.get("PAYMENT-SIGNATURE") ?? sent;
  return fetch(request);
}, { schemes });
const fetchV1 = wrapFetchWithPayment(fetch, await createSigner("base-sepolia", peers.buyer.privateKey));

for (const { name, method, url, body, payee, price, reply, v1 } of [...routes, premium]) {
  test(`the reference client buys ${name}`, async () => {
    const headers = body ? { "content-type": "application/json" } : {};
    const payingFetch = v1 ? fetchV1 : fetchV2;
    const response = await costs(price, { payer, payee }, () => payingFetch(url, { method, headers, body }));
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), reply);
    const settlement = v1
      ? decodeXPaymentResponse(response.headers.get("X-PAYMENT-RESPONSE"))
      : decodePaymentResponseHeader(response.headers.get("PAYMENT-RESPONSE"));
    assert.equal(settlement.success, true);
    assert.equal(settlement.payer.toLowerCase(), payer.toLowerCase());
  });
}

// A peer that takes any payload would prove nothing.
const tampered = {
  "a replayed payment": (payment) => payment,
  "a payment whose nonce was changed": (payment) => {
    payment.payload.authorization.nonce = `0x${"11".repeat(32)}`;
    return payment;
  },
};
for (const [name, change] of Object.entries(tampered)) {
  test(`the seller refuses ${name}`, async () => {
    const { url, payee } = premium;
    const payment = change(JSON.parse(Buffer.from(sent, "base64")));
    const header = Buffer.from(JSON.stringify(payment)).toString("base64");
    const before = await balance(payee);
    const response = await fetch(url, { headers: { "PAYMENT-SIGNATURE": header } });
    assert.equal(response.status, 402);
    assert.equal(await balance(payee), before);
  });
}
