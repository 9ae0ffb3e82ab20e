// Enough of a browser for the page's scripts to run in node: elements that hold what is set, and events by hand.
const found = new Map();

class Element {
  constructor(tag = "div") {
    Object.assign(this, {
      tagName: tag.toUpperCase(), children: [], listeners: {}, dataset: {}, style: {}, attributes: {}, value: "", textContent: "", hidden: false,
      files: [], selectedOptions: [], width: 300, height: 200, classList: { toggle() {}, add() {}, remove() {} }, inputs: [],
    });
  }
  addEventListener(kind, act) { (this.listeners[kind] ??= []).push(act); }
  fire(kind, more = {}) { for (const act of this.listeners[kind] ?? []) act({ preventDefault() {}, stopPropagation() {}, target: this, pointerId: 1, ...more, type: kind }); }
  setAttribute(name, value) { this.attributes[name] = value; }
  append(...parts) { this.children.push(...parts); }
  replaceChildren(...parts) { this.children = parts; }
  querySelector(what) { return (this.parts ??= new Map()).get(what) ?? this.parts.set(what, new Element()).get(what); }
  querySelectorAll() { return this.inputs; }
  get firstChild() { return this.children[0]; }
  click() { return this.onclick?.({ target: this }); }
  blur() {}
  focus() {}
  setPointerCapture() {}
  getBoundingClientRect() { return { left: 0, top: 0, width: 800, height: 600 }; }
  getContext() { return new Proxy({}, { get: (_, name) => ({ getTransform: () => ({}), measureText: () => ({ width: 10 }) }[name] ?? (() => {})), set: () => true }); }
}

const pages = {}; // listeners of the window
export const $ = (id) => found.get(id) ?? found.set(id, new Element()).get(id);
export const fire = (kind, more = {}) => { for (const act of pages[kind] ?? []) act({ preventDefault() {}, target: document.body, ...more }); };
export const press = (key, target = document.body) => fire("keydown", { key, target });
export const rest = (ms = 20) => new Promise((done) => setTimeout(done, ms));

let paintings = [];
export function paint() { const due = paintings; paintings = []; for (const act of due) act(performance.now()); }

Object.assign(globalThis, {
  window: globalThis, devicePixelRatio: 1, getComputedStyle: () => ({ getPropertyValue: () => "#000" }), matchMedia: () => ({ addEventListener() {} }),
  document: { getElementById: $, createElement: (tag) => new Element(tag), querySelector: $, documentElement: {}, body: new Element("body"), activeElement: null },
  addEventListener: (kind, act) => (pages[kind] ??= []).push(act), requestAnimationFrame: (act) => paintings.push(act),
  location: { hash: "", href: "http://127.0.0.1/", protocol: "http:" }, history: { replaceState(_, __, hash) { location.hash = hash; } },
  Option: class { constructor(text, value) { Object.assign(this, { text, value }); } }, ResizeObserver: class { observe() {} }, Image: class { async decode() {} },
});
