// What the page shows and does. Every picture is drawn from state that is kept here; nothing is read back from a picture
// but the drawing.

const config = JSON.parse(document.getElementById("config").textContent);
const { pixels: SIZE, halfRange: HALF, shapes } = config;
const PIXELS = SIZE * SIZE;
const TOGETHER = 4; // images that are sampled at once
const find = (id) => document.getElementById(id);
const degradations = Object.fromEntries(
  Object.entries({ gaussian_noise: gaussianNoise, blur, zoom }).map(([name, make]) => [
    name,
    make(config.models[name].degradation, SIZE),
  ]),
);

// Unpacking: whatever is binary is gzip in base64, in the element #packed-NAME.

async function unpack(name) {
  const packed = await fetch(`data:application/gzip;base64,${find(`packed-${name}`).textContent}`);
  return new Response(packed.body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

// An array as nested rows.
async function rows(name, type) {
  const nest = (flat, [, ...inner]) => {
    const length = inner.reduce((a, b) => a * b, 1);
    const parts = Array.from({ length: flat.length / length }, (_, i) => flat.subarray(i * length, (i + 1) * length));
    return inner.length > 1 ? parts.map((part) => nest(part, inner)) : parts.map((part) => [...part]);
  };
  const flat = new type(await unpack(name));
  return shapes[name].length > 1 ? nest(flat, shapes[name]) : [...flat];
}

const toRange = (bytes) => Float32Array.from(bytes, (byte) => (byte / 255) * 2 * HALF - HALF);

// A module of WebAssembly with two SIMD instructions.
const SIMD = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11);

const unpacks = "DecompressionStream" in window;

function lacking() {
  if (!unpacks) return "unpack gzip (DecompressionStream)";
  if (!("WebAssembly" in window)) return "run WebAssembly";
  return WebAssembly.validate(SIMD) ? "" : "run WebAssembly with SIMD";
}

async function start() {
  if (lacking()) throw new Error(`This browser cannot ${lacking()}. A newer one can.`);
  const script = URL.createObjectURL(new Blob([await unpack("runtime")], { type: "text/javascript" }));
  const ort = await import(script);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await unpack("wasm");
  const sessions = {};
  for (const name of Object.keys(config.models)) {
    sessions[name] = await ort.InferenceSession.create(new Uint8Array(await unpack(`network-${name}`)));
  }
  return { ort, sessions };
}

const runtime = start();

// The estimate of x, as samplers ask for it.
function denoiser(name) {
  return async (z, t) => {
    const { ort, sessions } = await runtime;
    const count = z.length / PIXELS;
    const tau = new Float32Array(count).fill(t / degradations[name].T);
    const given = { z: new ort.Tensor("float32", z, [count, 1, SIZE, SIZE]), tau: new ort.Tensor("float32", tau, [count]) };
    return (await sessions[name].run(given)).x.data;
  };
}

function sampling(name, sampler, normal, callback) {
  return (z, steps) =>
    SAMPLERS[sampler.name](z, steps, {
      ...sampler, degradation: degradations[name], denoise: denoiser(name), normal, halfRange: HALF, callback,
    });
}

// z_T of one image.
const data = {};
async function latent(name, { uniform, normal }) {
  if (name === "gaussian_noise") return normal(PIXELS);
  if (name === "blur") {
    data.gaussians ??= {
      shares: await rows("shares", Float32Array), means: await rows("means", Float32Array),
      roots: await rows("roots", Float32Array), modes: await rows("modes", Float32Array),
    };
    const { shares, roots } = data.gaussians;
    let left = uniform();
    const index = shares.findIndex((share) => (left -= share) < 0);
    return blurLatent(data.gaussians, Math.max(index, 0), normal(roots[0][0].length));
  }
  data.centres ??= await rows("centres", Uint8Array);
  const centre = data.centres[Math.floor(uniform() * data.centres.length)];
  const rowsInRange = centre.map((row) => [...toRange(row)]);
  return zoomLatent(rowsInRange, config.models.zoom.latent, normal(centre.length ** 2), SIZE);
}

// Pictures: rows of images, each row a Float32Array.

function paint(canvas, rows, columns = rows[0].length / PIXELS) {
  const [cell, gap] = [SIZE + 1, 1];
  canvas.width = columns * cell - gap;
  canvas.height = rows.length * cell - gap;
  const context = canvas.getContext("2d");
  rows.forEach((row, r) => {
    for (let c = 0; c * PIXELS < row.length; c++) {
      const image = new ImageData(SIZE, SIZE);
      for (let p = 0; p < PIXELS; p++) {
        const grey = ((row[c * PIXELS + p] + HALF) / (2 * HALF)) * 255; // clamped and rounded by the array
        image.data.set([grey, grey, grey, 255], 4 * p);
      }
      context.putImageData(image, c * cell, r * cell);
    }
  });
}

const join = (images) => {
  const all = new Float32Array(images.length * PIXELS);
  images.forEach((image, i) => all.set(image, i * PIXELS));
  return all;
};
const still = matchMedia("(prefers-reduced-motion: reduce)");
const drawn = () => new Promise(requestAnimationFrame);

// Only the last call of a section goes on; an earlier one ends at its next step.
function lastOf() {
  let last = 0;
  return () => {
    const own = ++last;
    return () => {
      if (own !== last) throw new Superseded();
    };
  };
}
class Superseded extends Error {}

function saying(status, work) {
  work.catch((error) => {
    if (!(error instanceof Superseded)) status.textContent = error.message;
  });
}

// Drawing

const pad = find("drawing").getContext("2d", { willReadFrequently: true });
const SCALE = 10; // of the pad to the image
const WIDTH = SIZE * SCALE;
Object.assign(find("drawing"), { width: WIDTH, height: WIDTH });
let x; // the digit
let digit = -1; // which test image was taken last

function clear() {
  pad.fillStyle = "#000";
  pad.fillRect(0, 0, WIDTH, WIDTH);
  x = new Float32Array(PIXELS).fill(-HALF);
  degrade();
}

// The drawing as the data are: at most 20 of 28 pixels wide and high, its centre of mass in the middle.
function read() {
  const { data: seen } = pad.getImageData(0, 0, WIDTH, WIDTH);
  let [mass, sumX, sumY, left, right, top, bottom] = [0, 0, 0, WIDTH, 0, WIDTH, 0];
  for (let p = 0; p < WIDTH * WIDTH; p++) {
    const ink = seen[4 * p];
    if (!ink) continue;
    const [h, v] = [p % WIDTH, Math.floor(p / WIDTH)];
    [mass, sumX, sumY] = [mass + ink, sumX + ink * h, sumY + ink * v];
    [left, right, top, bottom] = [Math.min(left, h), Math.max(right, h), Math.min(top, v), Math.max(bottom, v)];
  }
  if (!mass) return;
  const ratio = Math.min(1, ((WIDTH * 20) / 28) / (Math.max(right - left, bottom - top) + 1));
  const copy = new OffscreenCanvas(WIDTH, WIDTH).getContext("2d");
  copy.fillRect(0, 0, WIDTH, WIDTH);
  const place = (sum) => WIDTH / 2 - (ratio * sum) / mass;
  copy.drawImage(find("drawing"), place(sumX), place(sumY), WIDTH * ratio, WIDTH * ratio);
  const { data: placed } = copy.getImageData(0, 0, WIDTH, WIDTH);
  const sums = new Float32Array(PIXELS);
  for (let p = 0; p < WIDTH * WIDTH; p++) {
    sums[Math.floor(p / WIDTH / SCALE) * SIZE + Math.floor((p % WIDTH) / SCALE)] += placed[4 * p];
  }
  x = toRange(sums.map((sum) => sum / SCALE ** 2));
  degrade();
}

async function take() {
  data.digits ??= await rows("digits", Uint8Array);
  digit = (digit + 1) % data.digits.length;
  x = toRange(data.digits[digit].flat());
  const small = document.createElement("canvas");
  paint(small, [x]);
  pad.imageSmoothingEnabled = false;
  pad.drawImage(small, 0, 0, WIDTH, WIDTH);
  degrade();
}

let last = null; // where the pen is
find("drawing").addEventListener("pointerdown", (event) => {
  event.target.setPointerCapture(event.pointerId);
  last = [event.offsetX, event.offsetY];
  stroke(event);
});
find("drawing").addEventListener("pointermove", (event) => last && stroke(event));
for (const end of ["pointerup", "pointercancel"]) find("drawing").addEventListener(end, () => (last = null));

function stroke(event) {
  const scale = WIDTH / event.target.clientWidth;
  Object.assign(pad, { strokeStyle: "#fff", lineWidth: 2.2 * SCALE, lineCap: "round" });
  pad.beginPath();
  pad.moveTo(last[0] * scale, last[1] * scale);
  last = [event.offsetX, event.offsetY];
  pad.lineTo(last[0] * scale, last[1] * scale);
  pad.stroke();
  read();
}

// Degrading and restoring

const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;
const fixedNoise = stream("noise", 0).normal(PIXELS); // the same while the slider moves
const restoring = lastOf();
let z, t;

function degrade() {
  const name = chosen("degradation");
  const { T } = degradations[name];
  t = Math.round((find("severity").value / find("severity").max) * T);
  z = degradations[name].degrade(x, t, fixedNoise);
  paint(find("degraded"), [z]);
  find("degraded-t").textContent = `z at step ${t} of ${T}`;
  find("severity").setAttribute("aria-valuetext", `step ${t} of ${T}`);
  restoring(); // what is on its way is of another z
  find("restored").getContext("2d").clearRect(0, 0, SIZE, SIZE);
  find("restored-how").textContent = "";
  find("restore-status").textContent = "";
  find("way").hidden = true;
  bend();
}

function shownAsRestored(image, how) {
  paint(find("restored"), [image]);
  find("restored-how").textContent = how;
}

async function restore(stepwise) {
  const goingOn = restoring();
  const [name, from] = [chosen("degradation"), z];
  find("way").hidden = true;
  if (t === 0) return shownAsRestored(z, "nothing is to be undone at step 0");
  find("restore-status").textContent = "Restoring …";
  if (!stepwise) {
    const clean = await denoiser(name)(from, t);
    goingOn();
    shownAsRestored(clean, "in one step");
    find("restore-status").textContent = "";
    return;
  }
  const steps = subsequence(t, Number(find("restore-steps").value));
  const frames = [];
  const show = (count) => {
    const columns = Math.min(10, count);
    const picked = Array.from({ length: columns }, (_, k) => Math.round((k * (count - 1)) / Math.max(1, columns - 1)));
    const there = picked.filter((k) => k < frames.length).map((k) => frames[k]);
    paint(find("way-back"), [join(there.map((frame) => frame.z)), join(there.map((frame) => frame.clean))], columns);
    find("way").hidden = false;
  };
  const callback = async (s, z, clean) => {
    goingOn();
    frames.push({ z, clean });
    find("restore-status").textContent = `Step ${frames.length} of ${steps.length - 1}`;
    if (still.matches) return;
    shownAsRestored(clean, "so far");
    show(steps.length);
    await drawn();
  };
  const image = await sampling(name, config.models[name].sampler, stream("restore", 0).normal, callback)(from, steps);
  goingOn();
  frames.push({ z: image, clean: image });
  show(steps.length);
  const count = steps.length - 1;
  shownAsRestored(image, `in ${count} ${count === 1 ? "step" : "steps"}`);
  find("restore-status").textContent = "";
}

// Sampling

const sampled = lastOf();
const films = { ddpm: null, cold: null };
const title = (name) => ({ blur: "Blur", zoom: "Zoom", gaussian_noise: "DDPM" })[name];

function showFrame() {
  const share = find("frame").value / Math.max(1, find("frame").max);
  for (const [place, film] of Object.entries(films)) {
    if (!film?.frames.length) continue;
    const frame = film.frames[Math.round(share * (film.frames.length - 1))];
    paint(find(`${place}-sample`), [frame.z, frame.clean]);
    const where = `step ${frame.t} of ${degradations[film.name].T}`;
    find(`${place}-t`).textContent = where;
    find(`${place}-sample`).setAttribute("aria-label", `Four images of ${title(film.name)} at ${where}`);
  }
}

// One image has the same random numbers however many there are.
async function film(place, name, sampler, seed, goingOn, progress) {
  const streams = Array.from({ length: TOGETHER }, (_, i) => stream(`sample/${name}/${i}`, seed));
  const z = join(await Promise.all(streams.map((one) => latent(name, one))));
  const normal = () => join(streams.map((one) => one.normal(PIXELS)));
  const own = (films[place] = { name, frames: [] });
  const steps = subsequence(degradations[name].T, Number(find("steps").value));
  const callback = async (t, z, clean) => {
    goingOn();
    own.frames.push({ t, z, clean });
    await progress(own.frames.length, steps.length - 1, place);
  };
  const image = await sampling(name, sampler, normal, callback)(z, steps);
  goingOn();
  own.frames.push({ t: 0, z: image, clean: image });
}

async function sample() {
  const goingOn = sampled();
  const [seed, cold] = [find("seed").value, find("cold").value];
  const kind = find("sampler").value;
  const asked = { seed, cold, steps: find("steps").value, sampler: kind };
  history.replaceState(null, "", `#${new URLSearchParams(asked)}`);
  find("address").href = location.hash;
  find("address").hidden = false;
  find("cold-name").textContent = title(cold);
  find("frame").disabled = true;
  find("sample-status").textContent = "Sampling …";
  const began = performance.now();
  const done = { ddpm: "", cold: "" };
  const progress = async (k, count, place) => {
    done[place] = `${place === "ddpm" ? "DDPM" : title(cold)}: step ${k} of ${count}`;
    find("sample-status").textContent = Object.values(done).filter(Boolean).join(", ");
    if (still.matches) return;
    Object.assign(find("frame"), { max: 1, value: 1 }); // the newest
    showFrame();
    await drawn();
  };
  const own = config.models.gaussian_noise.sampler;
  await Promise.all([
    film("ddpm", "gaussian_noise", kind === own.name ? own : { name: kind }, seed, goingOn, progress),
    film("cold", cold, config.models[cold].sampler, seed, goingOn, progress),
  ]);
  const length = Math.max(films.ddpm.frames.length, films.cold.frames.length) - 1;
  Object.assign(find("frame"), { max: length, value: length, disabled: false });
  showFrame();
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  find("sample-status").textContent = `Sampled with seed ${seed} in ${seconds} s.`;
}

function fromAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  if (!asked.has("seed")) return;
  for (const [id, value] of asked) {
    const control = ["seed", "cold", "steps", "sampler"].includes(id) && find(id);
    const fits = control.options ? [...control.options].some((option) => option.value === value) : /^\d{1,6}$/.test(value);
    if (control && fits) control.value = value;
  }
  saying(find("sample-status"), sample());
}

