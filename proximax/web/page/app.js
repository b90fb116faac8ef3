// The page: what is shown, when the server is asked, who draws what.

import { Curves, get, ServerError } from "./api.js";
import { Chart } from "./chart.js";
import { openDetail, showDetail } from "./detail.js";
import { byId, el, setText } from "./dom.js";
import { assignColours } from "./palette.js";
import { showRuns } from "./run_list.js";

const FIRST = 10; // runs that are shown until somebody chooses
const LIVE_MS = 1000, IDLE_MS = 4000, READING_MS = 60, LOST_MS = 3000;
const kl = (runs) => [...new Set(runs.map((run) => run.limits?.kl))].slice(0, 3);
const MAIN = { metric: "return_last_100", title: "Training return", note: "latest 100 episodes; bands: lowest to highest seed", legend: true, whole: true };
const SMALL = [
  { metric: "kl", title: "KL of an update", limits: kl, limitName: "target" },
  { metric: "clip_fraction", title: "Clip fraction" },
  { metric: "explained_variance", title: "Explained variance", limits: () => [1] },
  { metric: "entropy", title: "Entropy" },
  { metric: "value_loss", title: "Value loss" },
  { metric: "steps_per_s", title: "Steps per second" },
];
const TITLES = {
  episode_return: "Return of a rollout",
  global_grad_norm: "Gradient norm",
  kl_k1: "KL, estimate k1",
  kl_k3: "KL, estimate k3",
  first_ratio_error: "Error of the first ratio",
  advantage_std: "Advantages, σ",
  obs_abs_max_mean: "Size of observations",
  action_std: "Actions, σ",
  entropy_coef: "Weight of the entropy",
  epsilon: "Clip, ε",
  beta: "Penalty, β",
};

const view = { axis: "steps", seeds: "band", window: 1, zoom: null, theme: "auto", width: 600 };
const charts = { main: [], small: [], more: [] };
const curves = { main: new Curves(), small: new Curves(), more: new Curves() };
let runs = [], chosen = new Set(), choseAny = false, focus = location.hash.slice(1), timer = 0, asking = false, again = false;

start();

async function start() {
  restoreView();
  openDetail();
  bindControls();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", soon);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
  new ResizeObserver(soon).observe(byId("curves"));
  tick();
}

/** The charts of all metrics that the server knows, made once it has said which. */
async function makeCharts() {
  const { charted, meanings, version } = await get("/api/about");
  document.title = "proximax";
  byId("status").title = `proximax ${version}`;
  const zoom = (range) => { view.zoom = range; byId("curves").classList.toggle("zoomed", range !== null); soon(); };
  const make = (place, parts, height) => parts.map((part) => {
    const chart = new Chart({ ...part, about: meanings[part.metric] }, height, zoom);
    byId(place).append(chart.node);
    return chart;
  });
  const known = new Set([MAIN, ...SMALL].map(({ metric }) => metric));
  const words = (metric) => TITLES[metric] ?? metric.replaceAll("_", " ").replace(/^./, (x) => x.toUpperCase());
  charts.main = make("main-chart", [MAIN], 320);
  charts.small = make("small-charts", SMALL, 170);
  charts.more = make("more-charts", charted.filter((m) => !known.has(m)).map((metric) => ({ metric, title: words(metric) })), 150);
}

/** Ask for everything that is shown, draw it, and come again. */
async function tick() {
  clearTimeout(timer);
  if (asking) { again = true; return; }
  asking = true;
  let wait = IDLE_MS;
  try {
    if (!charts.main.length) await makeCharts();
    const answer = await get("/api/runs");
    runs = answer.runs.sort((a, b) => (b.updated ?? 0) - (a.updated ?? 0) || a.name.localeCompare(b.name));
    chooseRuns();
    drawList(answer);
    const complete = runs.length ? await drawRuns() : true;
    wait = !complete ? READING_MS : runs.some((run) => run.state === "training") ? LIVE_MS : IDLE_MS;
    showState(complete ? (runs.some((run) => run.state === "training") ? "live" : "idle") : "reading metrics");
  } catch (error) {
    showState("disconnected", error);
    wait = LOST_MS;
  }
  asking = false;
  if (again) { again = false; wait = 0; }
  if (!document.hidden) timer = setTimeout(tick, wait);
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(tick, 30);
}

