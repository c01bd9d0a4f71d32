// What the sellers offer, and the reference middleware in front of it.

import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { UptoEvmScheme } from "@x402/evm/upto/server";
import { paymentMiddleware, setSettlementOverrides, x402ResourceServer } from "@x402/express";
import { declareEip2612GasSponsoringExtension } from "@x402/extensions";
import express from "express";
import { paymentMiddleware as paymentMiddlewareV1 } from "x402-express";

const weather = (_, res) => res.json({ weather: "sunny" });
const infer = ({ body }, res) => res.json({ echo: body.prompt });
const premium = (_, res) => res.json({ premium: true });
// Takes only `amount`, in atomic units, of what the buyer has allowed.
const metered = (amount, answer) => (req, res) => {
  setSettlementOverrides(res, { amount });
  answer(req, res);
};

const exact = (price, answer) => ({ scheme: "exact", price, answer });
const permit2 = (price, answer) => ({ ...exact(price, answer), extra: { assetTransferMethod: "permit2" } });
const upto = (price, amount, answer) => ({ scheme: "upto", price, answer: metered(amount, answer) });
const sponsored = (offer) => ({ ...offer, extensions: declareEip2612GasSponsoringExtension() });

// The sellers of protocol version 2, with their routes.
export const sellers = {
  v2: {
    "GET /weather": exact("$0.001", weather),
    "POST /infer": exact("$0.01", infer),
    "GET /premium": exact("$0.002", premium),
  },
  permit2: {
    "GET /weather": permit2("$0.001", weather),
    "POST /infer": permit2("$0.01", infer),
  },
  upto: {
    "POST /infer": upto("$0.01", "4000", infer),
  },
  sponsored: {
    "GET /weather": sponsored(permit2("$0.001", weather)),
    "POST /infer": sponsored(upto("$0.01", "4000", infer)),
  },
};

export function sellerApp(offers, { network, payee, facilitator }) {
  const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitator }));
  server.register(network, new ExactEvmScheme()).register(network, new UptoEvmScheme());
  const routes = Object.entries(offers).map(([route, { scheme, price, extra, extensions }]) => [
    route,
    { accepts: { scheme, network, price, payTo: payee, extra }, extensions },
  ]);
  const app = express().use(paymentMiddleware(Object.fromEntries(routes), server)).use(express.json());
  for (const [route, { answer }] of Object.entries(offers)) {
    const [method, path] = route.split(" ");
    app[method.toLowerCase()](path, answer);
  }
  return app;
}

export function sellerAppV1({ network, payee, facilitator }) {
  const routes = { "GET /v1/weather": { price: "$0.001", network } };
  return express()
    .use(paymentMiddlewareV1(payee, routes, { url: facilitator }))
    .get("/v1/weather", weather);
}
