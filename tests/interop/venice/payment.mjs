// What a top-up carries: read in the form of either protocol version, and checked before anything goes to the
// facilitator. README.md says where each rule is from.

import { createHash } from "node:crypto";
import { isAddress, isAddressEqual } from "viem";

export const MINIMUM = 5_000_000n; // $5
export const MAXIMUM = 10_000_000_000n; // $10,000

// The names of version 1.
const ALIASES = { "eip155:8453": "base", "eip155:84532": "base-sepolia" };

// A top-up that is refused: `code` is Venice's.
export class TopUpError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const invalid = (code, message) => new TopUpError(400, code, message);

// Reads the header of a payment to `rail`, an entry of `accepts`.
//
// Venice's client (the v1 SDK with the version number 2) sends `{x402Version, scheme, network, payload}`, the v2 SDK
// `{x402Version, accepted, payload}`. The entry's amount is the least one may pay: how much it is, the payer says.
export function readPayment(header, rail) {
  const sent = decode(header);
  const { scheme, network, asset, payTo, amount } = sent.accepted ?? sent;
  const { signature, authorization } = sent.payload ?? {};
  if (scheme !== "exact") throw invalid("UNSUPPORTED_SCHEME", `Scheme ${scheme} is not supported`);
  if (network !== rail.network && network !== ALIASES[rail.network])
    throw invalid("UNSUPPORTED_NETWORK", `Network ${network} is not supported`);
  if (typeof signature !== "string" || typeof authorization !== "object" || authorization === null)
    throw invalid("INVALID_PAYMENT", "The payment has no signature or no authorization");
  if (asset !== undefined && !isSame(asset, rail.asset)) throw invalid("UNSUPPORTED_TOKEN", "The token is not USDC");
  if (!isSame(authorization.to, rail.payTo) || (payTo !== undefined && !isSame(payTo, rail.payTo)))
    throw invalid("INVALID_PAYMENT_RECIPIENT", "The payment is not to Venice");
  if (!isAddress(authorization.from ?? "", { strict: false }))
    throw invalid("INVALID_PAYMENT_PAYER", "The payer is not an address");
  const value = readAmount(authorization.value);
  if (amount !== undefined && amount !== authorization.value)
    throw invalid("INVALID_AMOUNT", "The authorization is for another amount than the accepted entry");
  const payer = authorization.from;
  return { id: idOf(rail, authorization), payer, value, ...asV2(rail, authorization, signature) };
}

function decode(header) {
  let sent;
  try {
    sent = JSON.parse(Buffer.from(header, "base64"));
  } catch {
    throw invalid("INVALID_PAYMENT_FORMAT", "The header is not JSON in base64");
  }
  if (typeof sent !== "object" || sent === null || ![1, 2].includes(sent.x402Version))
    throw invalid("INVALID_PAYMENT_FORMAT", "The header is no x402 payment");
  return sent;
}

function readAmount(text) {
  if (typeof text !== "string" || !/^(0|[1-9][0-9]*)$/.test(text))
    throw invalid("INVALID_AMOUNT", "The amount is not a number of base units");
  const value = BigInt(text);
  if (value < MINIMUM) throw invalid("AMOUNT_TOO_LOW", "The minimum top-up is $5");
  if (value > MAXIMUM) throw invalid("AMOUNT_TOO_HIGH", "The maximum top-up is $10,000");
  return value;
}

function isSame(claimed, address) {
  return isAddress(claimed ?? "", { strict: false }) && isAddressEqual(claimed, address);
}

// The same for every encoding of one authorization: the token executes it once.
function idOf({ network, asset }, { from, nonce }) {
  const parts = [network, asset, from, nonce].map((part) => String(part).toLowerCase());
  return `x402-${createHash("sha256").update(parts.join("\n")).digest("hex").slice(0, 32)}`;
}

// What the reference facilitator takes, about exactly the amount that was signed.
function asV2(rail, authorization, signature) {
  const paymentRequirements = { ...rail, amount: authorization.value };
  const payload = { signature, authorization };
  return { paymentRequirements, paymentPayload: { x402Version: 2, accepted: paymentRequirements, payload } };
}