/** Until somebody chooses, the runs that were written last; those that are gone are left out. */
function chooseRuns() {
  const ids = new Set(runs.map((run) => run.id));
  chosen = new Set(choseAny ? [...chosen].filter((id) => ids.has(id)) : keepOrder(runs.filter((run) => run.env).slice(0, FIRST)));
  if (!ids.has(focus)) focus = runs.find((run) => chosen.has(run.id))?.id ?? runs[0]?.id ?? "";
  assignColours([...chosen]);
}

/** Ids of the runs, those that are shown already first, so that colours stay. */
function keepOrder(wanted) {
  const ids = wanted.map((run) => run.id);
  return [...[...chosen].filter((id) => ids.includes(id)), ...ids];
}

function drawList({ folders, left_out: leftOut }) {
  byId("empty").hidden = runs.length > 0;
  byId("content").hidden = runs.length === 0;
  byId("nothing").hidden = chosen.size > 0;
  setText(byId("where"), folders.join(", "));
  setText(byId("folders"), `${folders.join(", ")}${leftOut ? ` (and ${leftOut} more runs, which are not shown)` : ""}`);
  showRuns(runs, chosen, focus, {
    choose: (id, on) => { choseAny = true; if (on) chosen.add(id); else chosen.delete(id); soon(); },
    look: (id) => { focus = id; history.replaceState(null, "", `#${id}`); soon(); },
  });
}

/** Curves and the run that is looked at; whether all metrics are read. */
async function drawRuns() {
  const shown = runs.filter((run) => chosen.has(run.id));
  const share = shown.length > 20 ? 0.5 : 1;
  const width = Math.max(200, Math.min(1600, byId("curves").clientWidth));
  const groups = [["main", width], ["small", width / 3], ...(byId("more").open ? [["more", width / 3]] : [])];
  let complete = true;
  for (const [name, columns] of groups) {
    const wide = { ...view, width: Math.max(60, Math.round((columns * share) / 20) * 20) };
    const metrics = charts[name].map((chart) => chart.spec.metric);
    const answer = await curves[name].ask(name, shown.map((run) => run.id), metrics, wide);
    complete &&= answer.complete;
    for (const chart of charts[name]) {
      const of = new Map([...answer.runs].map(([id, part]) => [id, part.curves[chart.spec.metric]]));
      chart.draw(shown, of, answer.step, { ...view, theme: document.documentElement.dataset.theme + isDarkNow() });
    }
  }
  if (focus) showDetail(await get(`/api/runs/${focus}`, "detail"), runs);
  return complete;
}

const isDarkNow = () => matchMedia("(prefers-color-scheme: dark)").matches;

function showState(word, error) {
  const lost = word === "disconnected";
  setText(byId("status"), word);
  byId("status").className = `status ${lost ? "off" : word === "idle" ? "idle" : "live"}`;
  const why = error instanceof ServerError ? error.message : "The server has ended or cannot be reached. Start it again: proximax watch";
  byId("lost").hidden = !lost;
  setText(byId("lost"), lost ? `${why} What is below was read before.` : "");
}

function bindControls() {
  byId("axis").addEventListener("change", (event) => { view.axis = event.target.value; view.zoom = null; changed(); });
  byId("seeds").addEventListener("change", (event) => { view.seeds = event.target.value; changed(); });
  byId("window").addEventListener("change", (event) => { view.window = Number(event.target.value); changed(); });
  byId("theme").addEventListener("change", (event) => { view.theme = event.target.value; changed(); });
  byId("find").addEventListener("input", soon);
  byId("more").addEventListener("toggle", soon);
  const found = () => showRuns(runs, chosen, focus, {}).filter((run) => run.env).map((run) => run.id);
  byId("all").addEventListener("click", () => { choseAny = true; chosen = new Set([...chosen, ...found()]); soon(); });
  byId("none").addEventListener("click", () => { choseAny = true; chosen = new Set(); soon(); });
}

function changed() {
  document.documentElement.dataset.theme = view.theme;
  const { zoom, width, ...kept } = view;
  localStorage.setItem("proximax-view", JSON.stringify(kept));
  soon();
}

function restoreView() {
  try {
    const kept = JSON.parse(localStorage.getItem("proximax-view") ?? "{}");
    for (const name of ["axis", "seeds", "window", "theme"]) if (typeof kept[name] === typeof view[name]) view[name] = kept[name];
  } catch { /* as it is by default */ }
  document.documentElement.dataset.theme = view.theme;
  for (const name of ["axis", "seeds"]) for (const input of byId(name).querySelectorAll("input")) input.checked = input.value === view[name];
  byId("window").value = String(view.window);
  byId("theme").value = view.theme;
  if (innerWidth < 900) byId("side").open = false;
}
