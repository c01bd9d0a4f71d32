// Pursekeeper for apps on fetch: the app asks it for every payment and holds no key.
//
// Copy this file and Pursekeeper's `proto` folder; it needs @grpc/grpc-js and @grpc/proto-loader. It is all you need to pay
// with plain fetch. Apps that keep @x402/core's client copy scheme.ts or signer.ts as well.

import { AsyncLocalStorage } from "node:async_hooks";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import * as grpc from "@grpc/grpc-js";
import * as protoLoader from "@grpc/proto-loader";

const PROTOS = fileURLToPath(new URL("../../../../proto", import.meta.url)); // where you put that folder
const TIMEOUT_MS = 10_000;
// What every call carries: a web page cannot send it, and the sidecar refuses calls without it.
const HEADER = grpc.Metadata.fromHttp2Headers({ pursekeeper: "1" });
const PERMIT2 = "0x000000000022D473030F116dDEE9F6B43aC78BA3";

export interface Options {
  // The sidecar's socket for agents.
  socket: string;
  // Needed only when the agent belongs to several workflows, or its workflow has several wallets on a network.
  workflow?: string;
  wallet?: string;
  // A node for each network (`eip155:8453`) whose sellers pay the gas of a Permit2 allowance (eip2612GasSponsoring).
  rpcUrls?: Record<string, string>;
}

// What the seller sent: the PAYMENT-REQUIRED header (x402 v2), or the body of the 402 (v1).
export type Challenge = { payment_required: Buffer } | { body: Buffer };

export interface Endpoint {
  method: string;
  url: string;
}

export interface Signed {
  headerName: string;
  headerValue: string;
  // The x402 payment payload that the header carries.
  payload: any;
  decisionId: string;
}

// Pursekeeper's refusal. `code` is one of docs/POLICY_GUIDE.md, `decisionId` names the record, and `offers` says of each
// offer of the seller why it was not signed.
export class PursekeeperDenied extends Error {
  readonly code: string;
  readonly decisionId: string;
  readonly offers: { index: number; code: string; message: string }[];

  constructor(denied: any) {
    super(denied.message);
    this.name = "PursekeeperDenied";
    this.code = denied.code;
    this.decisionId = denied.decision_id;
    this.offers = denied.offers;
  }
}

// Like `fetch`, and pays when a seller asks for it. Pursekeeper sees the whole 402 and chooses among its offers.
export function wrapFetchWithPursekeeper(fetch: typeof globalThis.fetch, options: Options): typeof globalThis.fetch {
  const pursekeeper = new Pursekeeper(options);
  return async (input, init) => {
    const request = new Request(input, init);
    const again = request.clone(); // a body can be sent only once
    const unpaid = await fetch(request);
    if (unpaid.status !== 402) return unpaid;

    const body = Buffer.from(await unpaid.arrayBuffer());
    const header = unpaid.headers.get("PAYMENT-REQUIRED");
    const challenge = header ? { payment_required: Buffer.from(header) } : { body };
    const url = unpaid.url || request.url; // after redirects, if there were any
    const signed = await pursekeeper.signPayment(challenge, { method: request.method, url });
    again.headers.set(signed.headerName, signed.headerValue);
    return pursekeeper.reported(signed.decisionId, fetch(again));
  };
}

// What happens inside a `fetch` made by `withPursekeeper`.
interface Call {
  endpoint: Endpoint;
  decisionId?: string;
  denied?: PursekeeperDenied;
}

const calls = new AsyncLocalStorage<Call>();

// The call that is being paid for, inside a `fetch` made by `withPursekeeper`.
export const currentEndpoint = () => calls.getStore()?.endpoint;

// Around a fetch that pays by itself, such as wrapFetchWithPayment of @x402/fetch. That SDK tells its schemes and signers
// neither method nor URL, and throws their errors away; here the one is passed in and the other out, and the outcome
// is reported.
export function withPursekeeper(
  payingFetch: typeof globalThis.fetch,
  pursekeeper: Pursekeeper,
): typeof globalThis.fetch {
  return (input, init) => {
    const request = new Request(input, init);
    const call: Call = { endpoint: { method: request.method, url: request.url } };
    return calls.run(call, async () => {
      const answer = payingFetch(request);
      await answer.catch(() => {}); // it is thrown below
      if (call.denied) throw call.denied;
      return call.decisionId ? pursekeeper.reported(call.decisionId, answer) : answer;
    });
  };
}

export class Pursekeeper {
  readonly #signer: any;
  readonly #who: { workflow?: string; wallet?: string };
  readonly #rpcUrls: Record<string, string>;

  constructor({ socket, workflow, wallet, rpcUrls = {} }: Options) {
    const loading = { includeDirs: [PROTOS], keepCase: true, longs: Number, defaults: true };
    const definition = protoLoader.loadSync("pursekeeper/v1/signer.proto", loading);
    const { Signer } = (grpc.loadPackageDefinition(definition) as any).pursekeeper.v1;
    // A Unix socket has no host name, and servers refuse the authority that gRPC would make up from its path.
    const options = { "grpc.default_authority": "localhost" };
    this.#signer = new Signer(`unix:${socket}`, grpc.credentials.createInsecure(), options);
    this.#who = { workflow, wallet };
    this.#rpcUrls = rpcUrls;
  }

