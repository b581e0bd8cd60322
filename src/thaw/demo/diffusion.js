// Schedules, degradations, latents and samplers, as in src/thaw/diffusion, degradations and samplers. The golden vectors
// that the stage writes hold this file to them.
//
// Images are Float32Arrays of any number of images, one after the other, each of `size` x `size` pixels. Steps are t in
// 0..T. `normal(n)` gives n draws from N(0, 1).

// Noise schedules: alpha_bar_0..alpha_bar_T.

const BETAS = {
  linear: ({ beta_min, beta_max }, T) => (t) => beta_min + (beta_max - beta_min) * (T > 1 ? (t - 1) / (T - 1) : 0),
  constant: ({ beta }) => () => beta,
  cosine: ({ s = 0.008, beta_max = 0.999 }, T) => {
    const f = (t) => Math.cos(((t / T + s) / (1 + s)) * (Math.PI / 2)) ** 2;
    return (t) => Math.min(1 - f(t) / f(t - 1), beta_max);
  },
};

export function alphaBars(schedule, T) {
  const beta = BETAS[schedule.name](schedule, T);
  const alphaBar = new Float64Array(T + 1).fill(1);
  for (let t = 1; t <= T; t++) alphaBar[t] = alphaBar[t - 1] * (1 - beta(t));
  return alphaBar;
}

// Degradations: { T, degrade(x, t, source) }. Only Gaussian noise has a source, and { alphaBar, solveSource(z, x, t) }.

export function gaussianNoise({ steps, schedule }) {
  const alphaBar = alphaBars(schedule, steps);
  const signal = (t) => Math.sqrt(alphaBar[t]);
  const noise = (t) => Math.sqrt(1 - alphaBar[t]);
  return {
    T: steps,
    alphaBar,
    degrade: (x, t, source) => x.map((value, i) => signal(t) * value + noise(t) * source[i]),
    solveSource: (z, x, t) => z.map((value, i) => (value - signal(t) * x[i]) / noise(t)),
  };
}

// Matrices are rows of arrays.
const product = (a, b) => a.map((row) => b[0].map((_, j) => row.reduce((sum, value, k) => sum + value * b[k][j], 0)));
const transpose = (a) => a[0].map((_, j) => a.map((row) => row[j]));

function each(x, size, change) {
  const z = new Float32Array(x.length);
  for (let start = 0; start < x.length; start += size * size) {
    const image = Array.from({ length: size }, (_, i) => [...x.subarray(start + i * size, start + (i + 1) * size)]);
    z.set(change(image).flat(), start);
  }
  return z;
}

export function blur({ steps, variance = 1 }, size) {
  const reach = 5; // of a kernel of 11 pixels
  const kernel = Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-((i - reach) ** 2) / (2 * variance)));
  const sum = kernel.reduce((a, b) => a + b);
  const once = Array.from({ length: size }, (_, i) => {
    const row = new Array(size).fill(0);
    kernel.forEach((weight, k) => {
      const reflected = Math.abs(i + k - reach); // at the first pixel, and then at the last
      row[size - 1 - Math.abs(size - 1 - reflected)] += weight / sum;
    });
    return row;
  });
  const matrices = [null, once]; // made as they are asked for
  const matrix = (t) => (matrices[t] ??= product(once, matrix(t - 1)));
  return {
    T: steps,
    degrade: (x, t) => (t === 0 ? x : each(x, size, (image) => product(product(matrix(t), image), transpose(matrix(t))))),
  };
}

export function zoom({ steps }, size) {
  const shown = (t, i) => Math.floor((i * (size - t)) / size) + Math.ceil(t / 2); // torch's `nearest`
  return {
    T: steps,
    degrade: (x, t) =>
      each(x, size, (image) => image.map((row, i) => row.map((_, j) => image[shown(t, i)][shown(t, j)]))),
  };
}

// Latents: one z_T, as each variant starts from it in sampling.

// From one of several Gaussians, in coordinates of the modes that z_T consists of; `components` are N(0, 1).
export function blurLatent({ means, roots, modes }, index, components) {
  const coordinates = means[index].map((m, d) => m + roots[index][d].reduce((sum, r, k) => sum + r * components[k], 0));
  const width = modes[0].length;
  const square = modes[0].map((_, i) => coordinates.slice(i * width, (i + 1) * width));
  return Float32Array.from(product(product(modes, square), transpose(modes)).flat());
}

