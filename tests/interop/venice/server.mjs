// Venice's x402 API on loopback, as its documents and its client describe it: prepaid credit for a wallet, top-ups that
// are really settled by the reference facilitator, and a Sign-In-With-X for each request. README.md says what is
// documented and what is assumed.

import express from "express";
import { createPublicClient, http, isAddress, parseAbi } from "viem";
import { MINIMUM, TopUpError, readPayment } from "./payment.mjs";
import { SOLANA, SignInError, SignInVerifier, challenge } from "./sign-in.mjs";

const SUGGESTED = 10_000_000n; // $10
const ADMISSION = 100_000n; // $0.10
const PAYMENT_HEADERS = ["payment-signature", "x-402-payment", "x-payment"];
const SIGN_IN_HEADERS = ["sign-in-with-x", "x-sign-in-with-x"];

// Stand-ins: nobody pays here, but clients have to step over the entry.
const SOLANA_RAIL = {
  asset: "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
  payTo: "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T",
  feePayer: "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin",
};

// The routes that cost money: what they answer, and for how much, in base units.
const INFERENCE = { "/api/v1/chat/completions": chatCompletion, "/api/v1/embeddings": embeddings };
const PRICES = { "/api/v1/chat/completions": 12_300n, "/api/v1/embeddings": 4_500n };

// Options:
// - `rpc`, `facilitator`: URLs of the chain and of the reference facilitator;
// - `payee`, `asset`, `network`: who is paid, in which token (with EIP-3009), where (CAIP-2);
// - `domains`: what sign-ins may be for, by default our host and port; the first is the one we ask for;
// - `prices`: by path, in base units;
// - `balanceHeader`: whether to send X-Balance-Remaining, which is documented and not always sent;
// - `now`: the clock, in milliseconds.
export async function startVenice(options) {
  const { rpc, facilitator, payee, asset, network, domains, balanceHeader = true, now = Date.now } = options;
  const prices = { ...PRICES, ...options.prices };
  const extra = await nameOf(rpc, asset);
  const app = express().disable("x-powered-by");
  const server = await listen(app);
  const host = `127.0.0.1:${server.address().port}`;
  const url = `http://${host}`;
  const allowed = domains ?? [host];
  const rail = { scheme: "exact", network, asset, payTo: payee, maxTimeoutSeconds: 300, extra };
  const books = new Books();
  const verifier = new SignInVerifier(allowed, now);
  const site = { url, rail, domain: allowed[0], now, balanceHeader, books, verifier, signIns: [], lateness: undefined };

  app.post("/api/v1/x402/top-up", (req, res) => topUp(site, facilitator, req, res));
  app.get("/api/v1/x402/balance/:wallet", (req, res) => balance(site, req, res));
  app.get("/api/v1/x402/transactions/:wallet", (req, res) => transactions(site, req, res));
  for (const [path, reply] of Object.entries(INFERENCE))
    app.post(path, express.json(), (req, res) => inference(site, { price: prices[path], reply }, req, res));
  app.use(failed);

  return {
    url,
    host,
    domain: site.domain,
    payee,
    asset,
    network,
    prices,
    // Credit of a wallet, in base units.
    creditOf: (wallet) => books.creditOf(wallet),
    // Gives credit without a payment, as Venice's support may.
    give: (wallet, amount) => books.enter(wallet, "TOP_UP", BigInt(amount), now()),
    // Every signed payment that was good enough to be settled, once: {id, payer, value, header, status, transaction}.
    payments: () => [...books.payments.values()].map((payment) => ({ ...payment })),
    // Every sign-in that was accepted: {path, header, message}.
    signIns: () => [...site.signIns],
    // The next payment is answered 504 SETTLEMENT_TIMEOUT, and settles when `land` is called, if ever.
    timeOutNextSettlement() {
      const lateness = { settle: () => Promise.reject(new Error("no settlement has timed out yet")) };
      site.lateness = lateness;
      return { land: () => lateness.settle() };
    },
    close: () => new Promise((resolve) => server.close(resolve).closeAllConnections()),
  };
}

// Who has how much, and what was paid in.
class Books {
  // Payments by id: {id, payer, value, header, status: "settling" | "settled", transaction}. One whose settlement
  // failed is not kept: it may be sent again.
  payments = new Map();
  #credit = new Map();
  #entries = [];

  creditOf(wallet) {
    return this.#credit.get(wallet.toLowerCase()) ?? 0n;
  }

  // Newest first.
  entriesOf(wallet) {
    return this.#entries.filter((entry) => entry.wallet === wallet.toLowerCase()).reverse();
  }

  // Takes no more than there is.
  charge(wallet, price, now, request) {
    const credit = this.creditOf(wallet);
    this.enter(wallet, "CHARGE", -(price < credit ? price : credit), now, request);
  }

  enter(wallet, type, amount, now, { requestId = null, modelId = null } = {}) {
    const balanceAfter = this.creditOf(wallet) + amount;
    this.#credit.set(wallet.toLowerCase(), balanceAfter);
    const id = crypto.randomUUID();
    const createdAt = new Date(now).toISOString();
    const amounts = { amount: usd(amount), balanceAfter: usd(balanceAfter) };
    this.#entries.push({ wallet: wallet.toLowerCase(), row: { id, ...amounts, type, createdAt, requestId, modelId } });
  }
}

