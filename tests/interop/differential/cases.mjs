// Requirements as sellers may write them, each with what has to come of it.

import { declareEip2612GasSponsoringExtension } from "@x402/extensions";
import { getAddress } from "viem";
import { peers } from "../client.mjs";
import { Raw, Writer, anything, unknownMembers, unknownName } from "./json.mjs";
import { Random } from "./random.mjs";
import { AMOUNT_MAX, METHODS, SITE_NAMES } from "./world.mjs";

export const KINDS = [
  { name: "v1 EIP-3009", version: 1, scheme: "exact", method: "eip3009" },
  { name: "v2 EIP-3009", version: 2, scheme: "exact", method: "eip3009" },
  { name: "v2 Permit2", version: 2, scheme: "exact", method: "permit2" },
  { name: "v2 upto", version: 2, scheme: "upto", method: "permit2" },
  { name: "v2 Permit2 with EIP-2612", version: 2, scheme: "exact", method: "permit2", sponsored: true },
  { name: "v2 upto with EIP-2612", version: 2, scheme: "upto", method: "permit2", sponsored: true },
];
const SOLANA = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
const DEPTH_MAX = 16; // of a whole 402
const OFFERS_MAX = 32;
const BYTES_MAX = 48_000; // 64 KiB in base64
const TEN_YEARS = "315360000";

// The `index`-th case of a seed. `request` is what the agent asks; the rest is what the answer is held against.
export function makeCase(world, seed, index) {
  const random = new Random(`${seed}/${index}`);
  const kind = KINDS[index % KINDS.length];
  const writer = new Writer(random);
  const asset = random.pick(world.assets);
  const wallets = world.wallets.filter(({ allowed }) => kind.method === "eip3009" || allowed === !kind.sponsored);
  const wallet = random.pick(wallets);
  const terms = {
    kind,
    asset,
    payee: random.pick(world.payees),
    amount: random.chance(0.05) ? AMOUNT_MAX : random.size(AMOUNT_MAX),
    // What lives less long could be dead before the facilitator has seen it.
    timeout: random.chance(0.2)
      ? random.pick(["60", "61", "300", "301", TEN_YEARS, "9007199254740993", "18446744073709551615"])
      : String(random.between(45, 900)),
  };
  const entry = writer.write(offer(random, terms));
  const resource = kind.version === 2 && !random.chance(0.1) ? writer.write(resourceObject(random)) : undefined;
  const extensions =
    kind.sponsored || (kind.version === 2 && random.chance(0.6))
      ? writer.write(extensionsObject(random, kind))
      : undefined;
  const write = (texts) =>
    writer.write({
      x402Version: kind.version,
      accepts: texts.map((text) => new Raw(text)),
      ...(resource !== undefined && { resource: new Raw(resource) }),
      ...(extensions !== undefined && { extensions: new Raw(extensions) }),
      ...(random.chance(0.7) && { error: random.text() }),
      ...unknownMembers(random, DEPTH_MAX - 1),
    });
  let { offers, position } = placed(random, writer, world, terms, entry);
  let required = write(offers);
  if (Buffer.byteLength(required) > BYTES_MAX) [position, required] = [0, write([entry])];
  const text = writer.space() + required + writer.space();
  const inBody = kind.version === 1 || random.chance(0.2);
  const nonce = asset.permitNonces[wallet.address];
  const request = {
    request_id: requestId(random),
    wallet: wallet.name,
    endpoint: { method: random.pick(METHODS), url: random.pick(SITE_NAMES) + path(random) },
    ...(inBody ? { body: Buffer.from(text) } : { payment_required: Buffer.from(Buffer.from(text).toString("base64")) }),
    // Where no allowance is needed it is not granted, whatever the agent says.
    ...((kind.sponsored || (kind.method === "eip3009" && random.chance(0.1))) && {
      eip2612: { network: peers.network, asset: spelled(random, asset.address), nonce: String(nonce) },
    }),
  };
  return { index, request, required, ...terms, wallet, entry, position, resource, extensions, nonce };
}

// One entry of `accepts`.
function offer(random, { kind, asset, payee, amount, timeout }) {
  const { name, version } = asset;
  const isPermit2 = kind.method === "permit2";
  const isUpto = kind.scheme === "upto";
  const method = isPermit2 && !isUpto ? kind.method : random.pick([kind.method, undefined]);
  const extra = {
    // The facilitator needs the token's names for EIP-3009 only.
    ...((!isPermit2 || random.chance(0.7)) && { name, version }),
    ...(kind.version === 2 && { assetTransferMethod: method }),
    ...(isUpto && { facilitatorAddress: spelled(random, peers.facilitatorAddress) }),
    ...unknownMembers(random, DEPTH_MAX - 4),
  };
  const common = {
    scheme: kind.scheme,
    asset: spelled(random, asset.address),
    payTo: spelled(random, payee),
    maxTimeoutSeconds: new Raw(timeout),
    extra,
    ...unknownMembers(random, DEPTH_MAX - 3),
  };
  if (kind.version === 2) return { ...common, network: peers.network, amount: String(amount) };
  const { url, description, mimeType } = resourceObject(random);
  const outputSchema = random.pick([undefined, null, anything(random, DEPTH_MAX - 3)]);
  const resource = { resource: url, description, mimeType, outputSchema };
  return { ...common, ...resource, network: "base-sepolia", maxAmountRequired: String(amount) };
}

