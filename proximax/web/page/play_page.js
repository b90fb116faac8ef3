// The page on which a policy of a run plays: which policy, by what it is computed, and the newest while the run trains.

import { get, ServerError } from "./api.js";
import { byId, el, refresh, setText } from "./dom.js";
import { ago, steps } from "./format.js";
import { openSession } from "./play/onnx.js";
import { Player } from "./play/player.js";
import { readWeights } from "./play/weights.js";

const AGAIN_MS = 5000; // between two looks for a newer checkpoint
const MAX_SEEDS = 100; // that can be chosen
const ENGINES = { onnx: "Computed by onnxruntime-web from the exported ONNX file.", weights: "Computed by a few lines of JavaScript from the policy's weights." };
const run = new URLSearchParams(location.search).get("run") ?? "";
let player = null, playing = { act: () => [0], reset: () => {} }, shown = null, timer = 0;

start();

function start() {
  restoreTheme();
  byId("back").href = `/#${encodeURIComponent(run)}`;
  for (const id of ["checkpoint", "seed"]) byId(id).addEventListener("change", () => { byId(id).blur(); look(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  look();
}

/** Ask which policy it is; one that has changed takes over at its next step. */
async function look() {
  clearTimeout(timer);
  try {
    const query = new URLSearchParams({ checkpoint: byId("checkpoint").value });
    if (byId("seed").value) query.set("seed", byId("seed").value);
    const answer = await get(`/api/runs/${encodeURIComponent(run)}/policy?${query}`, "policy");
    if (answer !== shown) await take(answer);
    say("");
  } catch (error) {
    say(error instanceof ServerError ? error.message : "The server has ended or cannot be reached. Start it again: proximax watch");
  }
  if (!document.hidden) timer = setTimeout(look, AGAIN_MS);
}

async function take(answer) {
  const { policy, engine } = await open(answer);
  policy.reset();
  playing = policy;
  shown = answer;
  document.title = `${answer.env} – proximax`;
  setText(byId("name"), answer.name);
  setText(byId("which"), `${answer.env}, ${steps(answer.steps)} steps${answer.seeds > 1 ? `, seed ${answer.seed}` : ""}, saved ${ago(answer.saved)}`);
  setText(byId("engine"), ENGINES[engine]);
  document.documentElement.dataset.engine = engine;
  const seeds = Array.from({ length: Math.min(answer.seeds, MAX_SEEDS) }, (_, i) => answer.first_seed + i);
  refresh(byId("seed"), seeds, () => seeds.map((seed) => el("option", { value: seed, text: seed })));
  byId("seed").value = String(answer.seed);
  byId("seed-field").hidden = answer.seeds < 2;
  player ??= new Player(byId("place"), answer.env, { act: (obs) => playing.act(obs), reset: () => playing.reset() });
}

/** onnxruntime-web where it works here; otherwise the weights. */
async function open({ onnx, weights }) {
  try {
    if (onnx) return { policy: await openSession(onnx), engine: "onnx" };
  } catch (error) {
    if (!weights) throw new ServerError(`onnxruntime-web does not run here: ${error.message}`);
  }
  if (!weights) throw new ServerError('This policy needs ONNX, which the server has not installed: pip install "proximax[export]"');
  return { policy: readWeights(weights), engine: "weights" };
}

function say(text) {
  byId("lost").hidden = !text;
  setText(byId("lost"), text);
}

function restoreTheme() {
  let kept = {};
  try { kept = JSON.parse(localStorage.getItem("proximax-view") ?? "{}"); } catch { /* as it is by default */ }
  const apply = (theme) => { document.documentElement.dataset.theme = theme; };
  byId("theme").value = ["light", "dark"].includes(kept.theme) ? kept.theme : "auto";
  apply(byId("theme").value);
  byId("theme").addEventListener("change", () => {
    apply(byId("theme").value);
    localStorage.setItem("proximax-view", JSON.stringify({ ...kept, theme: byId("theme").value }));
  });
}
