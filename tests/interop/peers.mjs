// Real x402 peers on loopback: an EVM node, a token, the reference facilitator, and a seller of each protocol version.
//
// Prints one line of JSON that says where everything is, and stays until it is told to stop (SIGTERM, SIGINT) or its
// standard input closes, so that it cannot outlive whoever started it.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { x402Facilitator } from "@x402/core/facilitator";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { ExactEvmScheme as ExactEvmFacilitator } from "@x402/evm/exact/facilitator";
import { ExactEvmScheme as ExactEvmServer } from "@x402/evm/exact/server";
import { ExactEvmSchemeV1 as ExactEvmFacilitatorV1 } from "@x402/evm/exact/v1/facilitator";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import express from "express";
import solc from "solc";
import { createWalletClient, http, publicActions, testActions } from "viem";
import { generatePrivateKey, privateKeyToAccount, privateKeyToAddress } from "viem/accounts";
import { baseSepolia } from "viem/chains";
import { paymentMiddleware as paymentMiddlewareV1 } from "x402-express";

const NETWORK = "eip155:84532";
// Circle's address on Base Sepolia: the reference SDKs price "$…" in this asset by default.
const USDC = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";
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
const { abi, code } = compileToken();
await chain.setCode({ address: USDC, bytecode: code });

const buyer = generatePrivateKey();
await mint(privateKeyToAddress(buyer), FUNDS);

const facilitatorUrl = await listen(facilitatorApp());
// One payee for each seller: two services that share a payee cannot be told apart once the money has moved.
const [payee, payeeV1] = [generatePrivateKey(), generatePrivateKey()].map(privateKeyToAddress);

console.log(
  JSON.stringify({
    rpc,
    facilitator: facilitatorUrl,
    faucet: await listen(faucetApp()),
    network: NETWORK,
    chainId: baseSepolia.id,
    asset: USDC,
    v2: { url: await listen(sellerApp()), payee },
    v1: { url: await listen(sellerAppV1()), payee: payeeV1 },
    buyer: { address: privateKeyToAddress(buyer), privateKey: buyer },
  }),
);

function spawnAnvil() {
  const binary = createRequire(import.meta.url).resolve("@foundry-rs/anvil-linux-amd64/bin/anvil");
  // A block each second besides the one for each transaction: calls run at the time of the newest block, and on an
  // idle chain that would be too far in the past for an authorization that has just become valid.
  const args = `--host 127.0.0.1 --port 0 --chain-id ${baseSepolia.id} --mixed-mining --block-time 1`.split(" ");
  return spawn(binary, args, { stdio: ["ignore", "pipe", "inherit"] });
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

function compileToken() {
  const content = readFileSync(new URL("contracts/Token.sol", import.meta.url), "utf8");
  const input = {
    language: "Solidity",
    sources: { "Token.sol": { content } },
    settings: {
      evmVersion: "paris",
      outputSelection: { "*": { "*": ["abi", "evm.deployedBytecode.object"] } },
    },
  };
  const { contracts, errors = [] } = JSON.parse(solc.compile(JSON.stringify(input)));
  if (errors.length > 0) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
  const { abi, evm } = contracts["Token.sol"].Token;
  return { abi, code: `0x${evm.deployedBytecode.object}` };
}

async function mint(to, amount) {
  const hash = await chain.writeContract({ address: USDC, abi, functionName: "mint", args: [to, amount] });
  await chain.waitForTransactionReceipt({ hash });
}

function facilitatorApp() {
  const signer = toFacilitatorEvmSigner({ ...chain, address: chain.account.address });
  const facilitator = new x402Facilitator()
    .register(NETWORK, new ExactEvmFacilitator(signer))
    .registerV1("base-sepolia", new ExactEvmFacilitatorV1(signer));
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
  return express()
    .use(express.json())
    .post("/mint", async ({ body }, res) => {
      await mint(body.to, BigInt(body.amount));
      res.json({});
    })
    .get("/balance/:address", async ({ params }, res) => {
      const query = { address: USDC, abi, functionName: "balanceOf", args: [params.address] };
      res.json({ balance: String(await chain.readContract(query)) });
    });
}

function sellerApp() {
  const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitatorUrl }));
  server.register(NETWORK, new ExactEvmServer());
  const price = (usd) => ({ accepts: { scheme: "exact", network: NETWORK, price: usd, payTo: payee } });
  return express()
    .use(
      paymentMiddleware(
        { "GET /weather": price("$0.001"), "POST /infer": price("$0.01"), "GET /premium": price("$0.002") },
        server,
      ),
    )
    .use(express.json())
    .get("/weather", (_, res) => res.json({ weather: "sunny" }))
    .post("/infer", ({ body }, res) => res.json({ echo: body.prompt }))
    .get("/premium", (_, res) => res.json({ premium: true }));
}

function sellerAppV1() {
  const routes = { "GET /v1/weather": { price: "$0.001", network: "base-sepolia" } };
  return express()
    .use(paymentMiddlewareV1(payeeV1, routes, { url: facilitatorUrl }))
    .get("/v1/weather", (_, res) => res.json({ weather: "sunny" }));
}

function listen(app) {
  return new Promise((resolve, reject) => {
    const server = app.listen(0, "127.0.0.1", (error) =>
      error ? reject(error) : resolve(`http://127.0.0.1:${server.address().port}`),
    );
  });
}
