// Tokens on the peers' chain, for tests: their balances, and one that is called like USDC on Base.

import { readFileSync } from "node:fs";
import solc from "solc";
import { createTestClient, http, parseAbi, publicActions, walletActions } from "viem";
import { baseSepolia } from "viem/chains";

const ABI = parseAbi([
  "function balanceOf(address) view returns (uint256)",
  "function mint(address to, uint256 value)",
]);

export function token(rpc, address) {
  const chain = connect(rpc);
  const balanceOf = (owner) => chain.readContract({ address, abi: ABI, functionName: "balanceOf", args: [owner] });
  return { address, balanceOf };
}

// Venice's client signs for a token called "USD Coin", whatever the 402 says. That is USDC's name on Base; on Base
// Sepolia, whose chain id the peers have, it is "USDC".
export async function deployUsdCoin(rpc) {
  const chain = connect(rpc);
  // Not the first account: the peers hand that one's transactions over themselves, one at a time.
  const [, account] = await chain.getAddresses();
  const { contractAddress: address } = await sent(chain, await chain.deployContract({ account, ...compile() }));
  const mint = async (to, value) => {
    const call = { account, address, abi: ABI, functionName: "mint", args: [to, value] };
    await sent(chain, await chain.writeContract(call));
  };
  return { ...token(rpc, address), mint };
}

function connect(rpc) {
  const options = { mode: "anvil", chain: baseSepolia, transport: http(rpc), pollingInterval: 20 };
  return createTestClient(options).extend(publicActions).extend(walletActions);
}

async function sent(chain, hash) {
  const receipt = await chain.waitForTransactionReceipt({ hash });
  if (receipt.status !== "success") throw new Error(`transaction ${hash} failed`);
  return receipt;
}

function compile() {
  const source = readFileSync(new URL("../contracts/Token.sol", import.meta.url), "utf8");
  const content = source.replace('name = "USDC"', 'name = "USD Coin"');
  if (content === source) throw new Error("Token.sol is not called USDC any more");
  const settings = { evmVersion: "paris", outputSelection: { "*": { "*": ["evm.bytecode.object"] } } };
  const input = { language: "Solidity", sources: { "Token.sol": { content } }, settings };
  const { contracts, errors = [] } = JSON.parse(solc.compile(JSON.stringify(input)));
  if (errors.length > 0) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
  return { abi: [], bytecode: `0x${contracts["Token.sol"].Token.evm.bytecode.object}` };
}
