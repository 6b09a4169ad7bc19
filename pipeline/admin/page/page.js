// The API's page: reads the OpenAPI document and sends requests to the daemon that served it. Nothing comes from
// elsewhere, and nothing goes elsewhere.
"use strict";

const byId = (id) => document.getElementById(id);

function make(tag, props, ...children) {
  const e = Object.assign(document.createElement(tag), props);
  e.append(...children.filter((c) => c != null));
  return e;
}

let doc;

function resolve(schema) {
  while (schema && schema.$ref) schema = doc.components.schemas[schema.$ref.split("/").pop()];
  return schema || {};
}

// example makes a value of a schema: what it says itself, else what fits its type. Depth bounds schemas that hold themselves.
function example(schema, depth = 0) {
  schema = resolve(schema);
  if (schema.examples && schema.examples.length) return schema.examples[0];
  if (schema.default !== undefined) return schema.default;
  if (schema.enum) return schema.enum[0];
  const type = [].concat(schema.type || [])[0];
  switch (type) {
    case "object": {
      const out = {};
      if (depth < 5)
        for (const [name, s] of Object.entries(schema.properties || {}))
          if ((schema.required || []).includes(name) && name !== "$schema") out[name] = example(s, depth + 1);
      return out;
    }
    case "array": return depth < 5 ? [example(schema.items, depth + 1)] : [];
    case "integer": case "number": return Math.max(0, schema.minimum || 0);
    case "boolean": return false;
    case "string": return schema.format === "date-time" ? new Date().toISOString() : "";
  }
  return {};
}

function headers(op) {
  const h = new Headers();
  const key = byId("key").value;
  if (key && op.security) h.set("Authorization", "Bearer " + key);
  return h;
}

function operation(path, method, op) {
  const box = make("details", { id: op.operationId || method + path });
  box.append(make("summary", {},
    make("span", { className: "method " + method, textContent: method.toUpperCase() }),
    make("span", { className: "path", textContent: path }),
    make("span", { className: "doc", textContent: op.summary || "" })));
  box.addEventListener("toggle", () => {
    if (!box.open || box.dataset.made) return;
    box.dataset.made = "yes";
    box.append(form(path, method, op));
  });
  return box;
}

function form(path, method, op) {
  const inside = make("div", { className: "in" });
  if (op.description) inside.append(make("p", { className: "doc", textContent: op.description }));
  const fields = [];
  const rows = make("table");
  for (const p of op.parameters || []) {
    const schema = resolve(p.schema);
    const first = p.example ?? (schema.examples || [])[0] ?? "";
    const input = make("input", { name: p.name, value: p.in === "path" ? first : "", placeholder: schema.default ?? schema.type ?? "" });
    fields.push({ p, schema, input });
    rows.append(make("tr", {},
      make("td", {}, make("code", { className: p.required ? "required" : "", textContent: p.name })),
      make("td", {}, input),
      make("td", { className: "doc", textContent: (p.description || schema.description || "") + (p.in === "header" ? " (header)" : "") })));
  }
  if (fields.length) inside.append(rows);

  let body, kind;
  if (op.requestBody) {
    kind = Object.keys(op.requestBody.content)[0];
    const schema = op.requestBody.content[kind].schema;
    body = make("textarea", { spellcheck: false, value: kind.endsWith("json") ? JSON.stringify(example(schema), null, 2) : "" });
    inside.append(make("div", { className: "doc", textContent: "body, " + kind }), body);
  }

  const send = make("button", { textContent: "Send", className: "send" });
  const stop = make("button", { textContent: "Stop", hidden: true });
  const status = make("span");
  const out = make("pre", { className: "answer", hidden: true });
  inside.append(make("p", {}, send, " ", stop, " ", status), out);

  send.onclick = async () => {
    let url = path;
    const query = new URLSearchParams();
    const h = headers(op);
    for (const { p, schema, input } of fields) {
      if (p.in === "path") { url = url.replace("{" + p.name + "}", encodeURIComponent(input.value)); continue; }
      if (input.value === "") continue;
      if (p.in === "header") h.set(p.name, input.value);
      else for (const v of [].concat(schema.type || []).includes("array") ? input.value.split(",") : [input.value]) query.append(p.name, v);
    }
    if (query.size) url += "?" + query;
    if (body) h.set("Content-Type", kind);
    const abort = new AbortController();
    stop.hidden = false;
    stop.onclick = () => abort.abort();
    out.hidden = false;
    out.textContent = "";
    status.className = "";
    status.textContent = method.toUpperCase() + " " + url + " …";
    const started = performance.now();
    try {
      const res = await fetch(url, { method: method.toUpperCase(), headers: h, body: body ? body.value : undefined, signal: abort.signal, cache: "no-store" });
      status.className = res.ok ? "good" : "bad";
      status.textContent = `${res.status} ${res.statusText} · ${Math.round(performance.now() - started)} ms · ${url}`;
      await show(res, out);
    } catch (err) {
      status.className = "bad";
      status.textContent = abort.signal.aborted ? "stopped" : String(err);
    }
    stop.hidden = true;
    out.dataset.done = "yes";
  };
  return inside;
}

// show writes an answer as it comes, so that a subscription is seen; JSON is indented when it is whole.
async function show(res, out) {
  const reader = res.body.getReader();
  const text = new TextDecoder();
  let all = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    all += text.decode(value, { stream: true });
    if (all.length > 400000) all = "…" + all.slice(-300000);
    out.textContent = all;
  }
  if (/json$/.test((res.headers.get("Content-Type") || "").split(";")[0]) && !/ndjson/.test(res.headers.get("Content-Type"))) {
    try { out.textContent = JSON.stringify(JSON.parse(all), null, 2); } catch { /* as it came */ }
  }
}

async function start() {
  doc = await (await fetch("../openapi.json")).json();
  byId("version").textContent = doc.info.version;
  const main = byId("operations");
  main.replaceChildren();
  if (doc.info.description) main.append(make("p", { className: "doc", textContent: doc.info.description }));
  const groups = new Map();
  for (const [path, item] of Object.entries(doc.paths))
    for (const method of ["get", "put", "post", "delete", "patch"])
      if (item[method]) {
        const tag = (item[method].tags || ["other"])[0];
        if (!groups.has(tag)) groups.set(tag, []);
        groups.get(tag).push(operation(path, method, item[method]));
      }
  for (const [tag, boxes] of [...groups].sort(([a], [b]) => a.localeCompare(b)))
    main.append(make("section", {}, make("h2", { textContent: tag }), ...boxes));
  byId("find").oninput = (e) => {
    const words = e.target.value.toLowerCase();
    for (const box of main.querySelectorAll("details")) box.hidden = !box.querySelector("summary").textContent.toLowerCase().includes(words);
  };
  const key = byId("key");
  key.value = sessionStorage.getItem("leat-key") || "";
  key.onchange = () => sessionStorage.setItem("leat-key", key.value);
  const named = byId(decodeURIComponent(location.hash.slice(1)));
  if (named && named.tagName === "DETAILS") { named.open = true; named.scrollIntoView(); }
  document.body.dataset.ready = "yes";
}

start().catch((err) => byId("operations").replaceChildren(make("p", { className: "bad", textContent: "The API's document cannot be read: " + err })));
