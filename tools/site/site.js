// The visitor generates: ONNX Runtime runs the artifacts' own files, here in the page.
import * as ort from "./lib/ort.wasm.min.mjs";
import { tokenizer } from "./tokenizers.js";

ort.env.wasm.wasmPaths = new URL("./lib/", import.meta.url).href;
ort.env.logLevel = "error";
ort.env.wasm.numThreads = 1; // more would need headers that static hosts don't send

const model = JSON.parse(document.getElementById("model").textContent);
// How samples are shown (kerasgen/kinds): of arrays `show(canvas, tensor, i)`, of texts
// the `title`, `go` and `count` of their panel, and perhaps `show(place, texts)`.
const kind = await import(new URL("kind.js", document.baseURI).href);
const CELLS = 16; // samples drawn at once
const SLIDERS = 16;

/** Row i of generate(n, seed) has the seed (seed * 2654435761 + i) mod 2^32, as int32. */
export function rowSeeds(seed, n) {
  const first = BigInt(seed) * 2654435761n;
  return Int32Array.from({ length: n }, (_, i) =>
    Number(BigInt.asIntN(32, first + BigInt(i))));
}

const sessions = {};
function session(name) {
  sessions[name] ??= ort.InferenceSession.create(`onnx/${name}.onnx`, {
    executionProviders: ["wasm"],
    logSeverityLevel: 3, // errors
    ...(model.shared.includes(name) && {
      externalData: [{ path: "shared.weights", data: "onnx/shared.weights" }],
    }),
  });
  return sessions[name];
}

/** The first output of a signature; `rows` holds flat arrays, what it lacks has its
 * default. */
async function run(name, rows, n) {
  const feeds = {}, { inputs, outputs: [output] } = model.signatures[name];
  for (const [key, entry] of Object.entries(inputs)) {
    const data = rows[key] ?? new Array(n).fill(entry.default);
    const kind = entry.dtype === "int32" ? Int32Array : Float32Array;
    let rest = data.length / n;
    const shape = entry.shape.slice(1).map((size) => size ?? rest);
    feeds[key] = new ort.Tensor(entry.dtype, kind.from(data), [n, ...shape]);
  }
  return (await (await session(name)).run(feeds))[output];
}

function element(tag, attributes = {}, ...children) {
  const node = Object.assign(document.createElement(tag), attributes);
  node.append(...children);
  return node;
}

function field(title, input) {
  return element("label", {}, title, input);
}

/** Of a signature: the input that a visitor doesn't choose by a seed or a control. */
function given(name) {
  const { inputs } = model.signatures[name];
  return Object.keys(inputs).find((key) =>
    !("default" in inputs[key]) && !["seed", "timestep"].includes(key));
}

/** A panel: title, controls, a place for results, a line that says how it went. */
function panel(id, title, go) {
  const controls = element("div", { className: "controls" });
  const status = element("p", { className: "status", ariaLive: "polite" });
  const node = element("section", { id }, element("h2", {}, title), controls);
  document.getElementById("panels").append(node);
  const button = element("button", { className: "go" }, go);
  let again = null; // the last request that came while one was computed
  let busy = false;

  async function work(job) {
    if (busy) { again = job; return; }
    busy = button.disabled = true;
    status.className = "status";
    status.textContent = Object.keys(sessions).length ? "Computing…" : "Loading the model…";
    await new Promise((done) => setTimeout(done)); // let the page say so
    try {
      status.textContent = await job();
      node.dataset.done = Number(node.dataset.done ?? 0) + 1;
    } catch (error) {
      status.className = "status error";
      status.textContent = error.message;
      console.error(error);
    }
    busy = button.disabled = false;
    if (again) { const next = again; again = null; await work(next); }
  }
  return { node, controls, button, status, work };
}

/** Inputs that have defaults, as controls; -> a function that gives their values. */
function options(name, controls, skipped) {
  const inputs = {};
  for (const [key, entry] of Object.entries(model.signatures[name].inputs)) {
    if (skipped.includes(key)) continue;
    if (key === "label") {
      const names = model.labels.length ? model.labels
        : Array.from({ length: entry.range[1] }, (_, i) => String(i));
      inputs[key] = element("select", {}, element("option", { value: -1 }, "any"),
        ...names.map((label, i) => element("option", { value: i }, label)));
    } else {
      const step = entry.dtype === "int32" ? 1 : 0.05;
      inputs[key] = element("input", { type: "number", step, value: entry.default });
    }
    inputs[key].name = key;
    controls.append(field(key.replaceAll("_", " "), inputs[key]));
  }
  return (n) => Object.fromEntries(Object.entries(inputs).map(
    ([key, input]) => [key, new Array(n).fill(Number(input.value))]));
}

function seedField(value = 7) {
  return element("input", { type: "number", name: "seed", value, min: 0, step: 1 });
}

