// The model: documents of island text in, answers out, token by token, through think.c as WASM.
// Choices are those of physworld/lm/gpt_answers.py, positions those of physworld/lm/gpt.py.
import { valueOf } from "./numbers.js";

const FEATURES = 32, SCALES = [0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000], TOGETHER = 256; // positions of one call
const NONE = -1, COAST = 1, REST = 2, LEAST = 30, // what is e^30 times less likely than the likeliest counts nothing
  FIELDS = ["kind", "first", "count", "word", "own", "partner", "slot", "document", "at", "a", "b"];

// Features of a number's value: physworld/lm/number_features.py.
function features(index) {
  const v = Math.fround(valueOf(index)), log = Math.sign(v) * Math.log1p(Math.abs(v) / 0.01) / Math.log1p(1e6);
  const waves = Array.from({ length: 8 }, (_, k) => log * Math.PI * 2 ** k);
  return Float32Array.from([...SCALES.map((scale) => Math.tanh(v / scale)), Math.min(Math.max(v, -2), 2), v / 300, v === 0 ? 1 : 0, v > 0 ? 1 : 0, log, ...waves.map(Math.sin), ...waves.map(Math.cos)]);
}

export async function engine(bytes) {
  const stop = () => { throw new Error("The model stopped."); };
  const { instance } = await WebAssembly.instantiate(bytes, { env: { emscripten_notify_memory_growth: () => {} }, wasi_snapshot_preview1: { proc_exit: stop } });
  instance.exports._initialize();
  return instance.exports;
}

export class Model {
  // calls: of `engine`; weights: their bytes; text: words and sizes, as the export wrote them.
  constructor(calls, weights, text) {
    Object.assign(this, { calls, text, word: text.word, known: new Map(), rooms: new Map() });
    const { sizes } = text, place = calls.malloc(weights.byteLength);
    new Uint8Array(calls.memory.buffer, place, weights.byteLength).set(new Uint8Array(weights));
    const counts = this.ints("counts", sizes.counts);
    calls.model_new(sizes.width, sizes.heads, sizes.depth, sizes.outputs, sizes.words, sizes.slots, sizes.names, sizes.counts.length, counts, place);
    this.noName = sizes.names - 1;
    this.shares = new Float64Array(sizes.outputs);
    this.recordOf = new Map(sizes.spoken.map((name, kind) => [text.word[name], { kind, names: text.records[name][0], count: text.records[name][1] }]));
  }

  // A place of `length` 4-byte numbers, kept and reused by name.
  room(name, length) {
    const known = this.rooms.get(name);
    if (known && known.length >= length) return known.place;
    if (known) this.calls.free(known.place);
    const place = this.calls.malloc(8 * length);
    this.rooms.set(name, { place, length: 2 * length });
    return place;
  }

  ints(name, values) {
    const place = this.room(name, values.length);
    new Int32Array(this.calls.memory.buffer, place, values.length).set(values);
    return place;
  }

  features(index) {
    if (!this.known.has(index)) this.known.set(index, features(index));
    return this.known.get(index);
  }

  begin() { this.calls.forget(); return { fresh: [], numbers: [], documents: 0 }; }

  opened(talk) { return { number: talk.documents++, length: 0, answering: false, line: this.noName, since: 0 }; }

  // Adds a token's position, or a record's, to what is read next; how many tokens it took.
  read(talk, doc, ids, at) {
    const { text: { firstBody, mostBodies, base }, word } = this, id = ids[at], known = (token) => (token >= firstBody && token < firstBody + mostBodies ? token - firstBody : this.noName);
    const position = { kind: NONE, first: talk.numbers.length, count: 0, word: NONE, own: NONE, partner: NONE, slot: NONE, document: doc.number, at: doc.length++, a: this.noName, b: this.noName };
    talk.fresh.push(position);
    const record = doc.answering ? undefined : this.recordOf.get(id);
    if (record) {
      const { kind, names, count } = record;
      Object.assign(position, { kind, count, word: id, own: ids[at + 1], a: known(ids[at + 1]) });
      if (names === 2) { position.partner = ids[at + 2]; position.b = known(ids[at + 2]); }
      for (let k = 0; k < count; k++) talk.numbers.push(ids[at + 1 + names + k]);
      return 1 + names + count;
    }
    if (id >= base) {
      Object.assign(position, { kind: this.text.sizes.spoken.length, count: 1, slot: Math.min(++doc.since, this.text.sizes.slots - 1) });
      talk.numbers.push(id);
    } else {
      position.word = id; doc.since = 0;
      if (id === word.next) doc.answering = true;
      else if (known(id) !== this.noName) doc.line = known(id);
    }
    position.a = doc.line;
    return 1;
  }

