// What the model read and said in one frame as text, and how sure it was: physworld/play/reading.py.
import { valueOf } from "./numbers.js";

export class Reader {
  constructor(text) {
    this.text = text;
    this.words = Object.keys(text.word);
    this.records = new Set(Object.keys(text.records).map((word) => text.word[word]));
    this.place = new Map(text.outputs.map((id, k) => [id, k]));
  }

  of(id) { return id < this.text.base ? this.words[id] : String(valueOf(id - this.text.base)); }

  prompt(ids) {
    const lines = [];
    for (const id of ids) {
      if (this.records.has(id) || id === this.text.word.next || !lines.length) lines.push(this.of(id));
      else lines[lines.length - 1] += ` ${this.of(id)}`;
    }
    return lines;
  }

  // Lines of [word, doubt]: a word's is the share of probability on anything else, a number's its [10 %, 90 %].
  answer(ids, scores) {
    const { firstBody, mostBodies, word, orderedFrom, outputs } = this.text, lines = [];
    ids.forEach((id, k) => {
      if ((id >= firstBody && id < firstBody + mostBodies) || id === word.end || !lines.length) lines.push([]);
      lines.at(-1).push([this.of(id), this.doubt(scores[k], this.place.get(id), orderedFrom, outputs)]);
    });
    return lines;
  }

  doubt(scores, target, first, outputs) {
    const top = scores.reduce((a, b) => Math.max(a, b)), weight = scores.map((score) => Math.exp(score - top)), sum = (values) => values.reduce((a, b) => a + b, 0);
    if (target < first) return Math.round((1 - weight[target] / sum(weight)) * 1e4) / 1e4;
    const numbers = weight.slice(first), whole = sum(numbers);
    return [0.1, 0.9].map((share) => {
      let below = 0, k = 0;
      for (; k < numbers.length - 1; k++) { below += numbers[k]; if (below >= share * whole) break; }
      return this.of(outputs[first + k]);
    });
  }
}
