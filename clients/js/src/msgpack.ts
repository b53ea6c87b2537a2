import type { Codec, Frame } from "./types.js";

/** Levels of arrays and objects: 64 inside `data`, as the server allows, and those of the frame around it. */
const DEPTH = 68;

const text = new TextEncoder();
// A byte order mark is part of the text, and bytes that are no text are no frame.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const refuse = (what: string): never => {
  throw new TypeError(what);
};

/** Write what the protocol allows, as `JSON.stringify` would choose it; bytes and 64-bit integers as they are. */
const write = (value: unknown): Uint8Array<ArrayBuffer> => {
  let bytes = new Uint8Array(256);
  let view = new DataView(bytes.buffer);
  let end = 0;

  const reserve = (size: number): number => {
    const start = end;
    end += size;
    if (end > bytes.length) {
      const more = new Uint8Array(Math.max(end, 2 * bytes.length));
      more.set(bytes);
      bytes = more;
      view = new DataView(more.buffer);
    }
    return start;
  };
  /** A tag, and a number of so many bytes after it. */
  const head = (tag: number, size = 0, n: number | bigint = 0): void => {
    const start = reserve(1 + size);
    view.setUint8(start, tag);
    if (size === 8) view.setBigUint64(start + 1, BigInt.asUintN(64, BigInt(n)));
    else if (size === 4) view.setUint32(start + 1, Number(n));
    else if (size === 2) view.setUint16(start + 1, Number(n));
    else if (size) view.setUint8(start + 1, Number(n));
  };
  /** The tag of what has a length: within itself up to `most`, else with 1 (where there is such a tag), 2 or 4 bytes. */
  const sized = (n: number, fixed: number, most: number, tag1: number, tag2: number): void => {
    if (n <= most) head(fixed + n);
    else if (tag1 && n < 256) head(tag1, 1, n);
    else if (n < 65536) head(tag2, 2, n);
    else head(tag2 + 1, 4, n);
  };
  const raw = (content: Uint8Array): void => {
    const start = reserve(content.length);
    bytes.set(content, start);
  };
  const string = (content: string): void => {
    const encoded = text.encode(content);
    sized(encoded.length, 0xa0, 31, 0xd9, 0xda);
    raw(encoded);
  };
  const integer = (n: number | bigint): void => {
    const negative = n < 0 ? 1 : 0;
    const least = negative ? -1 - Number(n) : Number(n); // what has to fit beside the sign
    if (least < (negative ? 32 : 128)) head(Number(n) & 255);
    else {
      const size = [1, 2, 4].find((size) => least < 2 ** (8 * size - negative)) ?? 8;
      head((negative ? 0xd0 : 0xcc) + Math.log2(size), size, n);
    }
  };
  const number = (n: number): void => {
    if (Number.isSafeInteger(n) && !Object.is(n, -0)) return integer(n);
    if (!Number.isFinite(n)) refuse(`${n} cannot be sent: numbers must be finite`);
    const start = reserve(9);
    view.setUint8(start, 0xcb);
    view.setFloat64(start + 1, n);
  };
  const item = (value: any, depth: number): void => {
    if (typeof value === "string") return string(value);
    if (typeof value === "number") return number(value);
    if (typeof value === "boolean") return head(value ? 0xc3 : 0xc2);
    if (typeof value === "bigint") {
      if (value < -(2n ** 63n) || value >= 2n ** 64n) refuse(`${value} cannot be sent: integers have 64 bits`);
      return integer(value);
    }
    if (typeof value !== "object" || value === null) return head(0xc0);
    if (depth > DEPTH) refuse(`more than ${DEPTH} levels cannot be sent: data may have 64, and no circles`);
    if (ArrayBuffer.isView(value)) value = value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength);
    if (Object.prototype.toString.call(value) === "[object ArrayBuffer]") {
      sized(value.byteLength, 0, -1, 0xc4, 0xc5);
      return raw(new Uint8Array(value));
    }
    if (typeof value.toJSON === "function") return item(value.toJSON(), depth + 1);
    if (Array.isArray(value)) {
      sized(value.length, 0x90, 15, 0, 0xdc);
      for (const each of value) item(each, depth + 1);
      return;
    }
    const fields = Object.entries(value).filter(([, field]) => field !== undefined && typeof field !== "function");
    sized(fields.length, 0x80, 15, 0, 0xde);
    for (const [name, field] of fields) {
      string(name);
      item(field, depth + 1);
    }
  };

  item(value, 1);
  return bytes.subarray(0, end);
};

