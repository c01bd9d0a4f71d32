// What both test files need from the peers.

import assert from "node:assert/strict";

if (!process.env.PEERS) throw new Error("PEERS is not set: start the tests with ./run");
export const peers = JSON.parse(process.env.PEERS);

const weather = { method: "GET", price: 1_000n, reply: { weather: "sunny" } };

// Every paid route, with what it costs in atomic units.
export const routes = [
  { name: "v2 GET", ...weather, url: `${peers.v2.url}/weather`, payee: peers.v2.payee },
  {
    name: "v2 POST",
    method: "POST",
    url: `${peers.v2.url}/infer`,
    body: JSON.stringify({ prompt: "hello" }),
    payee: peers.v2.payee,
    price: 10_000n,
    reply: { echo: "hello" },
  },
  { name: "v1 GET", ...weather, url: `${peers.v1.url}/v1/weather`, payee: peers.v1.payee, v1: true },
];

// Paid like the others, and left out of the scope that the governed agent gets.
export const premium = {
  name: "v2 GET premium",
  method: "GET",
  url: `${peers.v2.url}/premium`,
  payee: peers.v2.payee,
  price: 2_000n,
  reply: { premium: true },
};

export async function mint(to, amount) {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ to, amount: String(amount) });
  const response = await fetch(`${peers.faucet}/mint`, { method: "POST", headers, body });
  assert.equal(response.status, 200, await response.text());
}

export async function balance(address) {
  const response = await fetch(`${peers.faucet}/balance/${address}`);
  return BigInt((await response.json()).balance);
}

// Runs `purchase` and checks that exactly `price`, in atomic units, went from `payer` to `payee`.
export async function costs(price, { payer, payee }, purchase) {
  const before = [await balance(payer), await balance(payee)];
  const result = await purchase();
  const after = [await balance(payer), await balance(payee)];
  assert.deepEqual([before[0] - after[0], after[1] - before[1]], [price, price], "what was paid and received");
  return result;
}
