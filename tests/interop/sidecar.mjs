// The real binary, initialised in a directory of its own and served over its sockets.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import * as grpc from "@grpc/grpc-js";
import * as protoLoader from "@grpc/proto-loader";

const PROTOS = fileURLToPath(new URL("../../proto", import.meta.url));
const CALL_MS_MAX = 10_000;

export const binary = process.env.PURSEKEEPER_BIN;

// Runs a program to its end, whatever its exit status: `code`, and what it printed.
export function run(command, args, cwd = import.meta.dirname) {
  return new Promise((resolve, reject) => {
    execFile(command, args, { cwd, timeout: 60_000, maxBuffer: 2 ** 26 }, (error, output, errors) => {
      const code = error ? error.code : 0;
      // Not a number: it could not be started, or was killed when its time was over.
      if (typeof code === "number") resolve({ code, output, errors });
      else reject(new Error(`\`${command} ${args.join(" ")}\` did not end by itself: ${errors}`, { cause: error }));
    });
  });
}

// Waits until `done` holds. `logged` tells what the sidecar said, should it never do.
export async function until(done, what, logged) {
  const deadline = Date.now() + 60_000;
  while (!(await done())) {
    if (Date.now() > deadline) throw new Error(`gave up waiting until ${what}: ${logged()}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

// The service `Signer` as an agent sees it: each method takes a request and promises the answer.
export const connect = (socket) => service(socket, "Signer");

// What every call carries: a web page cannot send it, and the sidecar refuses calls without it.
const HEADER = grpc.Metadata.fromHttp2Headers({ pursekeeper: "1" });

// The service `Governance` as an operator sees it, likewise.
export const govern = (socket) => service(socket, "Governance");

function service(socket, name) {
  const reading = { includeDirs: [PROTOS], keepCase: true, defaults: true, longs: Number };
  const loaded = protoLoader.loadSync(`pursekeeper/v1/${name.toLowerCase()}.proto`, reading);
  const { [name]: Client } = grpc.loadPackageDefinition(loaded).pursekeeper.v1;
  const options = {
    // A Unix socket has no host name, and servers refuse the authority that gRPC would make up from its path.
    "grpc.default_authority": "localhost",
    "grpc.initial_reconnect_backoff_ms": 20,
    "grpc.max_reconnect_backoff_ms": 100,
  };
  const client = new Client(`unix:${socket}`, grpc.credentials.createInsecure(), options);
  const call = ({ originalName }) => [
    originalName,
    (request) =>
      promisify(client[originalName]).bind(client)(request, HEADER, { deadline: Date.now() + CALL_MS_MAX }),
  ];
  return {
    ...Object.fromEntries(Object.values(Client.service).map(call)),
    ready: (deadline) => promisify(client.waitForReady).bind(client)(deadline),
    close: () => client.close(),
  };
}

// Options:
// - `registry(addresses)`: the text of registry.yaml, from the addresses of the wallets by name;
// - `wallets`: how many there are, at least one;
// - `policies`: more files of the bundle, by name;
// - `configure(text)`: changes pursekeeper.yaml;
// - `prepare(home)`: changes anything else before the start.
export async function startSidecar({
  registry,
  wallets = 1,
  policies = {},
  configure = (text) => text,
  prepare = () => {},
}) {
  if (!binary) throw new Error("PURSEKEEPER_BIN is not set: start the tests with ./run");
  const home = mkdtempSync(join(tmpdir(), "pursekeeper-"));
  const file = join(home, "pursekeeper.yaml");
  const log = join(home, "serve.log");
  const socket = join(home, "run", "agent.sock");

  const execute = (...args) => promisify(execFile)(binary, args, { timeout: 60_000, maxBuffer: 2 ** 30 });
  // What an operator does: each line of a command's output.
  async function command(...args) {
    const { stdout } = await execute(...args, "--config", file, "--output", "json");
    return stdout.trim().split("\n").map((line) => JSON.parse(line));
  }

  await execute("init", home);
  for (let count = 1; count < wallets; count++) await command("wallet", "create", `wallet-${count}`, "--offline");
  const [listed] = await command("wallet", "list");
  const addresses = Object.fromEntries(listed.map(({ name, address }) => [name, address]));
  for (const [name, text] of Object.entries({ ...policies, "registry.yaml": registry(addresses) }))
    writeFileSync(join(home, "policies", name), text);
  writeFileSync(file, configure(readFileSync(file, "utf8")));
  prepare(home);

  const out = openSync(log, "a");
  const serve = spawn(binary, ["serve", "--config", file], { stdio: ["ignore", out, out] });
  // A test that fails before it can stop it ends all the same, and takes it along.
  serve.unref();
  const kill = () => serve.kill("SIGKILL");
  process.on("exit", kill);
  const logged = () => readFileSync(log, "utf8");
  try {
    await answers(socket, serve);
  } catch (error) {
    kill();
    throw new Error(`${error.message}: ${logged()}`, { cause: error });
  }
  return {
    home,
    config: ["--config", file],
    socket,
    addresses,
    command,
    logged,
    // Ends it as its supervisor would, and checks that it was well until then.
    async stop() {
      process.off("exit", kill);
      const killer = setTimeout(kill, 20_000);
      const ended = serve.exitCode === null ? once(serve, "exit") : [serve.exitCode, serve.signalCode];
      serve.kill("SIGTERM");
      const status = await ended;
      clearTimeout(killer);
      assert.deepEqual(status, [0, null], logged());
    },
  };
}

async function answers(socket, serve) {
  const client = connect(socket);
  const deadline = Date.now() + 30_000;
  try {
    // In short turns, so that a `serve` that ends instead is noticed at once.
    while (serve.exitCode === null && Date.now() < deadline)
      if (await client.ready(Date.now() + 200).then(() => true, () => false)) return;
  } finally {
    client.close();
  }
  throw new Error(`\`pursekeeper serve\` does not answer (exit status ${serve.exitCode})`);
}