// The schedule

const BENDS = {
  linear: { name: "β at the last step", from: 1e-3, to: 0.2, make: (v) => ({ name: "linear", beta_min: 1e-4, beta_max: v }), start: 0.02 },
  cosine: { name: "offset s", from: 1e-3, to: 10, make: (v) => ({ name: "cosine", s: v, beta_max: 0.999 }), start: 0.008 },
  constant: { name: "β at every step", from: 1e-4, to: 0.1, make: (v) => ({ name: "constant", beta: v }), start: 0.01 },
};
const STEPS = 1000;
const bent = Object.fromEntries(Object.entries(BENDS).map(([name, b]) => [name, position(b, b.start)]));
const scheduleNoise = stream("schedule", 0).normal(PIXELS);

function position({ from, to }, value) {
  return (200 * Math.log(value / from)) / Math.log(to / from);
}
const valueAt = ({ from, to }, position) => from * (to / from) ** (position / 200);
const alphaBarsOf = (name, position) => alphaBars(BENDS[name].make(valueAt(BENDS[name], position)), STEPS);

function bend() {
  const name = chosen("schedule");
  const at = Number(find("at").value);
  const curves = Object.fromEntries(Object.keys(BENDS).map((key) => [key, alphaBarsOf(key, bent[key])]));
  const alphaBar = curves[name];
  const value = valueAt(BENDS[name], bent[name]);
  find("bend").value = bent[name];
  find("bend-name").textContent = `${BENDS[name].name}: ${value.toPrecision(2)}`;
  find("bend").setAttribute("aria-valuetext", value.toPrecision(2));
  find("at-t").textContent = at;
  const line = (key) =>
    "M" + Array.from({ length: 101 }, (_, k) => `${10 * k},${(410 - 400 * curves[key][10 * k]).toFixed(1)}`).join("L");
  const path = (key) => `<path d="${line(key)}"${key === name ? ' class="chosen"' : ""}/>`;
  const others = Object.keys(BENDS).filter((key) => key !== name);
  find("plot").innerHTML = [...others, name].map(path).join("") + `<path class="mark" d="M${at},0V420"/>`;
  find("left").textContent = `At the marked step ᾱ is ${alphaBar[at].toPrecision(2)}; at the end ${alphaBar[STEPS].toPrecision(2)} is left.`;
  const noisy = (t) => x.map((v, i) => Math.sqrt(alphaBar[t]) * v + Math.sqrt(1 - alphaBar[t]) * scheduleNoise[i]);
  paint(find("scheduled"), [noisy(at)]);
  paint(find("strip"), [join(Array.from({ length: 9 }, (_, k) => noisy(125 * k)))]);
}

