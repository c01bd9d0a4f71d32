// Real x402 peers on loopback: an EVM node, a token, the reference facilitator, and a seller of each protocol version.
//
// Prints one line of JSON that says where everything is, and stays until it is told to stop (SIGTERM, SIGINT) or its
// standard input closes, so that it cannot outlive whoever started it.

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { x402Facilitator } from "@x402/core/facilitator";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { ExactEvmScheme } from "@x402/evm/exact/facilitator";
import { ExactEvmSchemeV1 } from "@x402/evm/exact/v1/facilitator";
import { UptoEvmScheme } from "@x402/evm/upto/facilitator";
import { EIP2612_GAS_SPONSORING } from "@x402/extensions";
import express from "express";
import { createWalletClient, http, maxUint256, publicActions, testActions } from "viem";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { baseSepolia } from "viem/chains";
import { deploy } from "./peers/contracts.mjs";
import { sellerApp, sellerAppV1, sellers } from "./peers/sellers.mjs";

const NETWORK = "eip155:84532";
const NETWORK_V1 = "base-sepolia";
const FUNDS = 10_000_000n; // $10

const anvil = spawnAnvil();
let stopping = false;
anvil.on("exit", () => process.exit(stopping ? 0 : 1));
process.on("exit", () => anvil.kill("SIGKILL")); // for a crash of our own; `stop` waits until anvil is gone
const stop = () => {
  stopping = true;
  anvil.kill("SIGKILL");
};
process.on("SIGTERM", stop);
process.on("SIGINT", stop);
process.stdin.on("end", stop).resume();

const rpc = await anvilUrl();
const chain = await connect(rpc);
const { Token, Permit2 } = await deploy(chain);

const buyer = generatePrivateKey();
await mint(privateKeyToAddress(buyer), FUNDS);

const facilitator = await listen(facilitatorApp());
const opened = {};
for (const [name, offers] of Object.entries(sellers)) {
  opened[name] = await open((payee) => sellerApp(offers, { network: NETWORK, payee, facilitator }));
}

console.log(
  JSON.stringify({
    rpc,
    facilitator,
    facilitatorAddress: chain.account.address,
    faucet: await listen(faucetApp()),
    network: NETWORK,
    chainId: baseSepolia.id,
    asset: Token.address,
    ...opened,
    v1: await open((payee) => sellerAppV1({ network: NETWORK_V1, payee, facilitator })),
    buyer: { address: privateKeyToAddress(buyer), privateKey: buyer },
  }),
);

// Opens a seller with a payee of its own: services that share one cannot be told apart once the money has moved.
async function open(app) {
  const payee = privateKeyToAddress(generatePrivateKey());
  return { url: await listen(app(payee)), payee };
}

function spawnAnvil() {
  const binary = createRequire(import.meta.url).resolve("@foundry-rs/anvil-linux-amd64/bin/anvil");
  // A block each second besides the one for each transaction: calls run at the time of the newest block, and on an
  // idle chain that would be too far in the past for an authorization that has just become valid.
  // Gas is free, so that accounts that hold nothing but tokens can send transactions.
  const args = `--host 127.0.0.1 --port 0 --chain-id ${baseSepolia.id} --mixed-mining --block-time 1 --base-fee 0`;
  return spawn(binary, args.split(" "), { stdio: ["ignore", "pipe", "inherit"] });
}

async function anvilUrl() {
  for await (const line of createInterface(anvil.stdout)) {
    const address = line.match(/Listening on (\S+)/)?.[1];
    if (!address) continue;
    anvil.stdout.resume(); // keep reading what it logs, or it stalls on a full pipe
    return `http://${address}`;
  }
  throw new Error("anvil ended before it listened; its output above says why");
}

// One of anvil's own accounts sends every transaction. One is handed over at a time: anvil gives the same nonce to two
// that arrive together, and one of those settlements would fail.
async function connect(url) {
  const transport = http(url);
  const [account] = await createWalletClient({ chain: baseSepolia, transport }).getAddresses();
  const client = createWalletClient({ account, chain: baseSepolia, transport, pollingInterval: 20 })
    .extend(publicActions)
    .extend(testActions({ mode: "anvil" }));
  let last = Promise.resolve();
  const writeContract = (call) => (last = last.catch(() => {}).then(() => client.writeContract(call)));
  return { ...client, writeContract };
}

async function mint(to, value) {
  const hash = await chain.writeContract({ ...Token, functionName: "mint", args: [to, value] });
  await chain.waitForTransactionReceipt({ hash });
}

// Lets Permit2 take up to `value` from `owner`, whose key nobody needs: the node sends as the owner.
async function approve(owner, value) {
  await chain.impersonateAccount({ address: owner });
  const call = { account: owner, gasPrice: 0n, functionName: "approve", args: [Permit2.address, value] };
  const hash = await chain.writeContract({ ...Token, ...call });
  await chain.waitForTransactionReceipt({ hash });
}

function facilitatorApp() {
  const signer = toFacilitatorEvmSigner({ ...chain, address: chain.account.address });
  const facilitator = new x402Facilitator()
    .register(NETWORK, new ExactEvmScheme(signer))
    .register(NETWORK, new UptoEvmScheme(signer))
    .registerV1(NETWORK_V1, new ExactEvmSchemeV1(signer))
    .registerExtension(EIP2612_GAS_SPONSORING);
  // Sellers answer a refused payment with a bare 402: the reason belongs on the terminal of whoever runs the tests.
  const logged = (answer) => {
    const reason = answer.invalidReason ?? answer.errorReason;
    if (reason) console.error(`facilitator: ${reason} ${answer.invalidMessage ?? answer.errorMessage ?? ""}`);
    return answer;
  };
  return express()
    .use(express.json())
    .get("/supported", (_, res) => res.json(facilitator.getSupported()))
    .post("/verify", async ({ body }, res) =>
      res.json(logged(await facilitator.verify(body.paymentPayload, body.paymentRequirements))),
    )
    .post("/settle", async ({ body }, res) =>
      res.json(logged(await facilitator.settle(body.paymentPayload, body.paymentRequirements))),
    );
}

// What a test needs from the token, without an Ethereum library: amounts are atomic units as decimal strings.
function faucetApp() {
  const read = async (functionName, ...args) => String(await chain.readContract({ ...Token, functionName, args }));
  return express()
    .use(express.json())
    .post("/mint", async ({ body }, res) => {
      await mint(body.to, BigInt(body.amount));
      res.json({});
    })
    .post("/approve", async ({ body }, res) => {
      await approve(body.owner, BigInt(body.amount ?? maxUint256));
      res.json({});
    })
    .get("/balance/:owner", async ({ params }, res) => res.json({ balance: await read("balanceOf", params.owner) }))
    // What Permit2 may take from the owner.
    .get("/allowance/:owner", async ({ params }, res) =>
      res.json({ allowance: await read("allowance", params.owner, Permit2.address) }),
    )
    // The number that the owner's next EIP-2612 permit has to carry.
    .get("/permit-nonce/:owner", async ({ params }, res) => res.json({ nonce: await read("nonces", params.owner) }));
}

function listen(app) {
  return new Promise((resolve, reject) => {
    const server = app.listen(0, "127.0.0.1", (error) =>
      error ? reject(error) : resolve(`http://127.0.0.1:${server.address().port}`),
    );
  });
}
