// An agent that lives on prepaid credit at Venice and holds no key: all it has is Pursekeeper's socket.

import { randomUUID } from "node:crypto";
import { connect } from "../sidecar.mjs";

export const TOP_UP = "/api/v1/x402/top-up";
export const CHAT = "/api/v1/chat/completions";
export const EMBEDDINGS = "/api/v1/embeddings";

export class VeniceAgent {
  #signer;
  #url;
  #workflow;

  constructor(socket, url, workflow) {
    this.#signer = connect(socket);
    this.#url = url;
    this.#workflow = workflow;
  }

  close() {
    this.#signer.close();
  }

  // Buys credit: `{denied}`, or `{signed, status, body}`. After a 504 the transfer may still land: whoever tries again
  // does so with the same `id`, and so with the same payment.
  async topUp({ id = randomUUID(), header, amount } = {}) {
    const { signed, denied } = await this.signTopUp({ id, amount });
    if (denied) return { denied };
    const response = await this.#send("POST", TOP_UP, { [header ?? signed.header_name]: signed.header_value });
    const body = await response.json();
    await this.#report(signed, response, body);
    return { signed, status: response.status, body };
  }

  // The payment of a top-up, not sent. The 402 names the least Venice takes; for more the agent raises the `amount`.
  async signTopUp({ id = randomUUID(), amount, preview = false } = {}) {
    let required = (await this.#send("POST", TOP_UP)).headers.get("PAYMENT-REQUIRED");
    if (amount) required = changed(required, (it) => (it.accepts[0].amount = String(amount)));
    return this.signPayment({ id, path: TOP_UP, required, preview });
  }

  // A payment for what the PAYMENT-REQUIRED header of a call says.
  signPayment({ id = randomUUID(), path, required, preview = false }) {
    const request = { ...this.#request(id, "POST", path), payment_required: Buffer.from(required) };
    return preview ? this.#signer.preview(request) : this.#signer.signPayment(request);
  }

  #report({ decision_id }, response, body) {
    const settlement = response.headers.get("PAYMENT-RESPONSE");
    const outcome = settlement
      ? { payment_response: Buffer.from(settlement) }
      : { error: `${response.status} ${body.error}` };
    return this.#signer.reportOutcome({ decision_id, ...outcome });
  }

  // A sign-in for one call: Venice sends no challenge for it.
  signIn(method, path, id = randomUUID()) {
    return this.#signer.signIn({ ...this.#request(id, method, path), venice: {} });
  }

  // Sends a request with a sign-in of its own: `{denied}`, or `{signed, status, body, left}`. Of the two headers that
  // carry the sign-in, `only` chooses one.
  async call(method, path, body, { id, only } = {}) {
    const { signed_in: signed, denied } = await this.signIn(method, path, id);
    if (denied) return { denied };
    const headers = signed.headers.filter(({ name }) => name === (only ?? name));
    return { signed, ...(await this.send(method, path, headers, body)) };
  }

  // The same by the standard: asks without a sign-in, and answers the challenge of the 402.
  async callChallenged(method, path, body) {
    const refused = await this.#send(method, path, {}, body);
    const payment_required = Buffer.from(refused.headers.get("PAYMENT-REQUIRED"));
    const request = { ...this.#request(randomUUID(), method, path), payment_required };
    const { signed_in: signed, denied } = await this.#signer.signIn(request);
    if (denied) return { denied };
    return { signed, ...(await this.send(method, path, signed.headers, body)) };
  }

  // Sends a request with headers as Pursekeeper hands them out: `{status, body, left}`.
  async send(method, path, headers = [], body) {
    const pairs = headers.map(({ name, value }) => [name, value]);
    const response = await this.#send(method, path, Object.fromEntries(pairs), body);
    const left = response.headers.get("X-Balance-Remaining");
    return { status: response.status, body: await response.json(), left };
  }

  chat(text, options) {
    const messages = [{ role: "user", content: text }];
    return this.call("POST", CHAT, { model: "test-model", messages }, options);
  }

  embed(input, options) {
    return this.call("POST", EMBEDDINGS, { model: "test-model", input }, options);
  }

  budgets() {
    return this.#signer.getBudget({}).then(({ budgets }) => budgets);
  }

  #request(request_id, method, path) {
    return { request_id, workflow: this.#workflow, endpoint: { method, url: this.#url + path } };
  }

  #send(method, path, headers = {}, body) {
    const json = body && { body: JSON.stringify(body) };
    return fetch(this.#url + path, { method, ...json, headers: { "content-type": "application/json", ...headers } });
  }
}

// A PAYMENT-REQUIRED header, altered: nothing but the policies stops an agent from that.
export function changed(header, change) {
  const required = JSON.parse(Buffer.from(header, "base64"));
  change(required);
  return Buffer.from(JSON.stringify(required)).toString("base64");
}
