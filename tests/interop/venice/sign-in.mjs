// Venice's side of Sign-In-With-X: what it asks for, and which answers it takes. README.md says where that is from.

import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { verifyMessage } from "viem";

// The EIP-4361 grammar of Venice's own client: the package it brings along, wherever npm has put it.
const { SiweMessage } = createRequire(import.meta.resolve("venice-x402-client"))("siwe");

// Sign-ins name Base, whatever chain the money moves on.
export const SIGN_IN_CHAIN_ID = 8453;
export const STATEMENT = "Sign in to Venice AI";
export const SOLANA = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
const AGE_MS_MAX = 5 * 60_000;
const AHEAD_MS_MAX = 30_000;
const TIMESTAMP_MS_MAX = 30_000;

// An answer that is not accepted: `code` is Venice's, without its prefix.
export class SignInError extends Error {
  constructor(code, message) {
    super(message);
    this.code = `X402_SIGN_IN_${code}`;
  }
}

// What a 402 asks wallets to sign. The nonce is a proposal: clients may choose their own.
export function challenge(domain, uri, now) {
  const times = { issuedAt: new Date(now).toISOString(), expirationTime: new Date(now + AGE_MS_MAX).toISOString() };
  const chainId = `eip155:${SIGN_IN_CHAIN_ID}`;
  return {
    info: { domain, uri, version: "1", nonce: randomBytes(8).toString("hex"), ...times, statement: STATEMENT },
    supportedChains: [
      { chainId, type: "eip191" },
      { chainId, type: "eip1271" },
      { chainId: SOLANA, type: "ed25519" },
    ],
  };
}

// Checks headers, and remembers the nonces of those that were good: for ever, while Venice forgets them when nothing
// that carries them could still be accepted.
export class SignInVerifier {
  #domains;
  #now;
  #used = new Set();

  constructor(domains, now) {
    this.#domains = domains;
    this.#now = now;
  }

  // Returns the message that was signed. Its nonce is spent from then on, whatever becomes of the request.
  async verify(header) {
    const payload = decode(header);
    const text = messageOf(payload);
    const message = parse(text);
    if (message.address.toLowerCase() !== payload.address.toLowerCase())
      throw new SignInError("ADDRESS_MISMATCH", "The message is another address's");
    checkChain(payload, message);
    if (!this.#domains.some((domain) => isFor(message.domain, domain)))
      throw new SignInError("DOMAIN_MISMATCH", `The message is for ${message.domain}`);
    checkTimes(payload, message, this.#now());
    const { signature } = payload;
    const good = await verifyMessage({ address: message.address, message: text, signature }).catch(() => false);
    if (!good) throw new SignInError("INVALID_SIGNATURE", "The signature is not the address's");
    const use = `${message.address} ${message.nonce}`;
    if (this.#used.has(use)) throw new SignInError("NONCE_REUSED", "This nonce has already been used");
    this.#used.add(use);
    return message;
  }
}

function decode(header) {
  const bytes = Buffer.from(header, "base64");
  let payload;
  try {
    payload = JSON.parse(bytes);
  } catch {
    throw new SignInError("PARSE_ERROR", "The header is not JSON in base64");
  }
  // Node reads whatever it can; others do not.
  if (bytes.toString("base64") !== header) throw new SignInError("PARSE_ERROR", "The header is not padded base64");
  const isText = (value) => typeof value === "string" && value !== "";
  if (!isText(payload?.address) || !isText(payload.signature))
    throw new SignInError("INVALID_PAYLOAD", "Address or signature is missing");
  return payload;
}

// The text the client says it signed, or the one its fields make. A text built from fields is parsed like any other, so
// a line break in a field gains nothing.
function messageOf(payload) {
  if (typeof payload.message === "string") return payload.message;
  const { domain, address, uri, version = "1", nonce, issuedAt, chainId } = payload;
  const { statement, expirationTime, notBefore, requestId, resources } = payload;
  if (!nonce) throw new SignInError("MISSING_NONCE", "The nonce is missing");
  if (!domain || !uri || !issuedAt || !chainId)
    throw new SignInError("INVALID_PAYLOAD", "The message, or a field of it, is missing");
  const times = { issuedAt, expirationTime, notBefore };
  const fields = { domain, address, statement, uri, version, chainId: chainOf(chainId), nonce, ...times };
  try {
    return new SiweMessage({ ...fields, requestId, resources }).prepareMessage();
  } catch {
    throw new SignInError("INVALID_MESSAGE", "The fields make no EIP-4361 message");
  }
}

function parse(text) {
  try {
    return new SiweMessage(text);
  } catch {
    throw new SignInError("INVALID_MESSAGE", "The message is not EIP-4361");
  }
}

// `8453`, `"8453"` or `"eip155:8453"`.
function chainOf(chainId) {
  const digits = String(chainId).match(/^(?:eip155:)?([1-9][0-9]*)$/)?.[1];
  if (!digits) throw new SignInError("INVALID_CHAIN_ID", "Sign-in-with-X authentication failed");
  return Number(digits);
}

function checkChain(payload, message) {
  if (payload.chainId !== undefined && chainOf(payload.chainId) !== message.chainId)
    throw new SignInError("CHAIN_MISMATCH", "The message is for another chain than the header");
  if (message.chainId !== SIGN_IN_CHAIN_ID)
    throw new SignInError("UNSUPPORTED_CHAIN", `Chain ${message.chainId} is not supported`);
}

// Venice compares without scheme, port and path. A port counts only where we were told one: everything on loopback has
// the same name.
function isFor(claimed, domain) {
  const authority = claimed.replace(/^[a-z]+:\/\//, "").replace(/[/?#].*$/, "");
  const hasPort = /:\d+$/.test(domain);
  return (hasPort ? authority : authority.replace(/:\d+$/, "")) === domain;
}

function checkTimes(payload, message, now) {
  const issuedAt = Date.parse(message.issuedAt);
  const { timestamp } = payload;
  if (timestamp !== undefined && !(Math.abs(timestamp - issuedAt) <= TIMESTAMP_MS_MAX))
    throw new SignInError("TIMESTAMP_MISMATCH", "The timestamp is not the message's");
  if (issuedAt - now > AHEAD_MS_MAX) throw new SignInError("FUTURE_TIMESTAMP", "The message is from the future");
  if (now - issuedAt > AGE_MS_MAX || now >= Date.parse(message.expirationTime))
    throw new SignInError("EXPIRED", "The message has expired");
  if (now < Date.parse(message.notBefore)) throw new SignInError("NOT_BEFORE", "The message is not valid yet");
}
