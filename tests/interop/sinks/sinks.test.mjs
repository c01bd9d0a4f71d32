// What the sinks send, as others see it: a receiver of OpenTelemetry logs that is killed again and again, a collector that
// passes them on, and the OCSF schema.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { connect, run, startSidecar, until } from "../sidecar.mjs";

// How often the receiver is killed: 50 times in the full run.
const KILLS = Number(process.env.KILLS ?? 8);
// Between two payments: fewer calls than an agent may make.
const PAUSE_MS = 5;
const PAYEE = "0x6bE854D8F38Acab8844843C07447E4E0F528c054";
const USDC = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";
const NETWORK = "eip155:84532";
const URL = "https://api.example.com/v1/report";
const interop = join(import.meta.dirname, "..");
const python = join(interop, ".venv", "bin", "python");
const directory = mkdtempSync(join(tmpdir(), "sinks-"));
const received = join(directory, "received.jsonl");
const collected = join(directory, "collected.jsonl");

let sidecar;
let signer;
let ports;
const running = new Set();

const registry = () => `
version: 1
teams: { platform: {} }
operators: { tester: { uids: [${process.getuid()}], teams: [platform] } }
agents: { buyer: { uids: [${process.getuid()}], workflows: [interop] } }
workflows: { interop: { owner: platform, services: [reports] } }
wallets:
  research-hot: { address: "${addressOf()}", owner: platform, recovery: [platform], backup: none, revokers: [platform], workflows: [interop],
    networks: ["${NETWORK}"], ceilings: { usd: { payment: "1", day: "1000" } } }
services:
  reports: { origin: "https://api.example.com", methods: [GET], paths: [/v1/report], payees: ["${PAYEE}"] }
assets:
  usdc: { network: "${NETWORK}", address: "${USDC}", methods: [eip3009],
    symbol: USDC, name: USDC, version: "2", decimals: 6, usd: { peg: "1" } }
`;
let addressOf;

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

async function start(command, args, { env = {}, ready }) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, ...env } });
  running.add(child);
  child.once("exit", () => running.delete(child));
  if (ready) {
    const [first] = await Promise.race([once(child.stdout, "data"), once(child, "exit")]);
    assert.match(String(first), ready);
  }
  child.stdout.resume();
  return child;
}

const receive = (port, file) =>
  start(python, [join(import.meta.dirname, "receiver.py"), String(port), file], { ready: /listening/ });

async function kill(child) {
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

function request(amount) {
  const offer = { scheme: "exact", network: NETWORK, asset: USDC, payTo: PAYEE, amount, maxTimeoutSeconds: 60,
    extra: { name: "USDC", version: "2" } };
  const required = { x402Version: 2, error: "payment required", resource: { url: URL }, accepts: [offer] };
  return {
    request_id: randomUUID(),
    endpoint: { method: "GET", url: URL },
    payment_required: Buffer.from(Buffer.from(JSON.stringify(required)).toString("base64")),
  };
}

const told = async () => (await sidecar.command("audit", "sinks"))[0];
const caughtUp = (name) =>
  until(async () => {
    const { sinks } = await told();
    return sinks.find((sink) => sink.name === name).lag_records === 0;
  }, `${name} has everything`, sidecar.logged);

const lines = (file) => readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line));
const attributes = ({ log }) => Object.fromEntries(log.attributes.map(({ key, value }) => [key, Object.values(value)[0]]));

// Every record of the journal is among the logs, and whatever came again came with all that followed it.
async function complete(file) {
  const logs = lines(file);
  const { output } = await run(process.env.PURSEKEEPER_BIN, ["audit", "export", ...sidecar.config]);
  const records = output.trimEnd().split("\n");
  let next = 1;
  let before = 0;
  for (const log of logs) {
    const seq = Number(attributes(log)["pursekeeper.seq"]);
    assert.ok(seq <= next && (seq === before + 1 || seq < next), `${seq} after ${before}`);
    next = Math.max(next, seq + 1);
    before = seq;
    assert.equal(log.log.body.stringValue, records[seq - 1]);
  }
  assert.equal(next - 1, records.length, "nothing is missing");
  return { records: records.length, logs };
}

before(async () => {
  ports = { receiver: await freePort(), collector: await freePort(), behind: await freePort(), http: await freePort() };
  const sinks = [
    { name: "receiver", format: "otlp", endpoint: `http://127.0.0.1:${ports.receiver}`, batch_records_max: 16,
      retry_ms_min: 20, retry_ms_max: 200 },
    { name: "collector", format: "otlp", endpoint: `http://127.0.0.1:${ports.collector}`, retry_ms_min: 20, retry_ms_max: 200 },
    { name: "events", format: "ocsf", file: { path: join(directory, "events.jsonl") } },
  ];
  sidecar = await startSidecar({
    registry: (addresses) => {
      addressOf = () => Object.values(addresses)[0];
      return registry();
    },
    configure: (text) => `${text}\naudit: ${JSON.stringify({ sinks })}\n`,
  });
  signer = connect(sidecar.socket);
});

