// Pursekeeper as a ClientEvmSigner: where an app holds a viem account now, it gets this instead. The SDK builds the payment
// and Pursekeeper judges the typed data that it is asked to sign. Anything that is not an x402 payment is refused.
//
// Copy this file and pursekeeper.ts:
//
//   const pursekeeper = new Pursekeeper({ socket });
//   const signer = await pursekeeperSigner(pursekeeper);
//   const client = new x402Client().register("eip155:*", new ExactEvmScheme(signer, { rpcUrl }));
//
// Typed data names no seller. Inside a fetch made by `withPursekeeper` the method and URL are passed along; outside of one,
// the payee is all that Pursekeeper can go by.

import type { ClientEvmSigner } from "@x402/evm";
import type { Pursekeeper } from "./pursekeeper.js";

interface Choice {
  // Needed only when the agent has several wallets.
  wallet?: string;
  // Reads the chain, for the schemes that want to. The SDK's option `rpcUrl` does the same.
  readContract?: ClientEvmSigner["readContract"];
}

export async function pursekeeperSigner(
  pursekeeper: Pursekeeper,
  { wallet, readContract }: Choice = {},
): Promise<ClientEvmSigner> {
  const wallets = (await pursekeeper.listWallets()).filter(({ name }) => !wallet || name === wallet);
  const [only] = wallets;
  if (wallets.length !== 1) {
    const names = wallets.map(({ name }) => name).join(", ") || "none";
    throw new Error(`name one wallet that this agent may pay from; it has ${names}`);
  }
  return {
    address: only.address as `0x${string}`,
    signTypedData: async (typedData) =>
      (await pursekeeper.signTypedData(typedData, only.name)) as `0x${string}`,
    ...(readContract && { readContract }),
  };
}
