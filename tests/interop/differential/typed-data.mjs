// What was signed, written down again from the requirement, in the words of the standards and of nobody's SDK. What
// only the signer chooses (times, nonces) is taken from the payload.

import { getAddress } from "viem";
import { PERMIT2 } from "./world.mjs";

const CHAIN_ID = 84532;
export const PROXIES = {
  exact: "0x402085c248EeA27D92E8b30b2C58ed07f9E20001",
  upto: "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002",
};

const checksummed = (address) => getAddress(address.toLowerCase());
const fields = (text) => text.split(",").map((field) => field.split(" ")).map(([type, name]) => ({ type, name }));
const TRANSFER = fields("address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce");
const PERMIT = fields("address owner,address spender,uint256 value,uint256 nonce,uint256 deadline");
const PERMIT2_TYPES = {
  PermitWitnessTransferFrom: fields(
    "TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,Witness witness",
  ),
  TokenPermissions: fields("address token,uint256 amount"),
};
const WITNESSES = {
  exact: fields("address to,uint256 validAfter"),
  upto: fields("address to,address facilitator,uint256 validAfter"),
};

// Every signature of a payment: `{primaryType, types, domain, message, signature}`.
export function signatures({ kind, asset, wallet, entry, nonce }, payload) {
  const offer = JSON.parse(entry);
  const value = BigInt(offer.amount ?? offer.maxAmountRequired);
  const [token, to] = [checksummed(offer.asset), checksummed(offer.payTo)];
  const ours = { name: asset.name, version: asset.version, chainId: CHAIN_ID, verifyingContract: token };
  const { signature, authorization, permit2Authorization } = payload.payload;
  if (kind.method === "eip3009") {
    const { validAfter, validBefore, nonce: drawn } = authorization;
    const times = { validAfter: BigInt(validAfter), validBefore: BigInt(validBefore) };
    const message = { from: wallet.address, to, value, ...times, nonce: drawn };
    const types = { TransferWithAuthorization: TRANSFER };
    return [{ primaryType: "TransferWithAuthorization", types, domain: ours, message, signature }];
  }
  const { nonce: drawn, deadline, witness } = permit2Authorization;
  const facilitator = kind.scheme === "upto" && { facilitator: checksummed(offer.extra.facilitatorAddress) };
  const payment = {
    primaryType: "PermitWitnessTransferFrom",
    types: { ...PERMIT2_TYPES, Witness: WITNESSES[kind.scheme] },
    domain: { name: "Permit2", chainId: CHAIN_ID, verifyingContract: PERMIT2 },
    message: {
      permitted: { token, amount: value },
      spender: PROXIES[kind.scheme],
      nonce: BigInt(drawn),
      deadline: BigInt(deadline),
      witness: { to, ...facilitator, validAfter: BigInt(witness.validAfter) },
    },
    signature,
  };
  if (!kind.sponsored) return [payment];
  const { info } = payload.extensions.eip2612GasSponsoring;
  const message = { owner: wallet.address, spender: PERMIT2, value, nonce, deadline: BigInt(info.deadline) };
  return [
    payment,
    { primaryType: "Permit", types: { Permit: PERMIT }, domain: ours, message, signature: info.signature },
  ];
}
