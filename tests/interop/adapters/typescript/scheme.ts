// Pursekeeper as a scheme of @x402/core's client, for apps that keep that client: its selectors, policies and hooks.
//
// Copy this file and pursekeeper.ts. Register one for each scheme and network, and put `withPursekeeper` around the fetch
// that pays:
//
//   const pursekeeper = new Pursekeeper({ socket });
//   const client = new x402Client()
//     .register("eip155:*", new PursekeeperScheme(pursekeeper, "exact"))
//     .register("eip155:*", new PursekeeperScheme(pursekeeper, "upto"))
//     .registerV1("base", new PursekeeperScheme(pursekeeper, "exact"));
//   const payingFetch = withPursekeeper(wrapFetchWithPayment(fetch, client), pursekeeper);

import type {
  PaymentPayloadResult,
  PaymentRequired,
  PaymentRequirements,
  SchemeClientHooks,
  SchemeNetworkClient,
} from "@x402/core/types";
import { findDefaultAsset } from "@x402/evm";
import { currentEndpoint, type Pursekeeper } from "./pursekeeper.js";

export class PursekeeperScheme implements SchemeNetworkClient {
  readonly scheme: "exact" | "upto";
  // Lets the SDK's own spend controls ($1 a payment, unless you set others) know the assets they are about.
  readonly findDefaultAsset = findDefaultAsset;
  // The SDK hands a scheme the offer it chose, and the 402 around it only to this hook. Pursekeeper wants to know
  // which resource the seller means.
  readonly schemeHooks: SchemeClientHooks = {
    onBeforePaymentCreation: async ({ paymentRequired, selectedRequirements }) => {
      this.#chosenFrom.set(selectedRequirements, paymentRequired);
    },
  };
  readonly #chosenFrom = new WeakMap<PaymentRequirements, PaymentRequired>();
  readonly #pursekeeper: Pursekeeper;

  constructor(pursekeeper: Pursekeeper, scheme: "exact" | "upto") {
    this.#pursekeeper = pursekeeper;
    this.scheme = scheme;
  }

  async createPaymentPayload(
    x402Version: number,
    requirements: PaymentRequirements,
  ): Promise<PaymentPayloadResult> {
    const endpoint = currentEndpoint();
    if (!endpoint) throw new Error("put withPursekeeper around the fetch that pays: the SDK does not say for what it pays");
    const required = { x402Version, ...this.#chosenFrom.get(requirements), accepts: [requirements] };
    const body = Buffer.from(JSON.stringify(required));
    const { payload } = await this.#pursekeeper.signPayment({ body }, endpoint);
    if (x402Version === 1) return payload; // v1 has no wrapping that the SDK could add
    return { x402Version, payload: payload.payload, extensions: payload.extensions };
  }
}
