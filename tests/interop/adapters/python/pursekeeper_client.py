"""Pursekeeper for apps on requests or httpx: the app asks it for every payment and holds no key.

Copy this file and Pursekeeper's `proto` folder; it needs grpcio and grpcio-tools, and requests or httpx. It is all you need
to pay with plain requests or httpx. Apps that keep PyPI x402's client copy x402_scheme.py as well.
"""

import asyncio
import base64
import json
import sys
import uuid
import warnings
from pathlib import Path

import grpc
import httpx
import requests
from grpc_tools import protoc
from requests.adapters import HTTPAdapter

PROTOS = Path(__file__).parents[4] / "proto"  # where you put that folder
STUBS = Path(__file__).parent / "generated"
TIMEOUT_SECONDS = 10
# What every call carries: a web page cannot send it, and the sidecar refuses calls without it.
HEADER = [("pursekeeper", "1")]
PERMIT2 = "0x000000000022D473030F116dDEE9F6B43aC78BA3"


class PursekeeperDenied(Exception):
    """Pursekeeper's refusal. `code` is one of docs/POLICY_GUIDE.md, `decision_id` names the record, and `offers` says of
    each offer of the seller why it was not signed."""

    def __init__(self, denied):
        super().__init__(denied.message)
        self.code = denied.code
        self.message = denied.message
        self.decision_id = denied.decision_id
        self.offers = [(offer.index, offer.code, offer.message) for offer in denied.offers]


class Pursekeeper:
    """The sidecar that listens on `socket`.

    `rpc_urls` names a node for each network (`eip155:8453`) whose sellers pay the gas of a Permit2 allowance. `workflow` and
    `wallet` are needed only when the agent belongs to several workflows, or its workflow has several wallets on a network.
    """

    def __init__(self, socket, rpc_urls=None, **workflow_and_wallet):
        self._pb, stubs = _generated()
        # A Unix socket has no host name, and servers refuse the authority that gRPC would make up from its path.
        channel = grpc.insecure_channel(f"unix:{socket}", options=[("grpc.default_authority", "localhost")])
        self._signer = stubs.SignerStub(channel)
        self._rpc_urls = rpc_urls or {}
        self._who = workflow_and_wallet

    def sign_payment(self, method, url, payment_required=None, body=None):
        """A payment for what `method` on `url` answered with 402: `payment_required` is the header of that name (x402 v2),
        `body` the body of an answer that has none (v1). Raises PursekeeperDenied."""
        challenge = {"payment_required": payment_required.encode()} if payment_required else {"body": body}
        endpoint = {"method": method, "url": url}
        ask = self._pb.SignPaymentRequest(request_id=str(uuid.uuid4()), endpoint=endpoint, **challenge, **self._who)
        eip2612 = self._missing_allowance(ask)
        if eip2612:
            ask.eip2612.CopyFrom(eip2612)
        answer = self._signer.SignPayment(ask, timeout=TIMEOUT_SECONDS, metadata=HEADER)
        if answer.HasField("denied"):
            raise PursekeeperDenied(answer.denied)
        return answer.signed

    def report(self, signed, status, headers):
        """Tells Pursekeeper how the seller answered the payment. It is recorded beside the payment."""
        settlement = headers.get("PAYMENT-RESPONSE") or headers.get("X-PAYMENT-RESPONSE")
        if settlement:
            self._report(signed, payment_response=settlement.encode())
        else:
            self._report(signed, error=f"HTTP {status}")

    def report_error(self, signed, error):
        """Tells Pursekeeper why the seller did not answer the payment."""
        self._report(signed, error=str(error) or type(error).__name__)

    def _report(self, signed, **outcome):
        ask = self._pb.ReportOutcomeRequest(decision_id=signed.decision_id, **outcome)
        try:
            self._signer.ReportOutcome(ask, timeout=TIMEOUT_SECONDS, metadata=HEADER)
        except grpc.RpcError as error:
            # The app has paid for its answer, and gets it even if the report does not arrive.
            warnings.warn(f"the outcome of {signed.decision_id} was not reported: {error}")

    def _missing_allowance(self, ask):
        """What to say when the wallet has not allowed Permit2 to take this payment, and the seller would pay for a permit."""
        required = _decode(ask)
        sponsored = (required.get("extensions") or {}).get("eip2612GasSponsoring")
        if not sponsored or not self._rpc_urls:
            return None
        # The preview tells which wallet would pay which offer. Nothing is signed, and no money is bound.
        preview = self._signer.Preview(ask, timeout=TIMEOUT_SECONDS, metadata=HEADER)
        if not preview.HasField("would_sign"):
            return None
        offer, owner = required["accepts"][preview.would_sign.offer_index], preview.would_sign.wallet_address
        by_permit2 = offer["scheme"] == "upto" or (offer.get("extra") or {}).get("assetTransferMethod") == "permit2"
        rpc_url = self._rpc_urls.get(offer["network"])
        if not by_permit2 or not rpc_url:
            return None
        allowance = _eth_call(rpc_url, offer["asset"], "dd62ed3e", owner, PERMIT2)  # allowance(owner, spender)
        if allowance >= int(offer["amount"]):
            return None
        nonce = _eth_call(rpc_url, offer["asset"], "7ecebe00", owner)  # nonces(owner)
        return self._pb.Eip2612(network=offer["network"], asset=offer["asset"], nonce=str(nonce))


