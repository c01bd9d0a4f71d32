// What both test files need from the peers.

import assert from "node:assert/strict";

if (!process.env.PEERS) throw new Error("PEERS is not set: start the tests with ./run");
export const peers = JSON.parse(process.env.PEERS);

const weather = { method: "GET", price: 1_000n, reply: { weather: "sunny" } };
const infer = {
  method: "POST",
  body: JSON.stringify({ prompt: "hello" }),
  price: 10_000n,
  reply: { echo: "hello" },
};

// Every route that is paid by EIP-3009, with what it costs in atomic units.
export const routes = [
  { name: "v2 GET", ...weather, url: `${peers.v2.url}/weather`, payee: peers.v2.payee },
  { name: "v2 POST", ...infer, url: `${peers.v2.url}/infer`, payee: peers.v2.payee },
  { name: "v1 GET", ...weather, url: `${peers.v1.url}/v1/weather`, payee: peers.v1.payee, v1: true },
];

// Every route that is paid by Permit2. The buyer signs `maximum` and the seller takes `price`. Permit2 has to be
// allowed the maximum beforehand, unless the route is sponsored: there the buyer signs the allowance as well.
const exact = { maximum: weather.price };
const upto = { maximum: infer.price, price: 4_000n };
const sponsored = { payee: peers.sponsored.payee, sponsored: true };
export const permit2Routes = [
  { name: "Permit2 GET", ...weather, ...exact, url: `${peers.permit2.url}/weather`, payee: peers.permit2.payee },
  {
    name: "Permit2 POST",
    ...infer,
    maximum: infer.price,
    url: `${peers.permit2.url}/infer`,
    payee: peers.permit2.payee,
  },
  { name: "upto POST", ...infer, ...upto, url: `${peers.upto.url}/infer`, payee: peers.upto.payee },
  { name: "sponsored GET", ...weather, ...exact, ...sponsored, url: `${peers.sponsored.url}/weather` },
  { name: "sponsored upto POST", ...infer, ...upto, ...sponsored, url: `${peers.sponsored.url}/infer` },
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

export const mint = (to, amount) => post("mint", { to, amount: String(amount) });

// Lets Permit2 take up to `amount` from `owner`.
export const approve = (owner, amount) => post("approve", { owner, amount: String(amount) });

export const balance = async (address) => BigInt((await get(`balance/${address}`)).balance);

// What Permit2 may still take from `owner`.
export const allowance = async (owner) => BigInt((await get(`allowance/${owner}`)).allowance);

// The nonce of the next EIP-2612 permit of `owner`.
export const permitNonce = async (owner) => BigInt((await get(`permit-nonce/${owner}`)).nonce);

async function post(path, body) {
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${peers.faucet}/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  assert.equal(response.status, 200, await response.text());
}

async function get(path) {
  const response = await fetch(`${peers.faucet}/${path}`);
  assert.equal(response.status, 200);
  return response.json();
}

// Runs `purchase` and checks that exactly `price`, in atomic units, went from `payer` to `payee`.
export async function costs(price, { payer, payee }, purchase) {
  const before = [await balance(payer), await balance(payee)];
  const result = await purchase();
  const after = [await balance(payer), await balance(payee)];
  assert.deepEqual([before[0] - after[0], after[1] - before[1]], [price, price], "what was paid and received");
  return result;
}