async function topUp(site, facilitator, req, res) {
  const header = PAYMENT_HEADERS.find((name) => req.headers[name]);
  // Without `resource` and `error`; the body is the same.
  if (!header) return paymentRequired(res, { x402Version: 2, accepts: accepts(site.rail, MINIMUM, SOLANA) });
  const { id, payer, value, ...request } = readPayment(req.headers[header], site.rail);
  const { payments } = site.books;
  if (payments.get(id)?.status === "settling")
    throw new TopUpError(409, "PAYMENT_IN_PROGRESS", "This payment is being settled");
  if (payments.has(id)) throw new TopUpError(409, "PAYMENT_ALREADY_PROCESSED", "This payment was credited before");
  const payment = { id, payer, value, header, status: "settling" };
  payments.set(id, payment);
  const { isValid, invalidReason } = await post(`${facilitator}/verify`, request);
  if (!isValid) {
    payments.delete(id);
    throw new TopUpError(400, "PAYMENT_VERIFICATION_FAILED", invalidReason);
  }
  if (site.lateness) {
    site.lateness.settle = () => settle(site, facilitator, request, payment);
    site.lateness = undefined;
    throw new TopUpError(504, "SETTLEMENT_TIMEOUT", "The settlement timed out; the transfer may still land");
  }
  const settlement = await settle(site, facilitator, request, payment);
  const amounts = { amountCredited: usd(value), newBalance: usd(site.books.creditOf(payer)) };
  res.set("PAYMENT-RESPONSE", encode(settlement));
  res.json({ success: true, data: { walletAddress: payer, ...amounts, paymentId: id } });
}

async function settle({ books, now }, facilitator, request, payment) {
  const { success, transaction, network, payer, errorReason } = await post(`${facilitator}/settle`, request);
  if (!success) {
    books.payments.delete(payment.id);
    throw new TopUpError(402, "SETTLEMENT_FAILED", errorReason);
  }
  books.enter(payment.payer, "TOP_UP", payment.value, now());
  Object.assign(payment, { status: "settled", transaction });
  return { success, network, payer, transaction };
}

async function inference(site, { price, reply }, req, res) {
  if (PAYMENT_HEADERS.some((name) => req.headers[name]))
    return res.status(400).json({ error: "Payments are for top-ups only", code: "PAYMENT_HEADER_NOT_ACCEPTED" });
  const wallet = await signedIn(site, req);
  if (!wallet) return authenticationRequired(site, accepts(site.rail, SUGGESTED, "solana"), req, res);
  if (site.books.creditOf(wallet) < ADMISSION) return insufficient(site, wallet, req, res);
  if (typeof req.body?.model !== "string") return res.status(400).json({ error: "model is required" });
  const answer = reply(req.body, site.now());
  site.books.charge(wallet, price, site.now(), { requestId: answer.id ?? null, modelId: req.body.model });
  if (site.balanceHeader) res.set("X-Balance-Remaining", usd(site.books.creditOf(wallet)).toFixed(6));
  res.json(answer);
}

async function balance(site, req, res) {
  const walletAddress = await owner(site, "balance", req, res);
  if (!walletAddress) return;
  const credit = site.books.creditOf(walletAddress);
  const amounts = { balanceUsd: usd(credit), minimumTopUpUsd: usd(MINIMUM), suggestedTopUpUsd: usd(SUGGESTED) };
  res.json({ success: true, data: { walletAddress, canConsume: credit >= ADMISSION, ...amounts } });
}

async function transactions(site, req, res) {
  const walletAddress = await owner(site, "transaction history", req, res);
  if (!walletAddress) return;
  const { limit = "50", offset = "0" } = req.query;
  const isCount = (text) => /^(0|[1-9][0-9]*)$/.test(text);
  if (!isCount(limit) || !isCount(offset) || limit < 1 || limit > 100)
    return res.status(400).json({ error: "Invalid request parameters" });
  const [from, to] = [Number(offset), Number(offset) + Number(limit)];
  const rows = site.books.entriesOf(walletAddress).map(({ row }) => row);
  const pagination = { limit: Number(limit), offset: from, hasMore: rows.length > to };
  const currentBalance = usd(site.books.creditOf(walletAddress));
  res.json({ success: true, data: { walletAddress, currentBalance, transactions: rows.slice(from, to), pagination } });
}

// The wallet of the path, if its owner asks; otherwise the answer is written. These routes say less than the others
// about what is wrong with a sign-in.
async function owner(site, what, req, res) {
  const { wallet } = req.params;
  if (!isAddress(wallet, { strict: false })) return void res.status(400).json({ error: "Invalid wallet address" });
  let signer;
  try {
    signer = await signedIn(site, req);
  } catch (error) {
    if (!(error instanceof SignInError)) throw error;
    return void res.status(401).json({ error: "Invalid Sign-in-with-x signature" });
  }
  if (!signer) return void authenticationRequired(site, [], req, res);
  if (signer.toLowerCase() === wallet.toLowerCase()) return wallet;
  res.status(403).json({ error: `You can only access ${what} for your own wallet` });
}

