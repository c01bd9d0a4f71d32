// JSON as few write it and everybody has to read it, and the text of its members as it was written.

// JSON that is written as it stands.
export class Raw {
  constructor(text) {
    this.text = text;
  }
}

const SHORT = { "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\" };
const NUMBERS = ["0", "-0", "1.50", "1e3", "1E-400", "-1.0e+400", "9007199254740993", "123456789012345678901234567890"];

// Writes `value` in a style of its own: order of members, white space and escapes are random. A string says the same
// however it is written, so nobody who reads it may see a difference.
export class Writer {
  #random;
  #spaces;
  #escapes;

  constructor(random) {
    this.#random = random;
    this.#spaces = random.pick([0, 0, 0.1, 0.7]);
    this.#escapes = random.pick([0, 0, 0.1, 1]);
  }

  write(value) {
    if (value instanceof Raw) return value.text;
    if (typeof value === "string") return this.#string(value);
    if (Array.isArray(value)) return `[${this.#list(value.map((item) => this.write(item)))}]`;
    if (typeof value !== "object" || value === null) return JSON.stringify(value);
    const members = this.#random.shuffled(Object.entries(value).filter(([, item]) => item !== undefined));
    const member = ([name, item]) => `${this.#string(name)}${this.space()}:${this.space()}${this.write(item)}`;
    return `{${this.#list(members.map(member))}}`;
  }

  space() {
    if (!this.#random.chance(this.#spaces)) return "";
    return Array.from({ length: this.#random.between(1, 4) }, () => this.#random.pick([..." \t\n\r"])).join("");
  }

  #list(items) {
    return items.length === 0 ? this.space() : items.map((item) => this.space() + item + this.space()).join(",");
  }

  #string(text) {
    return `"${Array.from(text, (character) => this.#character(character)).join("")}"`;
  }

  #character(character) {
    const must = character < " " || character === '"' || character === "\\";
    const may = this.#random.chance(this.#escapes);
    if (!must && !may) return character;
    if (character in SHORT && !may) return SHORT[character];
    if (character === "/" && this.#random.chance(0.5)) return "\\/";
    const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index));
    const digits = (unit) => unit.toString(16).padStart(4, "0");
    return units.map((unit) => `\\u${this.#random.chance(0.5) ? digits(unit).toUpperCase() : digits(unit)}`).join("");
  }
}

// Any value, at most `depth` levels of arrays and objects.
export function anything(random, depth) {
  const leaf = () =>
    random.pick([() => null, () => random.chance(0.5), () => new Raw(random.pick(NUMBERS)), () => random.text()])();
  if (depth === 0 || random.chance(0.6)) return leaf();
  const items = Array.from({ length: random.below(4) }, () => anything(random, depth - 1));
  return random.chance(0.5) ? items : Object.fromEntries(items.map((item) => [unknownName(random), item]));
}

// Names nobody knows, some of them nearly those of the protocol. Two are never the same.
export function unknownName(random) {
  const near = ["Amount", "payto", "amount ", "ASSET", "network\u0000", "__proto__", "x402version", "schemé"];
  return random.chance(0.1) ? random.pick(near) : `x-${random.text(8)}${random.hex(4)}`;
}

export function unknownMembers(random, depth) {
  if (random.chance(0.02)) return { [unknownName(random)]: new Raw("[".repeat(depth) + "]".repeat(depth)) };
  const count = random.pick([0, 0, 1, 2, 5]);
  return Object.fromEntries(Array.from({ length: count }, () => [unknownName(random), anything(random, depth)]));
}

// The members of the object that `text` is, each as it stands there. `text` has to be good JSON.
export function members(text) {
  const found = new Map();
  let at = 0;
  const skip = () => {
    while (" \t\n\r".includes(text[at])) at++;
  };
  const string = () => {
    for (at++; text[at] !== '"'; at++) if (text[at] === "\\") at++;
    at++;
  };
  const value = () => {
    const from = at;
    if (text[at] === '"') string();
    else if (text[at] === "{" || text[at] === "[") {
      let open = 0;
      do {
        if (text[at] === '"') string();
        else {
          if ("{[".includes(text[at])) open++;
          if ("}]".includes(text[at])) open--;
          at++;
        }
      } while (open > 0);
    } else while (!" \t\n\r,}]".includes(text[at])) at++;
    return text.slice(from, at);
  };
  JSON.parse(text);
  skip();
  if (text[at] !== "{") throw new Error("not an object");
  for (at++, skip(); text[at] !== "}"; skip()) {
    const name = JSON.parse(value());
    skip();
    at++; // the colon
    skip();
    found.set(name, value());
    skip();
    if (text[at] === ",") at++;
  }
  return found;
}
