// Names in any script, spelt in the letters that the server takes: those beyond ASCII by Punycode (RFC 3492), as in domains.

const PREFIX = "xn--";
const [BASE, TMIN, TMAX, SKEW, DAMP, BIAS, FIRST] = [36, 1, 26, 38, 700, 72, 128]; // RFC 3492, section 5
const MOST = 0x10ffff;

/** As the server has it. What is ASCII stays as it is. */
export function spell(name) {
  const text = name.normalize("NFC");
  return /^[\0-\x7f]*$/.test(text) ? text : PREFIX + encode(text);
}

/** As people read it. What only looks like a spelling stays as it is. */
export function readable(spelt) {
  if (typeof spelt !== "string" || !spelt.startsWith(PREFIX)) return spelt;
  const text = decode(spelt.slice(PREFIX.length));
  return text !== null && !/[\p{C}\p{Z}]/u.test(text) && spell(text) === spelt ? text : spelt;
}

function encode(text) {
  const points = Array.from(text, (character) => character.codePointAt(0));
  const basic = points.filter((point) => point < FIRST);
  let out = String.fromCharCode(...basic) + (basic.length ? "-" : "");
  let [next, delta, bias, handled] = [FIRST, 0, BIAS, basic.length];
  while (handled < points.length) {
    const least = Math.min(...points.filter((point) => point >= next));
    delta += (least - next) * (handled + 1);
    next = least;
    for (const point of points) {
      if (point < next) delta += 1;
      if (point !== next) continue;
      let rest = delta;
      for (let k = BASE; ; k += BASE) {
        const threshold = Math.min(Math.max(k - bias, TMIN), TMAX);
        if (rest < threshold) break;
        out += digit(threshold + ((rest - threshold) % (BASE - threshold)));
        rest = Math.floor((rest - threshold) / (BASE - threshold));
      }
      out += digit(rest);
      bias = adapt(delta, handled + 1, handled === basic.length);
      delta = 0;
      handled += 1;
    }
    delta += 1;
    next += 1;
  }
  return out;
}

/** null for what is no Punycode. */
function decode(text) {
  const end = text.lastIndexOf("-");
  const points = Array.from(end > 0 ? text.slice(0, end) : "", (character) => character.codePointAt(0));
  const rest = text.slice(end > 0 ? end + 1 : 0);
  let [next, at, bias, place] = [FIRST, 0, BIAS, 0];
  while (place < rest.length) {
    const before = at;
    let weight = 1;
    for (let k = BASE; ; k += BASE) {
      const value = "abcdefghijklmnopqrstuvwxyz0123456789".indexOf(rest[place] ?? " ");
      place += 1;
      if (value < 0) return null;
      at += value * weight;
      const threshold = Math.min(Math.max(k - bias, TMIN), TMAX);
      if (value < threshold) break;
      weight *= BASE - threshold;
      if (weight > Number.MAX_SAFE_INTEGER / BASE) return null;
    }
    bias = adapt(at - before, points.length + 1, before === 0);
    next += Math.floor(at / (points.length + 1));
    if (next > MOST) return null;
    at %= points.length + 1;
    points.splice(at, 0, next);
    at += 1;
  }
  return String.fromCodePoint(...points);
}

const digit = (value) => String.fromCharCode(value < 26 ? 97 + value : 22 + value);

function adapt(delta, length, first) {
  let left = Math.floor(delta / (first ? DAMP : 2));
  left += Math.floor(left / length);
  let k = 0;
  for (; left > ((BASE - TMIN) * TMAX) / 2; k += BASE) left = Math.floor(left / (BASE - TMIN));
  return k + Math.floor(((BASE - TMIN + 1) * left) / (left + SKEW));
}