function milliseconds(time) {
  return time < 10 ? time.toFixed(1) : Math.round(time);
}

function samplesPanel(name) {
  const { node, controls, button, status, work } = panel("samples", "Draw from a seed", "Draw");
  const seed = seedField();
  const dice = element("button", { type: "button", title: "Another seed" }, "Another seed");
  controls.append(field("seed", seed));
  const values = options(name, controls, ["seed"]);
  controls.append(button, dice);
  const cells = Array.from({ length: CELLS }, () => element("canvas"));
  node.append(element("div", { className: "grid" }, ...cells), status);

  const draw = () => work(async () => {
    const seeds = rowSeeds(Math.trunc(Number(seed.value)), CELLS);
    await session(name);
    const start = performance.now();
    // One after another: rows don't depend on each other, and the page stays alive.
    let size = 1;
    for (let i = 0; i < CELLS; i += size) {
      if (i) size = Math.min(fits, CELLS - i);
      const before = performance.now();
      const rows = { seed: seeds.slice(i, i + size), ...values(size) };
      const drawn = await run(name, rows, size);
      for (let j = 0; j < size; j++) kind.show(cells[i + j], drawn, j);
      if (!i) fits = performance.now() - before < 40 ? CELLS : 1;
      if (fits === 1) {
        status.textContent = `${i + 1} of ${CELLS}…`;
        await new Promise((done) => setTimeout(done));
      }
    }
    const time = performance.now() - start;
    node.dataset.milliseconds = time;
    return `${CELLS} samples in ${milliseconds(time)} ms, computed in this page. ` +
      "The same seed gives the same samples in every runtime.";
  });
  let fits = 1;
  button.onclick = draw;
  seed.onchange = draw;
  controls.addEventListener("change", (event) => event.target !== seed && draw());
  dice.onclick = () => { seed.value = Math.floor(Math.random() * 65536); draw(); };
  return draw;
}

function latentsPanel(name, encoder, generator) {
  const { node, controls, button, status, work } =
    panel("latents", "Move through the latent space", "Start from the seed");
  const size = model.signatures[name].inputs.latents.shape[1];
  const count = Math.min(size, SLIDERS);
  const canvas = element("canvas");
  let latents = new Float32Array(size);
  const sliders = Array.from({ length: count }, (_, i) => {
    const slider = element("input", { type: "range", min: -4, max: 4, step: 0.05, value: 0 });
    slider.oninput = () => { latents[i] = Number(slider.value); decode(); };
    return slider;
  });
  const seed = seedField();
  if (encoder && generator) {
    controls.append(field("image of seed", seed));
    button.onclick = seed.onchange = () => work(start);
  } else {
    button.textContent = "Back to zero";
    button.onclick = () => work(async () => { latents.fill(0); return show(); });
  }
  const values = options(name, controls, ["latents"]);
  controls.addEventListener("change", (event) => event.target !== seed && decode());
  controls.append(button);
  const fields = sliders.map((slider, i) => field(`dimension ${i + 1}`, slider));
  node.append(element("div", { className: "latents" }, canvas,
    element("div", { className: "sliders" }, ...fields)), status);

  /** The latents of a sample, encoded. */
  async function start() {
    const { data } = await run(generator, { seed: rowSeeds(Number(seed.value), 1) }, 1);
    const encoded = await run(encoder, { [given(encoder)]: data }, 1);
    latents = Float32Array.from(encoded.data);
    return show();
  }

  async function show() {
    sliders.forEach((slider, i) => { slider.value = latents[i]; });
    const begin = performance.now();
    const decoded = await run(name, { latents, ...values(1) }, 1);
    const time = performance.now() - begin;
    kind.show(canvas, decoded, 0);
    return `Decoded in ${milliseconds(time)} ms.` +
      (count < size ? ` The first ${count} of ${size} dimensions.` : "");
  }
  const decode = () => work(show);
  return () => work(encoder && generator ? start : show);
}

/** Normal numbers of a seed (mulberry32, Box and Muller); the page's own. */
function normals(seed, n) {
  const uniform = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t ^= t + Math.imul(t ^ (t >>> 7), 61 | t);
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
  };
  return Float32Array.from({ length: n }, () =>
    Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
}

