// An app that buys one thing, with each adapter in turn. Between the two lines it is the same app.
// Usage: tsx app.ts ADAPTER SOCKET RPC_URL METHOD URL [JSON_BODY]

import { type ClientEvmSigner, ExactEvmScheme, UptoEvmScheme } from "@x402/evm";
import { ExactEvmSchemeV1 } from "@x402/evm/v1";
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { Pursekeeper, PursekeeperDenied, withPursekeeper, wrapFetchWithPursekeeper } from "./pursekeeper.js";
import { PursekeeperScheme } from "./scheme.js";
import { pursekeeperSigner } from "./signer.js";

const [adapter, socket, rpcUrl, method, url, body] = process.argv.slice(2);
const options = { socket, rpcUrls: { "eip155:84532": rpcUrl } };

// ---- What an app changes.
const adapters: Record<string, () => Promise<typeof fetch>> = {
  fetch: async () => wrapFetchWithPursekeeper(fetch, options),

  scheme: async () => {
    const pursekeeper = new Pursekeeper(options);
    const client = new x402Client()
      .register("eip155:*", new PursekeeperScheme(pursekeeper, "exact"))
      .register("eip155:*", new PursekeeperScheme(pursekeeper, "upto"))
      .registerV1("base-sepolia", new PursekeeperScheme(pursekeeper, "exact"));
    return withPursekeeper(wrapFetchWithPayment(fetch, client), pursekeeper);
  },

  signer: async () => {
    const pursekeeper = new Pursekeeper(options);
    const client = clientOf(await pursekeeperSigner(pursekeeper));
    return withPursekeeper(wrapFetchWithPayment(fetch, client), pursekeeper);
  },

  // For apps where nothing but the account can be exchanged.
  "signer-alone": async () =>
    wrapFetchWithPayment(fetch, clientOf(await pursekeeperSigner(new Pursekeeper(options)))),
};
// ----

// As the app has it already, with the account that it had.
function clientOf(signer: ClientEvmSigner) {
  return new x402Client()
    .register("eip155:*", new ExactEvmScheme(signer, { rpcUrl }))
    .register("eip155:*", new UptoEvmScheme(signer, { rpcUrl }))
    .registerV1("base-sepolia", new ExactEvmSchemeV1(signer));
}

const payingFetch = await adapters[adapter]();
const init = body ? { method, body, headers: { "content-type": "application/json" } } : { method };
try {
  const response = await payingFetch(url, init);
  const settlement = response.headers.get("PAYMENT-RESPONSE") ?? response.headers.get("X-PAYMENT-RESPONSE");
  const paymentResponse = settlement && JSON.parse(Buffer.from(settlement, "base64").toString());
  console.log(JSON.stringify({ status: response.status, body: await response.text(), paymentResponse }));
} catch (error) {
  if (!(error instanceof PursekeeperDenied)) throw error;
  const { code, message, decisionId } = error;
  console.log(JSON.stringify({ code, message, decisionId }));
  process.exit(3);
}
