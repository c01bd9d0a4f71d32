"""An app that buys one thing, with each adapter in turn. Between the two lines it is the same app.

Usage: app.py ADAPTER SOCKET RPC_URL METHOD URL [JSON_BODY]
"""

import asyncio
import base64
import json
import sys

import httpx
import requests
from pursekeeper_client import Pursekeeper, PursekeeperAdapter, PursekeeperDenied, PursekeeperTransport
from x402 import x402Client, x402ClientSync
from x402.http.clients import x402_http_adapter, x402_httpx_transport
from x402_scheme import AroundAdapter, AroundTransport, PursekeeperScheme

adapter, socket, rpc_url, method, url, *body = sys.argv[1:]
pursekeeper = Pursekeeper(socket, {"eip155:84532": rpc_url})


# ---- What an app changes.
def with_schemes(client):
    client.set_spend_controls(False)
    client.register("eip155:*", PursekeeperScheme(pursekeeper, "exact"))
    client.register("eip155:*", PursekeeperScheme(pursekeeper, "upto"))
    client.register_v1("base-sepolia", PursekeeperScheme(pursekeeper, "exact"))
    return client


for_requests = {
    "requests": lambda: PursekeeperAdapter(pursekeeper),
    "x402-requests": lambda: AroundAdapter(pursekeeper, x402_http_adapter(with_schemes(x402ClientSync()))),
}
for_httpx = {
    "httpx": lambda: PursekeeperTransport(pursekeeper),
    "x402-httpx": lambda: AroundTransport(pursekeeper, x402_httpx_transport(with_schemes(x402Client()))),
}
# ----


def buy_with_requests(options):
    with requests.Session() as session:
        session.mount("http://", for_requests[adapter]())
        return session.request(method, url, timeout=30, **options)


async def buy_with_httpx(options):
    async with httpx.AsyncClient(transport=for_httpx[adapter](), timeout=30) as client:
        return await client.request(method, url, **options)


options = {"json": json.loads(body[0])} if body else {}
try:
    response = buy_with_requests(options) if adapter in for_requests else asyncio.run(buy_with_httpx(options))
except PursekeeperDenied as denied:
    print(json.dumps({"code": denied.code, "message": denied.message, "decisionId": denied.decision_id}))
    raise SystemExit(3)
settlement = response.headers.get("PAYMENT-RESPONSE") or response.headers.get("X-PAYMENT-RESPONSE")
payment_response = json.loads(base64.b64decode(settlement)) if settlement else None
print(json.dumps({"status": response.status_code, "body": response.text, "paymentResponse": payment_response}))
