"""Opens and writes key files with eth-account, to compare with ours.

    python keystore.py roundtrip DIR [scrypt|pbkdf2]

Opens every key file in DIR with the passphrase in DIR/passphrase, prints the address of each, then writes a new key
to DIR/new.json under that passphrase and prints its address. Needs eth-account 0.13.
"""

import json
import sys
from pathlib import Path

from eth_account import Account


def roundtrip(directory: Path, kdf: str) -> None:
    passphrase = (directory / "passphrase").read_text().removesuffix("\n")
    for path in sorted(directory.glob("*.json")):
        if path.name == "keystore.json":
            continue
        print(Account.from_key(Account.decrypt(json.loads(path.read_text()), passphrase)).address)
    account = Account.create()
    (directory / "new.json").write_text(json.dumps(account.encrypt(passphrase, kdf=kdf)))
    print(account.address)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["roundtrip", directory, *kdf] if len(kdf) < 2:
            roundtrip(Path(directory), *(kdf or ["scrypt"]))
        case _:
            sys.exit(__doc__)