after(async () => {
  signer?.close();
  await sidecar?.stop();
  for (const child of running) child.kill("SIGKILL");
});

test(`a receiver that is killed ${KILLS} times misses nothing`, async () => {
  let paid = 0;
  let stopped = false;
  const paying = (async () => {
    while (!stopped) {
      const { signed, denied } = await signer.signPayment(request(paid % 5 === 4 ? "9000000" : "1"));
      assert.ok(signed || denied);
      paid += 1;
      await setTimeout(PAUSE_MS);
    }
  })();
  for (let round = 0; round < KILLS; round++) {
    const receiver = await receive(ports.receiver, received);
    const size = () => { try { return readFileSync(received).length; } catch { return 0; } };
    const had = size();
    await until(() => size() > had, "it gets something", sidecar.logged);
    await kill(receiver);
  }
  stopped = true;
  await paying;
  const receiver = await receive(ports.receiver, received);
  await caughtUp("receiver");
  await kill(receiver);
  const { records, logs } = await complete(received);
  assert.ok(paid > KILLS && records > KILLS, `${records} records of ${paid} payments`);
  assert.equal(logs[0].resource["service.name"], "pursekeeper");
  assert.match(logs[0].resource["service.instance.id"], /^[0-9a-f]{32}$/);
  const refused = logs.find((log) => attributes(log)["pursekeeper.verdict"] === "deny");
  assert.equal(refused.log.severityNumber, "SEVERITY_NUMBER_WARN");
  assert.ok(attributes(refused)["pursekeeper.code"]);
  console.log(`# ${KILLS} kills, ${records} records, ${logs.length - records} came twice`);
});

test("a collector takes the logs and passes them on", async () => {
  await receive(ports.behind, collected);
  const [{ output }] = [await run(python, ["-c", "import rotel, os; print(os.path.dirname(rotel.__file__))"])];
  const args = ["start", "--otlp-grpc-endpoint", `127.0.0.1:${ports.collector}`, "--otlp-http-endpoint",
    `127.0.0.1:${ports.http}`, "--exporter", "otlp", "--otlp-exporter-endpoint", `http://127.0.0.1:${ports.behind}`];
  await start(join(output.trim(), "rotel-agent"), args, {});
  await caughtUp("collector");
  const { last_seq } = await told();
  const seqs = () => {
    try {
      return new Set(lines(collected).map((log) => Number(attributes(log)["pursekeeper.seq"])));
    } catch {
      return new Set();
    }
  };
  await until(() => seqs().size >= last_seq, "the collector has passed everything on", sidecar.logged);
  const log = lines(collected).find((log) => attributes(log)["pursekeeper.kind"] === "payment");
  assert.equal(attributes(log)["url.full"], URL);
});

test("every event follows the OCSF schema", async () => {
  // Of as many kinds as can be made here.
  await signer.preview(request("1"));
  const again = request("1");
  const { signed } = await signer.signPayment(again);
  await signer.signPayment(again);
  await signer.reportOutcome({ decision_id: signed.decision_id, error: "500" });
  await signer.signIn({ request_id: randomUUID(), venice: {}, endpoint: { method: "GET", url: URL } }).catch(() => {});
  for (const verb of ["suspend", "resume"])
    await sidecar.command("workflow", verb, "interop", "--reason", "drill");
  await sidecar.command("reload", "--reason", "drill").catch(() => {});
  await caughtUp("events");
  const file = readFileSync(join(directory, "events.jsonl"));
  const checked = spawnSync(python, [join(import.meta.dirname, "ocsf.py")], { input: file, maxBuffer: 2 ** 26 });
  assert.equal(checked.status, 0, String(checked.stderr));
  const { events, wrong, control } = JSON.parse(checked.stdout);
  assert.deepEqual(wrong, []);
  assert.ok(control, "the validator finds what is wrong");
  const { last_seq } = await told();
  assert.equal(events, last_seq);
  const kinds = new Set(lines(join(directory, "events.jsonl")).map((event) => event.metadata.event_code));
  for (const kind of ["genesis", "transition", "payment", "preview", "reissue", "report", "lifecycle"]) assert.ok(kinds.has(kind), kind);
  console.log(`# ${events} events of ${[...kinds].join(", ")}`);
});