  readAll(talk, doc, ids) { for (let at = 0; at < ids.length;) at += this.read(talk, doc, ids, at); }

  // Scores (one row of outputs each) at the asked positions, counted among the new ones.
  scores(talk, asked) {
    const { calls, text: { base, sizes: { outputs } } } = this, { fresh, numbers } = talk;
    const positions = this.ints("positions", fresh.flatMap((position) => FIELDS.map((name) => position[name])));
    const places = this.ints("asked", asked), values = this.room("features", Math.max(1, numbers.length) * FEATURES), result = this.room("scores", asked.length * outputs);
    const table = new Float32Array(calls.memory.buffer, values, numbers.length * FEATURES);
    numbers.forEach((id, k) => table.set(this.features(id - base), k * FEATURES));
    calls.think(fresh.length, positions, values, asked.length, places, result);
    fresh.length = numbers.length = 0;
    return asked.map((_, k) => new Float32Array(calls.memory.buffer, result + 4 * k * outputs, outputs));
  }

  // The answer's next token: the median of the numbers, or a word that is likelier than all of them.
  choose(scores, words) {
    const { orderedFrom, outputs } = this.text, last = outputs.length, { shares } = this;
    let top = -Infinity, sum = 0;
    for (let k = orderedFrom; k < last; k++) if (scores[k] > top) top = scores[k];
    for (let k = orderedFrom; k < last; k++) sum += shares[k] = scores[k] > top - LEAST ? Math.exp(scores[k] - top) : 0;
    const best = words && scores[REST] > scores[COAST] ? REST : COAST;
    if (words && scores[best] > top + Math.log(sum)) return outputs[best];
    let below = 0, middle = orderedFrom;
    for (; middle < last - 1; middle++) { below += shares[middle]; if (below >= sum / 2) break; }
    return outputs[middle];
  }

  // What the model says to each document: its answer's ids.
  answers(documents) {
    const said = documents.map(() => []);
    for (let first = 0, next; first < documents.length; first = next) {
      const talk = this.begin(), going = [];
      for (next = first; next < documents.length && (next === first || talk.fresh.length < TOGETHER); next++) {
        const doc = { ...this.opened(talk), of: next, names: documents[next].names, body: 0, numbers: 0 };
        this.readAll(talk, doc, documents[next].ids);
        this.say(talk, doc, said, doc.names[0]);
        going.push({ doc, asked: talk.fresh.length - 1 });
      }
      while (going.length) {
        const scores = this.scores(talk, going.map(({ asked }) => asked));
        const still = going.splice(0);
        still.forEach(({ doc }, k) => {
          const token = this.choose(scores[k], doc.numbers === 0), over = token < this.text.base || doc.numbers === 3;
          doc.numbers = over ? 0 : doc.numbers + 1;
          if (over && ++doc.body === doc.names.length) { said[doc.of].push(token, this.word.end); return; }
          this.say(talk, doc, said, token);
          if (over) this.say(talk, doc, said, doc.names[doc.body]);
          going.push({ doc, asked: talk.fresh.length - 1 });
        });
      }
    }
    return said;
  }

  say(talk, doc, said, token) {
    said[doc.of].push(token);
    this.read(talk, doc, [token], 0);
  }

  // Scores of each token of an answer, as the model saw them while it spoke.
  judged({ ids }, answer) {
    const talk = this.begin(), doc = this.opened(talk);
    this.readAll(talk, doc, ids);
    const first = talk.fresh.length - 1;
    for (const token of answer.slice(0, -1)) this.read(talk, doc, [token], 0);
    return this.scores(talk, answer.map((_, k) => first + k));
  }
}
