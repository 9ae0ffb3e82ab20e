// What the model reads and says, document by document.
const $ = (id) => document.getElementById(id);

export function showText({ documents, more, t }) {
  const box = $("documents");
  box.replaceChildren();
  $("asked").textContent = documents.length ? `The way into frame ${t}, the last one that anything was asked for.` : "";
  if (!documents.length) { const p = document.createElement("p"); p.className = "quiet"; p.textContent = "So far nothing has touched, so nothing was asked."; box.append(p); return; }
  for (const { reads, says } of documents) {
    const card = document.createElement("div"), prompt = document.createElement("pre"), answer = document.createElement("div");
    card.className = "document"; card.tabIndex = 0; answer.className = "says";
    prompt.textContent = reads.join("\n");
    says.forEach((line, k) => {
      if (k) answer.append("\n");
      for (const [word, doubt] of line) {
        const span = document.createElement("span");
        span.className = "word"; span.textContent = word;
        if (typeof doubt === "number") { span.style.backgroundColor = `rgb(214 150 20 / ${Math.min(0.75, doubt)})`; span.title = `${(100 * doubt).toFixed(1)} % on something else`; }
        answer.append(span, " ");
        if (Array.isArray(doubt) && doubt[0] !== doubt[1]) { const range = document.createElement("span"); range.className = "range"; range.textContent = `[${doubt.join(" … ")}] `; answer.append(range); }
      }
    });
    card.append(prompt, answer); box.append(card);
  }
  if (more) { const p = document.createElement("p"); p.className = "quiet"; p.textContent = `and ${more} more documents`; box.append(p); }
}
