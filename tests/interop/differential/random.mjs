// Random choices that a seed repeats.

import { createHash } from "node:crypto";

// Alphabets of texts: what JSON, logs and URLs tend to get wrong. All are whole characters: no lone surrogates.
const ALPHABETS = [
  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,-_",
  "\"\\/{}[]:,'<>&%$#@!?=+*~^`|;()",
  "\u0000\u0001\u0008\t\n\u000b\f\r\u001b\u001f\u007f\u0080\u009f",
  "äöüßéñçøåÆŁžİıſΩπЖяאבגدرس",
  "天気予報서울กขค\u0301\u0308\u200b\u200d\u200e\u202e\u2028\u2029\ufeff\ufffd\uffff",
  "😀🚀👩‍💻🏳️‍🌈𝒳𐍈\u{10ffff}",
];
const LETTERS = [..."abcdefghijklmnopqrstuvwxyz0123456789"];

export class Random {
  #words;

  constructor(seed) {
    const digest = createHash("sha256").update(String(seed)).digest();
    this.#words = new Uint32Array([0, 4, 8, 12].map((at) => digest.readUInt32LE(at)));
  }

  // 32 bits, by sfc32.
  next() {
    const [a, b, c, count] = this.#words;
    const sum = (a + b + count) >>> 0;
    this.#words.set([b ^ (b >>> 9), c + (c << 3), ((c << 21) | (c >>> 11)) + sum, count + 1]);
    return sum;
  }

  // Below `count`; the bias of the remainder does not matter here.
  below(count) {
    return this.next() % count;
  }

  between(least, most) {
    return least + this.below(most - least + 1);
  }

  chance(probability) {
    return this.next() < probability * 2 ** 32;
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  shuffled(list) {
    const copy = [...list];
    for (let last = copy.length - 1; last > 0; last--) {
      const other = this.below(last + 1);
      [copy[last], copy[other]] = [copy[other], copy[last]];
    }
    return copy;
  }

  hex(bytes) {
    return Array.from({ length: bytes }, () => (this.next() >>> 24).toString(16).padStart(2, "0")).join("");
  }

  // From 1 to `most`: each number of bits is as likely as any other.
  size(most) {
    const bits = this.between(1, most.toString(2).length);
    const value = BigInt(`0x${this.hex(Math.ceil(bits / 8))}`) & ((1n << BigInt(bits)) - 1n);
    return value < 1n ? 1n : value > most ? most : value;
  }

  word() {
    return Array.from({ length: this.between(1, 12) }, () => this.pick(LETTERS)).join("");
  }

  text(length = this.below(24)) {
    const alphabets = Array.from({ length: this.between(1, 3) }, () => [...this.pick(ALPHABETS)]);
    return Array.from({ length }, () => this.pick(this.pick(alphabets))).join("");
  }
}