  // A payment for one of the offers in `challenge`. Throws PursekeeperDenied.
  async signPayment(challenge: Challenge, endpoint: Endpoint): Promise<Signed> {
    const request = { request_id: randomUUID(), endpoint, ...this.#who, ...challenge };
    const eip2612 = await this.#missingAllowance(request);
    const { signed } = this.#permitted(await this.#call("SignPayment", { ...request, eip2612 }));
    return {
      headerName: signed.header_name,
      headerValue: signed.header_value,
      payload: JSON.parse(signed.payload),
      decisionId: signed.decision_id,
    };
  }

  // Signs EIP-712 typed data, if it is a payment. Throws PursekeeperDenied.
  async signTypedData(typedData: object, wallet: string): Promise<string> {
    // Numbers as decimal strings: JSON has none that are long enough.
    const text = (_: string, value: unknown) =>
      typeof value === "bigint" || typeof value === "number" ? String(value) : value;
    const typed_data = JSON.stringify(typedData, text);
    const request = { ...this.#who, typed_data, endpoint: currentEndpoint(), wallet };
    return this.#permitted(await this.#call("SignTypedData", request)).signed.signature;
  }

  // The wallets that this agent may pay from.
  async listWallets(): Promise<{ name: string; address: string; networks: string[]; workflows: string[] }[]> {
    return (await this.#call("ListWallets", {})).wallets;
  }

  // Tells Pursekeeper what became of a payment, and returns the answer. It is recorded beside the payment.
  async reported(decisionId: string, answer: Promise<Response>): Promise<Response> {
    const outcome = await answer.then(outcomeOf, (error) => ({ error: String(error) }));
    // The app has paid for its answer, and gets it even if the report does not arrive.
    await this.#call("ReportOutcome", { decision_id: decisionId, ...outcome }).catch((error) =>
      console.warn(`the outcome of ${decisionId} was not reported: ${error}`),
    );
    return answer;
  }

  // What to say when the wallet has not allowed Permit2 to take this payment, and the seller would pay for a permit.
  async #missingAllowance(request: any) {
    const required = decode(request);
    const sponsored = required?.extensions?.eip2612GasSponsoring;
    if (!sponsored || Object.keys(this.#rpcUrls).length === 0) return undefined;
    // The preview tells which wallet would pay which offer. Nothing is signed, and no money is bound.
    const { would_sign } = await this.#call("Preview", request);
    const offer = would_sign && required.accepts[would_sign.offer_index];
    const byPermit2 = offer?.scheme === "upto" || offer?.extra?.assetTransferMethod === "permit2";
    const rpcUrl = byPermit2 && this.#rpcUrls[offer.network];
    if (!rpcUrl) return undefined;

    const owner = would_sign.wallet_address;
    const allowance = await ethCall(rpcUrl, offer.asset, "dd62ed3e", owner, PERMIT2); // allowance(owner, spender)
    if (allowance >= BigInt(offer.amount)) return undefined;
    const nonce = await ethCall(rpcUrl, offer.asset, "7ecebe00", owner); // nonces(owner)
    return { network: offer.network, asset: offer.asset, nonce: String(nonce) };
  }

  // The answer, unless it is a refusal. Remembers either for `withPursekeeper`.
  #permitted(answer: any) {
    const call = calls.getStore();
    if (answer.denied) {
      const denied = new PursekeeperDenied(answer.denied);
      if (call) call.denied = denied;
      throw denied;
    }
    if (!answer.signed) throw new Error("the sidecar is newer than this client");
    if (call) call.decisionId = answer.signed.decision_id;
    return answer;
  }

  #call(method: string, request: object): Promise<any> {
    return new Promise((resolve, reject) =>
      this.#signer[method](request, HEADER, { deadline: Date.now() + TIMEOUT_MS }, (error: Error | null, answer: any) =>
        error ? reject(error) : resolve(answer),
      ),
    );
  }
}

// The 402, if it is x402 at all: Pursekeeper is the one to complain about it.
function decode({ payment_required, body }: { payment_required?: Buffer; body?: Buffer }): any {
  try {
    return JSON.parse(String(payment_required ? Buffer.from(String(payment_required), "base64") : body));
  } catch {
    return undefined;
  }
}

function outcomeOf(response: Response) {
  const { headers, status } = response;
  const settlement = headers.get("PAYMENT-RESPONSE") ?? headers.get("X-PAYMENT-RESPONSE");
  return settlement ? { payment_response: Buffer.from(settlement) } : { error: `HTTP ${status}` };
}

// Calls a view function that takes addresses and returns a number.
async function ethCall(rpcUrl: string, to: string, selector: string, ...addresses: string[]): Promise<bigint> {
  const data = `0x${selector}${addresses.map((address) => address.slice(2).padStart(64, "0")).join("")}`;
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_call", params: [{ to, data }, "latest"] });
  const response = await fetch(rpcUrl, { method: "POST", headers: { "content-type": "application/json" }, body });
  const { result, error } = await response.json();
  if (!result) throw new Error(`${rpcUrl} does not answer eth_call: ${error?.message ?? response.status}`);
  return BigInt(result);
}