/** Read one value. Integers beyond 2^53 are BigInt. Throws on anything that the protocol does not have. */
const read = (buffer: ArrayBuffer): unknown => {
  const view = new DataView(buffer);
  let at = 0;

  const uint = (size: number): number => {
    const start = at;
    at += size;
    return size === 4 ? view.getUint32(start) : size === 2 ? view.getUint16(start) : view.getUint8(start);
  };
  const int = (size: number): number => {
    const bits = 32 - 8 * size;
    return (uint(size) << bits) >> bits;
  };
  const big = (signed: boolean): number | bigint => {
    const n = signed ? view.getBigInt64(at) : view.getBigUint64(at);
    at += 8;
    const small = Number(n);
    return Number.isSafeInteger(small) ? small : n;
  };
  const float = (size: number): number => {
    const n = size === 4 ? view.getFloat32(at) : view.getFloat64(at);
    at += size;
    return n;
  };
  /** A length is believed only if so many bytes are there. */
  const fits = (n: number): number => (n > buffer.byteLength - at ? refuse("a frame that ends too soon") : n);
  // A copy: a piece of the frame would keep all of it in memory.
  const bytes = (n: number): Uint8Array<ArrayBuffer> => new Uint8Array(buffer.slice(at, (at += fits(n))));
  const string = (n: number): string => {
    const content = new Uint8Array(buffer, at, fits(n));
    at += n;
    return utf8.decode(content);
  };
  const array = (n: number, depth: number): unknown[] => Array.from({ length: fits(n) }, () => item(depth));
  const object = (n: number, depth: number): object => {
    const fields: [string, unknown][] = [];
    for (fits(2 * n); n > 0; n--) {
      const name = item(depth);
      if (typeof name !== "string") refuse("a key that is no string");
      fields.push([name as string, item(depth)]);
    }
    return Object.fromEntries(fields); // assigning to "__proto__" would change what the object is
  };
  const item = (depth: number): unknown => {
    if (depth < 0) refuse(`a frame of more than ${DEPTH} levels`);
    const tag = uint(1);
    if (tag < 0x80) return tag;
    if (tag < 0x90) return object(tag & 15, depth - 1);
    if (tag < 0xa0) return array(tag & 15, depth - 1);
    if (tag < 0xc0) return string(tag & 31);
    if (tag >= 0xe0) return tag - 256;
    if (tag === 0xc0) return null;
    if (tag === 0xc2 || tag === 0xc3) return tag === 0xc3;
    if (tag >= 0xc4 && tag <= 0xc6) return bytes(uint(1 << (tag - 0xc4)));
    if (tag === 0xca || tag === 0xcb) return float(tag === 0xca ? 4 : 8);
    if (tag === 0xcf || tag === 0xd3) return big(tag === 0xd3);
    if (tag >= 0xcc && tag <= 0xce) return uint(1 << (tag - 0xcc));
    if (tag >= 0xd0 && tag <= 0xd2) return int(1 << (tag - 0xd0));
    if (tag >= 0xd9 && tag <= 0xdb) return string(uint(1 << (tag - 0xd9)));
    if (tag === 0xdc || tag === 0xdd) return array(uint(2 << (tag - 0xdc)), depth - 1);
    if (tag === 0xde || tag === 0xdf) return object(uint(2 << (tag - 0xde)), depth - 1);
    return refuse(`tag ${tag} of MessagePack, which the protocol does not have`);
  };

  const value = item(DEPTH);
  if (at < buffer.byteLength) refuse("a frame with bytes behind its end");
  return value;
};

/**
 * MessagePack in place of JSON: `data` may hold `Uint8Array`, and BigInt for integers beyond 2^53, within 64 bits.
 *
 * The fallback over HTTP speaks JSON all the same.
 */
export const msgpack = (): Codec => ({
  subprotocol: "openline.msgpack.v1",
  binary: true,
  encode: write,
  decode(data) {
    const frame = typeof data === "string" ? refuse("text where MessagePack was agreed on") : (read(data) as Frame);
    return typeof frame?.type === "string" ? frame : refuse("a frame without a type");
  },
});
