// A scene in the address: JSON, deflated, in base64 that a URL may hold. What cannot be read is refused in a sentence.
const MAX_SCENE = 2 ** 22; // characters of JSON

const through = async (bytes, stream) => new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());

export async function toHash(scene) {
  const packed = await through(new TextEncoder().encode(JSON.stringify(scene)), new CompressionStream("deflate-raw"));
  let text = "";
  for (const byte of packed) text += String.fromCharCode(byte);
  return `#scene=${btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}

// The scene of an address, null where it holds none.
export async function fromHash(hash) {
  if (!hash.startsWith("#scene=")) return null;
  try {
    const text = atob(hash.slice(7).replaceAll("-", "+").replaceAll("_", "/"));
    const reader = new Blob([Uint8Array.from(text, (c) => c.charCodeAt(0))]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
    const parts = [];
    let size = 0;
    for (;;) { // a few bytes can unpack to gigabytes
      const { done, value } = await reader.read();
      if (done) break;
      size += value.length;
      if (size > MAX_SCENE) { await reader.cancel(); throw new Error("large"); }
      parts.push(value);
    }
    return JSON.parse(await new Blob(parts).text());
  } catch {
    throw new Error("The address holds no scene that can be read.");
  }
}