// Who signed the request, or undefined if nobody did.
async function signedIn({ verifier, signIns }, req) {
  const header = SIGN_IN_HEADERS.find((name) => req.headers[name]);
  if (!header) return undefined;
  const message = await verifier.verify(req.headers[header]);
  signIns.push({ path: req.path, header, message });
  return message.address;
}

// Nobody signed: the body is what the header says, and how else one may come in.
function authenticationRequired(site, entries, req, res) {
  const required = challenged(site, "Authentication required", entries, req);
  const apiKey = { header: "Authorization: Bearer YOUR_API_KEY" };
  const x402Wallet = { header: "SIGN-IN-WITH-X", legacyHeader: "X-Sign-In-With-X", topUp: "POST /api/v1/x402/top-up" };
  paymentRequired(res, required, { ...required, authOptions: { apiKey, x402Wallet } });
}

// The wallet is known, and has too little: the body says how to top up, in words for the first rail only.
function insufficient(site, wallet, req, res) {
  const required = challenged(site, "Payment required", accepts(site.rail, SUGGESTED, "solana"), req);
  const { payTo: receiverWallet, asset: tokenAddress, network } = site.rail;
  const body = {
    error: "Payment required",
    code: "PAYMENT_REQUIRED",
    reason: "insufficient_balance",
    currentBalanceUsd: usd(site.books.creditOf(wallet)),
    minimumBalanceUsd: usd(ADMISSION),
    description: "Venice API",
    suggestedTopUpUsd: usd(SUGGESTED),
    minimumTopUpUsd: usd(MINIMUM),
    supportedTokens: ["USDC"],
    supportedChains: ["base", "solana"],
    topUpInstructions: {
      step1: "POST /api/v1/x402/top-up without a payment header",
      step2: "Sign a USDC transfer authorization for an entry of accepts",
      step3: "POST /api/v1/x402/top-up with it in the X-402-Payment header",
      receiverWallet,
      tokenAddress,
      tokenDecimals: 6,
      network,
      minimumAmountUsd: usd(MINIMUM),
    },
    siwxChallenge: required.extensions["sign-in-with-x"],
  };
  paymentRequired(res, required, body);
}

function challenged({ url, domain, now }, error, entries, req) {
  const resource = { url: `${url}${req.originalUrl}`, description: "Venice API", mimeType: "application/json" };
  const extensions = { "sign-in-with-x": challenge(domain, resource.url, now()) };
  return { x402Version: 2, error, resource, accepts: entries, extensions };
}

function accepts(rail, amount, solana) {
  const { feePayer, ...there } = SOLANA_RAIL;
  const here = { ...rail, amount: String(amount) };
  const extra = { name: "USD Coin", version: "2", feePayer };
  return [here, { ...here, network: solana, ...there, extra }];
}

function paymentRequired(res, required, body = required) {
  res.status(402).set("PAYMENT-REQUIRED", encode(required)).json(body);
}

// Express knows an error handler by its four parameters.
function failed(error, _req, res, _next) {
  if (error instanceof TopUpError) return res.status(error.status).json({ error: error.code, message: error.message });
  if (error instanceof SignInError) return res.status(401).json({ error: error.message, code: error.code });
  if (error.type === "entity.parse.failed") return res.status(400).json({ error: "Invalid JSON request" });
  console.error("venice:", error); // a defect of this server, and nothing a client can cause
  res.status(500).json({ error: "Inference processing failed" });
}

function chatCompletion({ model, messages }, now) {
  const content = `echo: ${messages?.at(-1)?.content}`;
  const choices = [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }];
  const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
  const id = `chatcmpl-${crypto.randomUUID()}`;
  return { id, object: "chat.completion", created: Math.floor(now / 1000), model, choices, usage };
}

function embeddings({ model, input }) {
  const data = [input].flat().map((text, index) => ({ object: "embedding", index, embedding: [String(text).length] }));
  return { object: "list", data, model, usage: { prompt_tokens: 1, total_tokens: 1 } };
}

// What the token calls itself, which is what signatures for it have to say.
async function nameOf(rpc, address) {
  const chain = createPublicClient({ transport: http(rpc) });
  const abi = parseAbi(["function name() view returns (string)", "function version() view returns (string)"]);
  const read = (functionName) => chain.readContract({ address, abi, functionName });
  return { name: await read("name"), version: await read("version") };
}

async function post(url, body) {
  const headers = { "content-type": "application/json" };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify({ x402Version: 2, ...body }) });
  if (!response.ok) throw new Error(`the facilitator answered ${response.status}`);
  return response.json();
}

function listen(app) {
  return new Promise((resolve, reject) => {
    const server = app.listen(0, "127.0.0.1", (error) => (error ? reject(error) : resolve(server)));
  });
}

const usd = (amount) => Number(amount) / 1e6;
const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64");
