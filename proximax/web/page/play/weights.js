// A policy as arrays, the content of `proximax export --format npz`: MLPs, and gru, lstm and mingru on top of one.

const ACTIVATIONS = {
  tanh: Math.tanh,
  relu: (x) => Math.max(x, 0),
  elu: (x) => (x > 0 ? x : Math.expm1(x)),
  silu: (x) => x * sigmoid(x),
};
const sigmoid = (x) => 0.5 + 0.5 * Math.tanh(0.5 * x);
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const parts = (x, count) => Array.from({ length: count }, (_, i) => x.slice((i * x.length) / count, ((i + 1) * x.length) / count));
const argmax = (x) => x.indexOf(Math.max(...x));

function numbers(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

/** `x @ w + b`, w: rows of as many numbers as b has. */
function affine(x, w, b) {
  const out = Array.from(b);
  x.forEach((value, i) => { for (let j = 0; j < b.length; j++) out[j] += value * w[i * b.length + j]; });
  return out;
}

/** `act(obs)`: the action, as a list of numbers; `reset()`: the next observation opens an episode. */
export function readWeights({ about, arrays }) {
  const a = Object.fromEntries(Object.entries(arrays).map(([name, text]) => [name, numbers(text)]));
  let memory;
  const reset = () => { memory = about.units.map((n) => [Array(n).fill(0), Array(n).fill(0)]); };
  const at = (array, i) => array[array.length > 1 ? i : 0];

  function remember(i, x) {
    const [h, c] = memory[i];
    if (about.cell === "mingru") {
      const [z, fresh] = parts(x, 2);
      memory[i] = [h.map((old, k) => old + sigmoid(z[k]) * (Math.tanh(fresh[k]) - old)), c];
      return memory[i][0];
    }
    const u = affine(h, a[`memory_w${i}`], a[`memory_b${i}`]);
    if (about.cell === "gru") {
      const [xr, xz, xn] = parts(x, 3), [hr, hz, hn] = parts(u, 3);
      const z = xz.map((value, k) => sigmoid(value + hz[k]));
      memory[i] = [h.map((old, k) => (1 - z[k]) * Math.tanh(xn[k] + sigmoid(xr[k] + hr[k]) * hn[k]) + z[k] * old), c];
    } else {
      const [into, keep, out, fresh] = parts(x.map((value, k) => value + u[k]), 4);
      const next = c.map((old, k) => sigmoid(keep[k]) * old + sigmoid(into[k]) * Math.tanh(fresh[k]));
      memory[i] = [next.map((value, k) => sigmoid(out[k]) * Math.tanh(value)), next];
    }
    return memory[i][0];
  }

  function unitsOf(out) {
    if (about.kind === "squashed_gaussian") return out.map(Math.tanh);
    if (about.kind !== "beta") return out.map((x) => Math.min(Math.max(x, -1), 1));
    const [alpha, beta] = parts(out.map(softplus), 2);
    return alpha.map((x, i) => (x - beta[i]) / (x + beta[i]));
  }

  function act(obs) {
    let x = Array.from(obs, (value, i) => (Math.fround(value) - at(a.mean, i)) / at(a.std, i));
    x = x.map((value) => Math.min(Math.max(value, -a.clip[0]), a.clip[0]));
    for (let i = 0; i < about.layers; i++) x = affine(x, a[`w${i}`], a[`b${i}`]).map(ACTIVATIONS[about.activation]);
    for (let i = 0; i < about.units.length; i++) x = remember(i, affine(x, a[`input_w${i}`], a[`input_b${i}`]));
    const out = affine(x, a.head_w, a.head_b);
    if (about.kind === "choices") {
      const ends = [0, ...about.ends, out.length];
      return ends.slice(1).map((end, i) => argmax(out.slice(ends[i], end)) + a.start[i]);
    }
    const units = unitsOf(out), free = about.kind === "beta" ? units : out;
    const action = units.map((unit, i) => (a.bounded[i] ? unit * a.half[i] + a.centre[i] : free[i]));
    return action.map((value, i) => Math.min(Math.max(value, a.floor[i]), a.ceiling[i]));
  }

  reset();
  return { act, reset };
}