class PursekeeperAdapter(HTTPAdapter):
    """For requests: pays when a seller asks for it. Pursekeeper sees the whole 402 and chooses among its offers.

    session.mount("https://", PursekeeperAdapter(Pursekeeper(socket)))
    """

    def __init__(self, pursekeeper, **options):
        super().__init__(**options)
        self._pursekeeper = pursekeeper

    def send(self, request, **options):
        unpaid = super().send(request, **options)
        if unpaid.status_code != 402:
            return unpaid
        required = unpaid.headers.get("PAYMENT-REQUIRED")
        signed = self._pursekeeper.sign_payment(request.method, request.url, required, unpaid.content)
        paid = request.copy()
        paid.headers[signed.header_name] = signed.header_value
        try:
            response = super().send(paid, **options)
        except requests.RequestException as error:
            self._pursekeeper.report_error(signed, error)
            raise
        self._pursekeeper.report(signed, response.status_code, response.headers)
        return response


class PursekeeperTransport(httpx.AsyncBaseTransport):
    """For httpx: pays when a seller asks for it. Pursekeeper sees the whole 402 and chooses among its offers.

    httpx.AsyncClient(transport=PursekeeperTransport(Pursekeeper(socket)))
    """

    def __init__(self, pursekeeper, transport=None):
        self._pursekeeper = pursekeeper
        self._transport = transport or httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request):
        content = await request.aread()  # so that it can be sent twice
        unpaid = await self._transport.handle_async_request(request)
        if unpaid.status_code != 402:
            return unpaid
        body = await unpaid.aread()
        await unpaid.aclose()
        required = unpaid.headers.get("PAYMENT-REQUIRED")
        # In a thread, so that other tasks go on meanwhile.
        pursekeeper, url = self._pursekeeper, str(request.url)
        signed = await asyncio.to_thread(pursekeeper.sign_payment, request.method, url, required, body)
        headers = [*request.headers.raw, (signed.header_name, signed.header_value)]
        paid = httpx.Request(request.method, url, headers=headers, content=content, extensions=request.extensions)
        try:
            response = await self._transport.handle_async_request(paid)
        except httpx.HTTPError as error:
            await asyncio.to_thread(pursekeeper.report_error, signed, error)
            raise
        await asyncio.to_thread(pursekeeper.report, signed, response.status_code, response.headers)
        return response

    async def aclose(self):
        await self._transport.aclose()


def _generated():
    """Messages and stubs, generated beside this file from the proto folder."""
    STUBS.mkdir(exist_ok=True)
    sources = [str(path) for path in PROTOS.rglob("*.proto")]
    if protoc.main(["", f"-I{PROTOS}", f"--python_out={STUBS}", f"--grpc_python_out={STUBS}", *sources]):
        raise RuntimeError(f"the stubs could not be generated from {PROTOS}")
    sys.path.insert(0, str(STUBS))
    from pursekeeper.v1 import signer_pb2, signer_pb2_grpc

    return signer_pb2, signer_pb2_grpc


def _decode(ask):
    """The 402, if it is x402 at all: Pursekeeper is the one to complain about it."""
    try:
        text = base64.b64decode(ask.payment_required) if ask.payment_required else ask.body
        required = json.loads(text)
    except ValueError:
        return {}
    return required if isinstance(required, dict) else {}


def _eth_call(rpc_url, to, selector, *addresses):
    """Calls a view function that takes addresses and returns a number."""
    data = "0x" + selector + "".join(address[2:].rjust(64, "0") for address in addresses)
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{"to": to, "data": data}, "latest"]}
    answer = requests.post(rpc_url, json=call, timeout=TIMEOUT_SECONDS).json()
    if not answer.get("result"):
        raise RuntimeError(f"{rpc_url} does not answer eth_call: {answer.get('error')}")
    return int(answer["result"], 16)