// Puts the entry among others that must not be taken: what is not signed at all, and what costs more.
function placed(random, writer, world, terms, entry) {
  const count = random.pick([0, 0, 0, 1, 2, 3, random.chance(0.1) ? OFFERS_MAX - 1 : 1]);
  const others = Array.from({ length: count }, () => {
    const base = offer(random, { ...terms, payee: random.pick(world.payees) });
    const refusals = [
      { network: terms.kind.version === 1 ? "solana" : SOLANA, asset: "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v" },
      { scheme: random.pick(["batch-settlement", "auth-capture", "deferred", "EXACT"]) },
      { asset: `0x${random.hex(20)}` },
      { payTo: `0x${random.hex(20)}` },
      { extra: { ...base.extra, name: "USDÇ" } },
      { extra: { ...base.extra, assetTransferMethod: "erc7710" } },
    ];
    const price = terms.kind.version === 1 ? "maxAmountRequired" : "amount";
    const dearer = { [price]: String(terms.amount + random.size(AMOUNT_MAX)) };
    return writer.write({ ...base, ...random.pick([...refusals, dearer]) });
  });
  const position = random.between(0, count);
  return { offers: [...others.slice(0, position), entry, ...others.slice(position)], position };
}

function resourceObject(random) {
  const url = random.chance(0.95) ? random.pick(SITE_NAMES) + path(random) : undefined;
  const description = random.text(random.chance(0.02) ? 2_000 : random.below(80));
  const mimeType = random.pick(["", "application/json", random.text()]);
  return { url, description, mimeType, ...unknownMembers(random, 4) };
}

// What a seller declares. Nothing unknown is required: that is refused, and not random.
function extensionsObject(random, { sponsored }) {
  const some = (probability, name, make) => random.chance(probability) && { [name]: make() };
  const schema = () => anything(random, 5);
  const info = (known) => ({ info: { ...known, ...unknownMembers(random, 4) }, ...unknownMembers(random, 4) });
  const identifier = () =>
    info({ required: random.chance(0.5), ...(random.chance(0.2) && { id: `their-own-${random.hex(8)}` }) });
  const gas = () =>
    random.pick([
      () => declareEip2612GasSponsoringExtension().eip2612GasSponsoring,
      () => info({ version: "1" }),
      () => ({ ...info({ description: random.text() }), schema: schema() }),
      () => ({}),
    ])();
  const unknown = Array.from({ length: random.below(4) }, () => [
    unknownName(random),
    random.pick([schema, () => info({ required: false }), () => ({ schema: schema() })])(),
  ]);
  return {
    ...Object.fromEntries(unknown),
    ...some(0.3, "payment-identifier", identifier),
    ...some(0.2, "bazaar", () => info({ required: true })),
    ...some(0.1, "sign-in-with-x", schema),
    ...some(sponsored ? 1 : 0.2, "eip2612GasSponsoring", gas),
    ...some(0.1, "erc20ApprovalGasSponsoring", () => info({ version: "1" })),
  };
}

// An address in small, large or checksum letters.
function spelled(random, address) {
  const digits = address.slice(2).toLowerCase();
  return random.pick([`0x${digits}`, `0x${digits.toUpperCase()}`, getAddress(`0x${digits}`)]);
}

// A path with its query, perhaps in letters that a URL has to escape; white space and control characters are refused.
function path(random) {
  const odd = () => random.text(6).replaceAll(/[\s\p{C}\\/?#]/gu, "");
  const plain = () => random.pick([random.word(), odd(), "%2F", "%c3%a4", "..", "."]);
  const parts = Array.from({ length: random.below(5) }, plain);
  const query = random.chance(0.3) ? `?${plain()}=${plain()}` : "";
  const fragment = random.chance(0.05) ? `#${random.word()}` : "";
  return `/${parts.join("/")}${query}${fragment}`;
}

function requestId(random) {
  const short = Array.from({ length: random.between(1, 20) }, () => random.pick([..."aZ0._:-"])).join("");
  return random.pick([random.hex(16), `${short}${random.hex(8)}`, `${random.hex(56)}.${random.hex(4)}`]);
}
