"""Recovers, with eth-account, who signed each payment of a file, and says which were not signed by their wallet.

    recover.py FILE

Each line of FILE is JSON: {index, kind: {scheme, method, sponsored?}, wallet, token: {name, version}, nonce, entry,
payload}, where `entry` and `payload` are JSON texts as they were sent and `nonce` is that of the EIP-2612 permit. What
was signed is written down again from the entry; the payload says only what the signer chose. Prints
{"signatures": N, "mismatches": [INDEX, ...]}; an INDEX is whatever the line calls itself.
"""

import json
import multiprocessing
import sys

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import to_checksum_address as address

CHAIN_ID = 84532
PERMIT2 = "0x000000000022D473030F116dDEE9F6B43aC78BA3"
PROXIES = {
    "exact": "0x402085c248EeA27D92E8b30b2C58ed07f9E20001",
    "upto": "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002",
}


def fields(text):
    return [dict(zip(("type", "name"), field.split(" "))) for field in text.split(",")]


TRANSFER = {
    "TransferWithAuthorization": fields(
        "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce"
    )
}
PERMIT = {"Permit": fields("address owner,address spender,uint256 value,uint256 nonce,uint256 deadline")}
WITNESSES = {
    "exact": fields("address to,uint256 validAfter"),
    "upto": fields("address to,address facilitator,uint256 validAfter"),
}


def permit2_types(scheme):
    transfer = fields("TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,Witness witness")
    permitted = fields("address token,uint256 amount")
    return {"PermitWitnessTransferFrom": transfer, "TokenPermissions": permitted, "Witness": WITNESSES[scheme]}


def signed(case):
    """Each (domain, types, message, signature) of a payment."""
    entry, payload = json.loads(case["entry"]), json.loads(case["payload"])
    kind, wallet = case["kind"], case["wallet"]
    amount = int(entry.get("amount") or entry["maxAmountRequired"])
    token, payee = address(entry["asset"].lower()), address(entry["payTo"].lower())
    asset_domain = {**case["token"], "chainId": CHAIN_ID, "verifyingContract": token}
    body = payload["payload"]

    if kind["method"] == "eip3009":
        authorization = body["authorization"]
        message = {
            "from": wallet,
            "to": payee,
            "value": amount,
            "validAfter": int(authorization["validAfter"]),
            "validBefore": int(authorization["validBefore"]),
            "nonce": bytes.fromhex(authorization["nonce"].removeprefix("0x")),
        }
        yield asset_domain, TRANSFER, message, body["signature"]
        return

    authorization = body["permit2Authorization"]
    witness = {"to": payee, "validAfter": int(authorization["witness"]["validAfter"])}
    if kind["scheme"] == "upto":
        witness["facilitator"] = address(entry["extra"]["facilitatorAddress"].lower())
    message = {
        "permitted": {"token": token, "amount": amount},
        "spender": PROXIES[kind["scheme"]],
        "nonce": int(authorization["nonce"]),
        "deadline": int(authorization["deadline"]),
        "witness": witness,
    }
    domain = {"name": "Permit2", "chainId": CHAIN_ID, "verifyingContract": PERMIT2}
    yield domain, permit2_types(kind["scheme"]), message, body["signature"]

    if kind.get("sponsored"):
        info = payload["extensions"]["eip2612GasSponsoring"]["info"]
        deadline, nonce = int(info["deadline"]), int(case["nonce"])
        message = {"owner": wallet, "spender": PERMIT2, "value": amount, "nonce": nonce, "deadline": deadline}
        yield asset_domain, PERMIT, message, info["signature"]


def is_signer(wallet, domain, types, message, signature):
    try:
        return Account.recover_message(encode_typed_data(domain, types, message), signature=signature) == wallet
    except Exception as error:  # whatever it is, this was not signed by the wallet
        print(f"{wallet}: {error!r}", file=sys.stderr)
        return False


def check(line):
    case = json.loads(line)
    verdicts = [is_signer(case["wallet"], *one) for one in signed(case)]
    return case["index"], len(verdicts), all(verdicts)


def main(path):
    with open(path, encoding="utf-8") as file, multiprocessing.Pool() as pool:
        results = list(pool.imap_unordered(check, file, chunksize=50))
    mismatches = sorted(index for index, _, good in results if not good)
    print(json.dumps({"signatures": sum(count for _, count, _ in results), "mismatches": mismatches}))


if __name__ == "__main__":
    main(sys.argv[1])
