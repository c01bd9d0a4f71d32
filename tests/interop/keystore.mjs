// Opens and writes key files with ethers 6, to compare with ours.
//
//     node keystore.mjs roundtrip DIR
//
// Opens every key file in DIR with the passphrase in DIR/passphrase, prints the address of each, then writes a new key
// to DIR/new.json under that passphrase and prints its address.

import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { Wallet } from "ethers";

const [command, directory, ...rest] = process.argv.slice(2);
if (command !== "roundtrip" || directory === undefined || rest.length > 0) {
  console.error("usage: node keystore.mjs roundtrip DIR");
  process.exit(2);
}

const passphrase = readFileSync(join(directory, "passphrase"), "utf8").replace(/\n$/, "");
for (const name of readdirSync(directory).sort()) {
  if (!name.endsWith(".json") || name === "keystore.json") continue;
  const wallet = await Wallet.fromEncryptedJson(readFileSync(join(directory, name), "utf8"), passphrase);
  console.log(wallet.address);
}
const wallet = Wallet.createRandom();
writeFileSync(join(directory, "new.json"), await wallet.encrypt(passphrase));
console.log(wallet.address);