/** Every step of DDIM (Song et al., 2021, eq. 12 with sigma 0), to look at. */
function denoisingPanel(name) {
  const { node, controls, button, status, work } =
    panel("denoising", "Watch noise become a sample", "Denoise");
  const input = given(name);
  const { [input]: { shape: [, ...shape] } } = model.signatures[name].inputs;
  const { alpha_bar: alphaBar } = model.constants;
  const seed = seedField();
  const steps = element("input",
    { type: "number", name: "steps", value: 25, min: 1, max: 100, step: 1 });
  controls.append(field("seed", seed), field("steps", steps));
  const values = options(name, controls, [input, "timestep"]);
  controls.append(button);
  const [noisy, clean] = [element("canvas"), element("canvas")];
  const place = element("input", { type: "range", min: 0, value: 0, step: 1 });
  node.append(element("div", { className: "pair" },
    field("the sample, with its noise", noisy), field("what the network sees in it", clean)),
  field("step", place), status);

  let film = []; // [x, x_0] of each step, in [-1, 1]
  const show = (i) => {
    place.value = i;
    for (const [canvas, x] of [[noisy, film[i][0]], [clean, film[i][1]]]) {
      const data = x.map((value) => Math.min(1, Math.max(0, (value + 1) / 2)));
      kind.show(canvas, { dims: [1, ...shape], data }, 0);
    }
  };
  place.oninput = () => film.length && show(Math.min(place.value, film.length - 1));

  const denoise = () => work(async () => {
    const n = Math.min(Math.max(Math.trunc(Number(steps.value)), 1), alphaBar.length);
    let x = normals(Math.trunc(Number(seed.value)), shape.reduce((a, b) => a * b));
    await session(name);
    film = [];
    place.max = n - 1;
    const time = (i) => Math.round((alphaBar.length - 1) * (n > 1 ? 1 - i / (n - 1) : 1));
    for (let i = 0; i < n; i++) {
      const rows = { [input]: x, timestep: [time(i)], ...values(1) };
      const { data: eps } = await run(name, rows, 1);
      const [now, then] = [alphaBar[time(i)], i + 1 < n ? alphaBar[time(i + 1)] : 1];
      const levels = [now, 1 - now, then, 1 - then].map(Math.sqrt);
      const [alpha, sigma, nextAlpha, nextSigma] = levels;
      const estimate = x.map((value, p) =>
        Math.min(1, Math.max(-1, (value - sigma * eps[p]) / alpha)));
      film.push([x, estimate]);
      show(i);
      status.textContent = `Step ${i + 1} of ${n}…`;
      await new Promise((done) => setTimeout(done, 20));
      x = x.map((value, p) =>
        nextAlpha * estimate[p] + nextSigma * (value - alpha * estimate[p]) / sigma);
    }
    return `${n} steps, computed in this page. Move the slider to see each again.`;
  });
  button.onclick = denoise;
  return denoise;
}

function textPanel(name, title, go) {
  const { node, controls, button, status, work } = panel("text", title, go);
  const sampled = "seed" in model.signatures[name].inputs;
  const codec = tokenizer(model.tokenizer);
  const prompt = element("textarea", { name: "prompt", value: model.prompt });
  const wide = field(sampled ? "begin with" : "text", prompt);
  wide.className = "wide";
  controls.append(wide);
  const seed = seedField();
  if (sampled) controls.append(field("seed", seed));
  const values = options(name, controls, ["token_ids", "seed"]);
  controls.append(button);
  const answer = element("pre", { className: "answer" });
  const drawings = element("div", { className: "drawings" });
  node.append(...(kind.show ? [drawings] : []), answer, status);

  const complete = () => work(async () => {
    const ids = codec.encode(prompt.value);
    if (ids.length > codec.context) {
      throw new Error(`The text has ${ids.length} tokens, the model's context ${codec.context}.`);
    }
    await session(name);
    const n = kind.count;
    const begin = performance.now();
    const rows = { token_ids: new Array(n).fill(ids).flat(), ...values(n) };
    if (sampled) rows.seed = rowSeeds(Math.trunc(Number(seed.value)), n);
    const { dims: [, length], data } = await run(name, rows, n);
    const time = performance.now() - begin;
    node.dataset.milliseconds = time;
    const texts = Array.from({ length: n }, (_, i) =>
      codec.decode(Array.from(data.slice(i * length, (i + 1) * length))));
    answer.replaceChildren(...texts.flatMap((text, i) => {
      const known = sampled && text.startsWith(prompt.value) ? prompt.value : "";
      return [i ? "\n" : "", element("i", {}, known), text.slice(known.length)];
    }));
    node.dataset.text = texts.join("\n");
    kind.show?.(drawings, texts);
    const made = n * (length - (sampled ? ids.length : 0));
    return `${made} tokens in ${milliseconds(time)} ms, computed in this page.`;
  });
  button.onclick = complete;
  return complete;
}

const { samples, latents, encoder, denoiser, text, translation } = model.panels;
const first = [
  samples && samplesPanel(samples),
  latents && latentsPanel(latents, encoder, samples),
  denoiser && model.constants.alpha_bar && denoisingPanel(denoiser),
  text && textPanel(text, kind.title, kind.go),
  translation && textPanel(translation, "Translate", "Translate"),
].filter(Boolean);
for (const start of first) await start();
