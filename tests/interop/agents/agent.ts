// An agent that pays for what it reads and holds no key: Pursekeeper judges each payment, records it and signs.
// Usage: tsx agent.ts SOCKET METHOD URL [JSON_BODY]

import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import * as grpc from "@grpc/grpc-js";
import * as protoLoader from "@grpc/proto-loader";

const [socket, method, url, body] = process.argv.slice(2);

const protos = fileURLToPath(new URL("../../../proto", import.meta.url));
const definition = protoLoader.loadSync("pursekeeper/v1/signer.proto", { includeDirs: [protos], keepCase: true });
const { Signer } = (grpc.loadPackageDefinition(definition) as any).pursekeeper.v1;
// A Unix socket has no host name, and servers refuse the authority that gRPC would make up from its path.
const options = { "grpc.default_authority": "localhost" };
const signer = new Signer(`unix:${socket}`, grpc.credentials.createInsecure(), options);
const signPayment = promisify(signer.SignPayment).bind(signer);
// Every call carries it: a web page cannot send it, and the sidecar refuses calls without it.
const header = grpc.Metadata.fromHttp2Headers({ pursekeeper: "1" });

// Like fetch, and pays when the seller asks for it.
async function payingFetch(url: string, init: RequestInit) {
  const unpaid = await fetch(url, init);
  if (unpaid.status !== 402) return { response: unpaid };

  const required = unpaid.headers.get("PAYMENT-REQUIRED"); // x402 v2; v1 has it in the body
  const challenge = required
    ? { payment_required: Buffer.from(required) }
    : { body: Buffer.from(await unpaid.arrayBuffer()) };
  const request = { request_id: randomUUID(), endpoint: { method: init.method, url }, ...challenge };
  const { signed, denied } = await signPayment(request, header, { deadline: Date.now() + 10_000 });
  if (denied) return { denied };

  const headers = { ...init.headers, [signed.header_name]: signed.header_value };
  return { response: await fetch(url, { ...init, headers }), decisionId: signed.decision_id };
}

const init = body ? { method, body, headers: { "content-type": "application/json" } } : { method };
const { response, decisionId, denied } = await payingFetch(url, init);
signer.close();
if (!response) {
  const { code, message, decision_id } = denied;
  console.log(JSON.stringify({ code, message, decisionId: decision_id }));
  process.exit(3);
}
const settlement = response.headers.get("PAYMENT-RESPONSE") ?? response.headers.get("X-PAYMENT-RESPONSE");
const paymentResponse = settlement && JSON.parse(Buffer.from(settlement, "base64").toString());
console.log(JSON.stringify({ status: response.status, body: await response.text(), paymentResponse, decisionId }));
