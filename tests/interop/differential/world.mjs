// What the payments are made of: wallets of a real sidecar, tokens on the peers' chain, and whom they may pay.

import {
  createTestClient,
  encodeAbiParameters,
  http,
  keccak256,
  maxUint256,
  parseAbi,
  publicActions,
  toHex,
  walletActions,
} from "viem";
import { baseSepolia } from "viem/chains";
import { approve, mint, peers } from "../client.mjs";
import { deployUsdCoin } from "../venice/token.mjs";
import { startSidecar } from "../sidecar.mjs";

export const AMOUNT_MAX = 10n ** 16n; // ten thousand million dollars
export const PERMIT2 = "0x000000000022D473030F116dDEE9F6B43aC78BA3";
// What pursekeeper.yaml says when it is made.
export const VALIDITY_SECS_MAX = { eip3009: 300, permit2: 60 };
export const SKEW_SECS = 60;
const PAYEES = 200;
// The registry knows the site by its name in punycode; sellers and agents write it in any way.
export const SITE = "https://xn--bcher-kva.example";
export const SITE_NAMES = [
  SITE,
  "https://bücher.example",
  "https://BÜCHER.Example:443",
  "HTTPS://xn--BCHER-kva.example",
];
export const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"];
const NONCES_SLOT = 3n; // of `nonces` in contracts/Token.sol
const ABI = parseAbi([
  "function approve(address spender, uint256 value) returns (bool)",
  "function nonces(address owner) view returns (uint256)",
]);

// Two wallets have allowed Permit2 to take what it likes; two have not, and their next EIP-2612 nonces are what
// `random` says.
export async function makeWorld(random) {
  const chain = createTestClient({ mode: "anvil", chain: baseSepolia, transport: http(peers.rpc), pollingInterval: 20 })
    .extend(publicActions)
    .extend(walletActions);
  const coin = await deployUsdCoin(peers.rpc);
  const approveCoin = (owner) => allow(chain, coin, owner);
  const assets = [
    { address: peers.asset, name: "USDC", version: "2", mint, approve },
    { address: coin.address, name: "USD Coin", version: "2", mint: coin.mint, approve: approveCoin },
  ];
  const payees = Array.from({ length: PAYEES }, () => `0x${random.hex(20)}`);
  const sidecar = await startSidecar({
    wallets: 4,
    registry: (addresses) => registry(addresses, assets, payees),
    configure: (text) => text.replace("agent_calls_per_sec_max: 500", "agent_calls_per_sec_max: 1000000"),
  });
  const addresses = Object.entries(sidecar.addresses);
  const wallets = addresses.map(([name, address], index) => ({ name, address, allowed: index < 2 }));
  for (const asset of assets) {
    asset.permitNonces = {};
    for (const { address: owner, allowed } of wallets) {
      await asset.mint(owner, AMOUNT_MAX);
      if (allowed) await asset.approve(owner, maxUint256);
      asset.permitNonces[owner] = allowed ? 0n : await setNonce(chain, asset, owner, random.size(2n ** 255n));
    }
  }
  return { sidecar, assets, payees, wallets, random };
}

async function allow(chain, { address }, owner) {
  await chain.impersonateAccount({ address: owner });
  const call = { address, abi: ABI, functionName: "approve", args: [PERMIT2, maxUint256] };
  const hash = await chain.writeContract({ ...call, account: owner, gasPrice: 0n });
  await chain.waitForTransactionReceipt({ hash });
}

// Only permits that are settled count up the nonce, and nothing is settled here.
async function setNonce(chain, { address }, owner, nonce) {
  const index = keccak256(encodeAbiParameters([{ type: "address" }, { type: "uint256" }], [owner, NONCES_SLOT]));
  await chain.setStorageAt({ address, index, value: toHex(nonce, { size: 32 }) });
  const read = await chain.readContract({ address, abi: ABI, functionName: "nonces", args: [owner] });
  if (read !== nonce) throw new Error("Token.sol keeps its nonces in another slot");
  return nonce;
}

const registry = (addresses, assets, payees) => `
version: 1
teams: [platform]
operators:
  tester: { uids: [${process.getuid()}], teams: [platform] }
agents:
  buyer: { uids: [${process.getuid()}], workflows: [differential] }
workflows:
  differential: { owner: platform, services: [site] }
wallets: ${named(Object.entries(addresses).map(([name, address]) => [name, wallet(address)]))}
services:
  site:
    origin: "${SITE}"
    methods: ${JSON.stringify(METHODS)}
    paths: ["/**"]
    payees: ${JSON.stringify(payees)}
    facilitators: ["${peers.facilitatorAddress}"]
    resource_optional: true
assets: ${named(assets.map((it) => [it.name.toLowerCase().replace(" ", "-"), asset(it)]))}
`;

// JSON is YAML.
function named(entries) {
  return JSON.stringify(Object.fromEntries(entries));
}

function wallet(address) {
  const teams = { owner: "platform", recovery: ["platform"], revokers: ["platform"] };
  return { address, ...teams, backup: "none", workflows: ["differential"], networks: [peers.network] };
}

function asset({ address, name, version }) {
  const token = { network: peers.network, address, symbol: "USDC", name, version, decimals: 6, eip2612: true };
  return { ...token, methods: ["eip3009", "permit2"], usd: { peg: "1" } };
}
