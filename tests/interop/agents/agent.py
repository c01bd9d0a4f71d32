"""An agent that pays for what it reads and holds no key: Pursekeeper judges each payment, records it and signs.

Usage: agent.py SOCKET METHOD URL [JSON_BODY]
"""

import base64
import json
import sys
import uuid
from pathlib import Path

import grpc
import requests
from grpc_tools import protoc

PROTOS = Path(__file__).parents[3] / "proto"
STUBS = Path(__file__).parent / "generated"


def connect(socket):
    STUBS.mkdir(exist_ok=True)
    sources = [str(path) for path in PROTOS.rglob("*.proto")]
    if protoc.main(["", f"-I{PROTOS}", f"--python_out={STUBS}", f"--grpc_python_out={STUBS}", *sources]):
        raise SystemExit(f"the stubs could not be generated from {PROTOS}")
    sys.path.insert(0, str(STUBS))
    from pursekeeper.v1 import signer_pb2, signer_pb2_grpc

    # A Unix socket has no host name, and servers refuse the authority that gRPC would make up from its path.
    channel = grpc.insecure_channel(f"unix:{socket}", options=[("grpc.default_authority", "localhost")])
    return signer_pb2_grpc.SignerStub(channel), signer_pb2.SignPaymentRequest


def paying_request(signer, Request, method, url, **options):
    """Like requests.request, and pays when the seller asks for it. Returns (response, what Pursekeeper answered)."""
    unpaid = requests.request(method, url, timeout=30, **options)
    if unpaid.status_code != 402:
        return unpaid, None

    ask = Request(request_id=str(uuid.uuid4()), endpoint={"method": method, "url": url})
    required = unpaid.headers.get("PAYMENT-REQUIRED")  # x402 v2; v1 has it in the body
    if required:
        ask.payment_required = required.encode()
    else:
        ask.body = unpaid.content
    # Every call carries it: a web page cannot send it, and the sidecar refuses calls without it.
    answer = signer.SignPayment(ask, timeout=10, metadata=[("pursekeeper", "1")])
    if answer.HasField("denied"):
        return None, answer.denied

    headers = {answer.signed.header_name: answer.signed.header_value}
    return requests.request(method, url, timeout=30, headers=headers, **options), answer.signed


def main(socket, method, url, body=None):
    options = {"json": json.loads(body)} if body else {}
    response, answer = paying_request(*connect(socket), method, url, **options)
    decision = answer.decision_id if answer else None
    if response is None:
        print(json.dumps({"code": answer.code, "message": answer.message, "decisionId": decision}))
        raise SystemExit(3)
    settlement = response.headers.get("PAYMENT-RESPONSE") or response.headers.get("X-PAYMENT-RESPONSE")
    payment_response = json.loads(base64.b64decode(settlement)) if settlement else None
    result = {"status": response.status_code, "body": response.text}
    print(json.dumps({**result, "paymentResponse": payment_response, "decisionId": decision}))


if __name__ == "__main__":
    main(*sys.argv[1:])
