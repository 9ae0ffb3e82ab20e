// The page's line to the server that it came from.
export const served = true;
export const forms = ["jsonl", "gif"]; // that can be saved
export const accepts = ".jsonl,.gz,.zst,.parquet,.yaml,.yml"; // that can be opened

export function connect({ opened, take, closed }) {
  const address = new URL("../live", import.meta.url);
  address.protocol = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(address);
  socket.onopen = opened;
  socket.onmessage = (event) => take(JSON.parse(event.data));
  socket.onclose = () => closed("The connection to physworld is closed; what you see is kept. Start physworld play again and connect.");
  return { send: (message) => { if (socket.readyState === 1) socket.send(JSON.stringify(message)); } };
}

export async function ask(path, options) {
  const response = await fetch(new URL(`..${path}`, import.meta.url), options).catch(() => null);
  if (!response) throw new Error("The server does not answer; start physworld play again.");
  if (!response.ok) throw new Error((await response.json().catch(() => ({}))).sentence ?? "The server could not do this.");
  return response;
}

const json = async (path, options) => (await ask(path, options)).json();
const post = (path, body) => ask(path, { method: "POST", body });

export const choices = () => json("/api/choices");
export const draw = async (type, difficulty, index) => (await json(`/api/draw?${new URLSearchParams({ type, difficulty, index })}`)).scene;
export const whole = async (scene) => (await (await post("/api/check", JSON.stringify(scene))).json()).scene;
export const save = async (what) => (await post("/api/save", JSON.stringify(what))).blob();
export const open = async (file) => (await post(`/api/open?name=${encodeURIComponent(file.name)}`, file)).json();
