// The list of runs: which are shown in the charts, and which one is looked at.

import { byId, el, setText } from "./dom.js";
import { ago, number, percent, steps } from "./format.js";
import { colourOf } from "./palette.js";

export const STATES = {
  training: "training",
  finished: "finished",
  failed: "failed",
  stopped: "stopped",
  unreadable: "cannot be read",
};

const rows = new Map(); // id -> the parts of its row

/** Bring the list up to date. `chosen`: ids that are shown; `focus`: the one looked at; `actions`: choose(id, on), look(id). */
export function showRuns(runs, chosen, focus, actions) {
  const wanted = byId("find").value.trim().toLowerCase();
  const visible = runs.filter((run) => `${run.name} ${run.env ?? ""} ${run.algo ?? ""}`.toLowerCase().includes(wanted));
  for (const [id, row] of rows) {
    if (visible.some((run) => run.id === id)) continue;
    row.node.remove();
    rows.delete(id);
  }
  const list = byId("runs");
  visible.forEach((run, place) => {
    if (!rows.has(run.id)) rows.set(run.id, makeRow(run.id, actions));
    const row = rows.get(run.id);
    if (list.children[place] !== row.node) list.insertBefore(row.node, list.children[place] ?? null);
    fillRow(row, run, chosen.has(run.id), run.id === focus);
  });
  const training = runs.filter((run) => run.state === "training").length;
  setText(byId("count"), `${chosen.size} of ${runs.length} shown${training ? `, ${training} training` : ""}`);
  return visible;
}

function makeRow(id, actions) {
  const box = el("input", { type: "checkbox", onchange: (event) => actions.choose(id, event.target.checked) });
  const swatch = el("i", { class: "swatch" });
  const name = el("span", { class: "name" });
  const about = el("span", { class: "about" });
  const state = el("span", { class: "state" });
  const score = el("b", { class: "score" });
  const done = el("progress", { max: 1 });
  const look = el("button", { type: "button", class: "look", onclick: () => actions.look(id) }, name, about, done);
  const node = el("li", {}, el("label", { class: "pick" }, box, swatch), look, el("div", { class: "facts" }, score, state));
  return { node, box, swatch, name, about, state, score, done, look };
}

function fillRow(row, run, chosen, focused) {
  row.box.checked = chosen;
  row.box.setAttribute("aria-label", `Show ${run.name} in the charts`);
  row.swatch.style.background = colourOf(run.id);
  setText(row.name, run.name);
  row.name.title = run.name;
  const seeds = run.seeds > 1 ? ` · ${run.seeds} seeds` : "";
  setText(row.about, run.env ? `${run.env} · ${run.algo}${seeds} · ${steps(run.steps)} steps` : run.fault ?? "");
  setText(row.state, STATES[run.state] ?? run.state);
  row.state.className = `state ${run.state}`;
  row.state.title = run.updated ? `last written ${ago(run.updated)}` : "";
  const score = run.final_return ?? run.training_return;
  setText(row.score, run.env ? number(score) : "");
  row.score.title = run.final_return === null ? "training return, latest 100 episodes" : "mean return of the final evaluation";
  const share = run.planned ? Math.min(1, run.steps / run.planned) : 0;
  row.done.hidden = run.state !== "training";
  row.done.value = share;
  row.done.setAttribute("aria-label", `${percent(share)} of ${run.name}`);
  row.node.classList.toggle("focused", focused);
  row.look.setAttribute("aria-current", String(focused));
}
