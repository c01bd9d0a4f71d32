"""Pursekeeper as a scheme of PyPI x402's client, for apps that keep that client: its selectors, policies and hooks.

Copy this file and pursekeeper_client.py. Register one for each scheme and network, switch the SDK's own spend controls off
(they know only assets that the SDK's own schemes tell them), and put the `Around…` of your HTTP library around what pays:

    pursekeeper = Pursekeeper(socket)
    client = x402ClientSync()  # x402Client() for httpx
    client.set_spend_controls(False)
    client.register("eip155:*", PursekeeperScheme(pursekeeper, "exact"))
    client.register("eip155:*", PursekeeperScheme(pursekeeper, "upto"))
    client.register_v1("base", PursekeeperScheme(pursekeeper, "exact"))

    session.mount("https://", AroundAdapter(pursekeeper, x402_http_adapter(client)))
    httpx.AsyncClient(transport=AroundTransport(pursekeeper, x402_httpx_transport(client)))
"""

import json
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpx
from pursekeeper_client import PursekeeperDenied
from requests.adapters import BaseAdapter


@dataclass
class Call:
    """A call that is being paid for. The SDK tells its schemes neither method nor URL, and the 402 only to a hook."""

    method: str
    url: str
    required: Any = None
    signed: Any = None
    response: Any = None


_current: ContextVar[Call] = ContextVar("call")


class PursekeeperScheme:
    def __init__(self, pursekeeper, scheme):
        self.scheme = scheme
        self.scheme_hooks = {
            "on_before_payment_creation": self._remember,
        }
        self._pursekeeper = pursekeeper

    def _remember(self, context):
        _call().required = context.payment_required

    def create_payment_payload(self, requirements):
        call = _call()
        required = {**_json(call.required), "accepts": [_json(requirements)]}
        call.signed = self._pursekeeper.sign_payment(call.method, call.url, body=json.dumps(required).encode())
        payment = json.loads(call.signed.payload)
        # The SDK takes `__extensions` out again and merges them into those of the seller.
        extensions = {"__extensions": payment["extensions"]} if "extensions" in payment else {}
        return {**payment["payload"], **extensions}


class AroundAdapter(BaseAdapter):
    """Around the SDK's adapter for requests."""

    def __init__(self, pursekeeper, paying_adapter):
        super().__init__()
        self._pursekeeper = pursekeeper
        self._adapter = paying_adapter

    def send(self, request, **options):
        with _paying(self._pursekeeper, request.method, request.url) as call:
            call.response = self._adapter.send(request, **options)
        return call.response

    def close(self):
        self._adapter.close()


class AroundTransport(httpx.AsyncBaseTransport):
    """Around the SDK's transport for httpx."""

    def __init__(self, pursekeeper, paying_transport):
        self._pursekeeper = pursekeeper
        self._transport = paying_transport

    async def handle_async_request(self, request):
        with _paying(self._pursekeeper, request.method, str(request.url)) as call:
            call.response = await self._transport.handle_async_request(request)
        return call.response

    async def aclose(self):
        await self._transport.aclose()


@contextmanager
def _paying(pursekeeper, method, url):
    """Lets the scheme know which call it pays for, raises its refusals as they are, and reports the outcome."""
    call = Call(method, url)
    token = _current.set(call)
    try:
        yield call
    except Exception as error:
        if isinstance(error.__cause__, PursekeeperDenied):
            raise error.__cause__ from None
        if call.signed:
            pursekeeper.report_error(call.signed, error)
        raise
    finally:
        _current.reset(token)
    if call.signed:
        pursekeeper.report(call.signed, call.response.status_code, call.response.headers)


def _call():
    call = _current.get(None)
    if call is None:
        raise RuntimeError("put AroundAdapter or AroundTransport around what pays: the SDK does not say for what it pays")
    return call


def _json(model):
    """A model of the SDK as it is on the wire."""
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)