// A centre of a few pixels, rows of arrays, with `noise` times N(0, 1) for each of them, enlarged to the whole.
export function zoomLatent(centre, { noise = 0 }, normals, size) {
  const width = centre.length;
  const pixel = (i, j) => centre[i][j] + noise * normals[i * width + j];
  const nearest = (i) => Math.floor((i * width) / size);
  return Float32Array.from({ length: size * size }, (_, p) => pixel(nearest(Math.floor(p / size)), nearest(p % size)));
}

// Samplers: from z at steps[0] down the steps to 0. `denoise(z, t)` resolves to the estimate of x, and
// `callback(t, z, clean)`, before each update, may throw in order to stop.

const roundHalfToEven = (v) => (Math.abs(v % 1) === 0.5 ? 2 * Math.round(v / 2) : Math.round(v));

// At most `count` steps, evenly spread, from `start` down to 0.
export function subsequence(start, count) {
  const n = Math.min(count, start);
  return Array.from({ length: n + 1 }, (_, k) => roundHalfToEven((start * (n - k)) / n));
}

const clamped = (x, limit) => x.map((value) => Math.min(limit, Math.max(-limit, value)));

async function walk(steps, z, { denoise, callback, finish = (clean) => clean }, update) {
  for (let k = 0; k + 1 < steps.length; k++) {
    const clean = finish(await denoise(z, steps[k]));
    await callback?.(steps[k], z, clean);
    z = update(z, clean, steps[k], steps[k + 1]);
  }
  return z;
}

export const SAMPLERS = {
  // Ho et al. 2020, algorithm 2.
  ancestral(z, steps, { degradation, normal, halfRange, variance = "lower", clamp = true, ...given }) {
    const { alphaBar } = degradation;
    const finish = (clean) => (clamp ? clamped(clean, halfRange) : clean);
    return walk(steps, z, { ...given, finish }, (z, clean, t, s) => {
      const [at, as] = [alphaBar[t], alphaBar[s]];
      const beta = 1 - at / as;
      const ofClean = (Math.sqrt(as) * beta) / (1 - at);
      const ofZ = (Math.sqrt(at / as) * (1 - as)) / (1 - at);
      const sigma = Math.sqrt(variance === "upper" ? beta : (beta * (1 - as)) / (1 - at));
      const noise = s > 0 ? normal(z.length) : null;
      return z.map((value, i) => ofClean * clean[i] + ofZ * value + (noise ? sigma * noise[i] : 0));
    });
  },

  // Song et al. 2021, equation 12, with eta = 0.
  ddim(z, steps, { degradation, halfRange, clamp = true, ...given }) {
    const finish = (clean) => (clamp ? clamped(clean, halfRange) : clean);
    return walk(steps, z, { ...given, finish }, (z, clean, t, s) =>
      degradation.degrade(clean, s, degradation.solveSource(z, clean, t)),
    );
  },

  // Bansal et al. 2022, algorithm 1; the network sees z with `step_noise` N(0, 1) added.
  cold_naive(z, steps, { degradation, denoise, normal, step_noise = 0, ...given }) {
    const seen = (z) => {
      const noise = step_noise && normal(z.length);
      return noise ? z.map((value, i) => value + step_noise * noise[i]) : z;
    };
    return walk(steps, z, { ...given, denoise: (z, t) => denoise(seen(z), t) }, (z, clean, t, s) =>
      degradation.degrade(clean, s),
    );
  },

  // Bansal et al. 2022, algorithm 2.
  cold_improved(z, steps, { degradation, ...given }) {
    return walk(steps, z, given, (z, clean, t, s) => {
      const [now, next] = [degradation.degrade(clean, t), degradation.degrade(clean, s)];
      return z.map((value, i) => value - now[i] + next[i]);
    });
  },
};

// Random numbers: the same for the same purpose and seed, such as stream("latent", 7), in every browser. The generator
// is sfc32, seeded by a hash of the two; Box and Muller make N(0, 1) of it.

export function stream(purpose, seed) {
  let hash = 2166136261; // FNV-1a, then four numbers by the finaliser of MurmurHash3
  for (const character of `${purpose}/${seed}`) hash = Math.imul(hash ^ character.codePointAt(0), 16777619);
  let [a, b, c, d] = [1, 2, 3, 4].map((k) => {
    let h = hash + Math.imul(k, 0x9e3779b9);
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return (h ^ (h >>> 16)) | 0;
  });
  const uniform = () => {
    const sum = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return (sum >>> 0) / 4294967296;
  };
  for (let k = 0; k < 12; k++) uniform();
  const one = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return { uniform, normal: (n) => Float32Array.from({ length: n }, one) };
}