// The bend for which the curve passes where the pointer is: alpha_bar falls as the bend grows.
function drag(event) {
  const box = find("plot").getBoundingClientRect();
  const within = (v) => Math.min(1, Math.max(0, v));
  const t = Math.round(within((event.clientX - box.left) / box.width) * STEPS);
  const wanted = (410 - 420 * within((event.clientY - box.top) / box.height)) / 400;
  const name = chosen("schedule");
  let [low, high] = [0, 200];
  while (high - low > 0.5) {
    const middle = (low + high) / 2;
    if (alphaBarsOf(name, middle)[t] > wanted) low = middle;
    else high = middle;
  }
  bent[name] = high;
  bend();
}

// Controls

find("take").addEventListener("click", () => saying(find("restore-status"), take()));
find("clear").addEventListener("click", clear);
find("severity").addEventListener("input", degrade);
for (const radio of document.getElementsByName("degradation")) radio.addEventListener("change", degrade);
find("directly").addEventListener("click", () => saying(find("restore-status"), restore(false)));
find("stepwise").addEventListener("click", () => saying(find("restore-status"), restore(true)));
find("sample").addEventListener("submit", (event) => {
  event.preventDefault();
  saying(find("sample-status"), sample());
});
find("next").addEventListener("click", () => {
  find("seed").value = Number(find("seed").value) + 1;
  saying(find("sample-status"), sample());
});
find("frame").addEventListener("input", showFrame);
for (const radio of document.getElementsByName("schedule")) radio.addEventListener("change", bend);
find("bend").addEventListener("input", () => {
  bent[chosen("schedule")] = Number(find("bend").value);
  bend();
});
find("at").addEventListener("input", bend);
find("plot").addEventListener("pointerdown", (event) => {
  event.currentTarget.setPointerCapture(event.pointerId);
  drag(event);
});
find("plot").addEventListener("pointermove", (event) => event.buttons && drag(event));
window.addEventListener("hashchange", fromAddress);

document.querySelector("h1").hidden = window.parent !== window; // the page of the report around it has the same title
const named = Object.values(config.models);
find("variants").textContent = named.map(({ variant }) => variant).join(", ");
find("differences").textContent = Math.max(...named.map(({ difference }) => difference)).toPrecision(1);
find("centres-count").textContent = shapes.centres[0];
find("centres-size").textContent = `${shapes.centres[1]} × ${shapes.centres[2]}`;

clear();
for (const id of ["ddpm-sample", "cold-sample"]) paint(find(id), [[], []], TOGETHER);
runtime.then(
  () => (find("runtime").textContent = `The models are ready: unpacked in ${(performance.now() / 1000).toFixed(1)} s.`),
  (error) => {
    find("runtime").textContent = `${error.message} You can draw, degrade and bend the schedule nevertheless.`;
    find("runtime").classList.add("problem");
    for (const button of document.querySelectorAll(`button:not(${unpacks ? "#take, " : ""}#clear)`)) button.disabled = true;
  },
);
if (unpacks) saying(find("restore-status"), take());
fromAddress();

// For tests, and for whoever opens the console.
globalThis.thaw = { config, runtime, degradations, denoiser, sampling, latent, alphaBars, subsequence, blurLatent, zoomLatent, data };
