// Text <-> token ids, as kerasgen/tokenizers.py has them: 0 is padding, 1 an end.
const END = 1;

const kinds = {
  characters: ({ characters }) => {
    const all = Array.from(characters);
    const ids = new Map(all.map((character, i) => [character, i + 2]));
    return {
      encode: (text) => Array.from(text, (character) => {
        if (!ids.has(character)) throw new Error(`This model does not know ${character}.`);
        return ids.get(character);
      }),
      decode: (tokens) => tokens.map((id) => all[id - 2]).join(""),
    };
  },
  bytes: () => ({
    encode: (text) => Array.from(new TextEncoder().encode(text), (byte) => byte + 2),
    decode: (tokens) =>
      new TextDecoder().decode(Uint8Array.from(tokens, (id) => id - 2)),
  }),
  sentencepiece: ({ proto }) => sentencePiece(
    Uint8Array.from(atob(proto), (character) => character.charCodeAt(0))),
};

/** What `tokenizer.json` describes. */
export function tokenizer({ tokenizer: values, ends, context }) {
  const kind = kinds[values.name](values);
  return {
    context,
    encode: (text) => {
      const ids = [...(ends ? [END] : []), ...kind.encode(text)];
      return ids.length ? ids : [0];
    },
    decode: (ids) => kind.decode(ids.filter((id) => id > END)),
  };
}

// Byte-pair encoding with the pieces of a SentencePiece model (a protocol buffer).
const SPACE = "\u2581";
const [USER_DEFINED, BYTE] = [4, 6]; // types of pieces

function* fields(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const varint = () => {
    let [value, shift, byte] = [0, 1, 0];
    do { byte = bytes[at++]; value += (byte & 127) * shift; shift *= 128; } while (byte > 127);
    return value;
  };
  while (at < bytes.length) {
    const key = varint();
    const [number, wire] = [Math.floor(key / 8), key % 8];
    if (wire === 0) yield [number, varint()];
    else if (wire === 5) { yield [number, view.getFloat32(at, true)]; at += 4; }
    else if (wire === 1) { yield [number, view.getFloat64(at, true)]; at += 8; }
    else { const size = varint(); yield [number, bytes.subarray(at, at + size)]; at += size; }
  }
}

function sentencePiece(proto) {
  const pieces = [];
  let prefix = true; // a space in front of a text
  for (const [number, value] of fields(proto)) {
    if (number === 1) {
      const piece = { text: "", score: 0, type: 1 };
      for (const [part, content] of fields(value)) {
        if (part === 1) piece.text = new TextDecoder().decode(content);
        if (part === 2) piece.score = content;
        if (part === 3) piece.type = content;
      }
      pieces.push(piece);
    } else if (number === 3) {
      for (const [part, content] of fields(value)) if (part === 3) prefix = Boolean(content);
    }
  }
  const ids = new Map(pieces.map((piece, i) => [piece.text, i]));
  const byteId = (byte) =>
    ids.get(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);

  function encode(text) {
    if (!text) return [];
    const symbols = Array.from((prefix ? " " : "") + text).map(
      (character) => (character === " " ? SPACE : character));
    const whole = (symbol) => pieces[ids.get(symbol)]?.type === USER_DEFINED;
    for (;;) { // join the pair whose piece has the highest score, the first of equals
      let [best, place] = [-Infinity, -1];
      for (let i = 0; i + 1 < symbols.length; i++) {
        if (whole(symbols[i]) || whole(symbols[i + 1])) continue;
        const id = ids.get(symbols[i] + symbols[i + 1]);
        if (id !== undefined && pieces[id].type === 1 && pieces[id].score > best) {
          [best, place] = [pieces[id].score, i];
        }
      }
      if (place < 0) break;
      symbols.splice(place, 2, symbols[place] + symbols[place + 1]);
    }
    return symbols.flatMap((symbol) => ids.has(symbol) ? [ids.get(symbol)]
      : Array.from(new TextEncoder().encode(symbol), byteId));
  }

  function decode(tokens) {
    const bytes = tokens.flatMap((id) => pieces[id].type === BYTE
      ? [parseInt(pieces[id].text.slice(3, 5), 16)]
      : Array.from(new TextEncoder().encode(pieces[id].text.replaceAll(SPACE, " "))));
    const text = new TextDecoder().decode(Uint8Array.from(bytes));
    return prefix && text.startsWith(" ") ? text.slice(1) : text;
  }
  return { encode, decode };
}
