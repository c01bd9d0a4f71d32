// The contracts of ../contracts, at the addresses where the reference SDKs look for the originals.

import { readdirSync, readFileSync } from "node:fs";
import { PERMIT2_ADDRESS, x402ExactPermit2ProxyAddress, x402UptoPermit2ProxyAddress } from "@x402/evm";
import solc from "solc";

const SOURCES = new URL("../contracts/", import.meta.url);

const addresses = {
  // Circle's address on Base Sepolia: the reference SDKs price "$…" in this asset by default.
  Token: "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
  Permit2: PERMIT2_ADDRESS,
  ExactProxy: x402ExactPermit2ProxyAddress,
  UptoProxy: x402UptoPermit2ProxyAddress,
  Multicall: "0xcA11bde05977b3631167028862bE2a173976CA11",
};

// Compiles every contract and puts its code on the chain; no constructor runs. Returns `{ address, abi }` of each.
export async function deploy(chain) {
  const compiled = Object.assign({}, ...Object.values(compile()));
  const deployed = {};
  for (const [name, address] of Object.entries(addresses)) {
    const { abi, evm } = compiled[name];
    await chain.setCode({ address, bytecode: `0x${evm.deployedBytecode.object}` });
    deployed[name] = { address, abi };
  }
  return deployed;
}

function compile() {
  const files = readdirSync(SOURCES).filter((file) => file.endsWith(".sol"));
  const sources = files.map((file) => [file, { content: readFileSync(new URL(file, SOURCES), "utf8") }]);
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(sources),
    settings: {
      evmVersion: "paris",
      outputSelection: { "*": { "*": ["abi", "evm.deployedBytecode.object"] } },
    },
  };
  const { contracts, errors = [] } = JSON.parse(solc.compile(JSON.stringify(input)));
  if (errors.length > 0) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
  return contracts;
}
