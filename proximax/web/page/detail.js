// The run that is looked at: facts, what the doctor found, ratios, the newest video, evaluations, settings.

import { byId, el, refresh, setText } from "./dom.js";
import { ago, bytes, duration, number, percent, steps } from "./format.js";
import { paintMap, ratioParts } from "./ratios.js";
import { STATES } from "./run_list.js";
import { Settings } from "./settings.js";

const title = el("h2", {});
const state = el("span", { class: "state" });
const playLink = el("a", { class: "button", hidden: true, text: "▶ Play", title: "Let the policy play, and play beside it" });
const facts = el("dl", { class: "facts-row" });
const fault = el("p", { class: "lost", role: "alert" });
const findings = el("div", { class: "findings" });
const ratios = el("div", {});
const screen = el("div", { class: "screen" });
const pick = el("select", { "aria-label": "Which video", onchange: () => play(pick.value, false) });
const evaluations = el("div", { class: "scroll" });
const settings = new Settings();
const card = (name, node, ...more) => el("section", { class: "card", "aria-label": name },
  el("header", { class: "row" }, el("h3", { text: name }), ...more), node);
const cards = {
  doctor: card("Doctor", findings),
  ratios: card("Probability ratios", ratios),
  video: card("Video", screen, pick),
  evaluations: card("Evaluations", evaluations),
};
let shown = null, playing = "", newest = true;

/** Put the parts into the page, once. */
export function openDetail() {
  byId("detail").append(el("header", { class: "row head" }, title, state, playLink), fault, facts,
    el("div", { class: "cards" }, ...Object.values(cards)), settings.node);
}

/** Show a run; `runs`: all of them, to compare with. */
export function showDetail(run, runs) {
  if (run.id !== shown?.id) newest = true;
  shown = run;
  setText(title, run.name);
  setText(state, STATES[run.state] ?? run.state);
  state.className = `state ${run.state}`;
  playLink.hidden = !run.playable;
  playLink.href = `/play?run=${encodeURIComponent(run.id)}`;
  const message = [run.fault, run.metrics_fault].filter(Boolean).join(" ");
  fault.hidden = !message;
  setText(fault, message);
  refresh(facts, factsOf(run), (pairs) => pairs.map(([name, value]) => el("div", {}, el("dt", { text: name }), el("dd", { text: value }))));
  const readable = Boolean(run.settings);
  for (const node of [...Object.values(cards), settings.node]) node.hidden = !readable;
  if (!readable) return;
  refresh(findings, [run.findings, run.updates, run.complete], () => findingParts(run));
  showRatios(run);
  showVideos(run);
  refresh(evaluations, [run.evaluations, run.result], () => evaluationParts(run));
  cards.evaluations.hidden = !evaluations.children.length;
  settings.show(run, runs);
}

function factsOf(run) {
  if (!run.env) return [];
  const pairs = [["Environment", run.env], ["Algorithm", run.algo], ["Seeds", String(run.seeds)]];
  const share = run.state !== "finished" && run.planned ? ` of ${steps(run.planned)} (${percent(run.steps / run.planned)})` : "";
  pairs.push(["Steps", steps(run.steps) + share], ["Time", duration(run.time_s)]);
  if (run.time_s > 0) pairs.push(["Speed", `${steps(Math.round((run.steps * run.seeds) / run.time_s))} steps/s`]);
  if (run.state === "training" && run.steps > 0) {
    pairs.push(["Left, about", duration((run.time_s * Math.max(0, run.planned - run.steps)) / run.steps)]);
  }
  pairs.push(["Training return", number(run.training_return)]);
  const interval = run.result?.return_ci95;
  const range = Array.isArray(interval) ? ` (95 % ${number(interval[0])} to ${number(interval[1])})` : "";
  if (run.final_return !== null) pairs.push(["Final return", number(run.final_return) + range]);
  if (run.updated) pairs.push(["Last written", ago(run.updated)]);
  return pairs;
}

function findingParts(run) {
  if (!run.complete) return [el("p", { class: "note", text: "Still reading the metrics." })];
  if (!run.updates) return [el("p", { class: "note", text: "No update was made yet." })];
  if (!run.findings.length) return [el("p", { class: "good", text: "Nothing is wrong." })];
  return run.findings.map((finding) => el("article", { class: `finding ${finding.severity}` },
    el("header", { class: "row" }, el("span", { class: "badge", text: finding.severity }), el("h4", { text: finding.name })),
    el("ul", {}, ...finding.evidence.map(({ seed, text }) => el("li", { text: run.seeds > 1 ? `seed ${seed}: ${text}` : text }))),
    finding.seeds > finding.evidence.length ? el("p", { text: `and ${finding.seeds - finding.evidence.length} more seeds` }) : null,
    el("p", {}, el("b", { text: "Cause. " }), finding.cause),
    el("p", {}, el("b", { text: "Remedy. " }), finding.remedy)));
}

function showRatios(run) {
  cards.ratios.hidden = !run.ratios;
  if (!run.ratios) return;
  const look = [run.ratios.latest, run.limits.epsilon, run.ratios.ends, document.documentElement.dataset.theme, ratios.clientWidth];
  refresh(ratios, look, () => ratioParts(run.ratios, run.limits.epsilon));
  const map = ratios.querySelector("canvas");
  if (map.painted !== ratios.shown) {
    map.painted = ratios.shown;
    paintMap(map, run.ratios, run.limits.epsilon);
  }
}

function showVideos(run) {
  cards.video.hidden = !run.videos.length;
  if (!run.videos.length) {
    playing = "";
    screen.replaceChildren();
    return;
  }
  refresh(pick, run.videos.map(({ id, name, size }) => [id, name, size]), (videos) =>
    videos.map(([value, name, size], i) => el("option", { value, text: `${name}${i ? "" : ", newest"} (${bytes(size)})` })));
  const wanted = newest || !run.videos.some(({ id }) => id === pick.value) ? run.videos[0].id : pick.value;
  play(wanted, newest);
}

/** Show a video, unless it is the one that is shown; `isNewest`: go on to the next one that comes. */
function play(id, isNewest) {
  newest = isNewest || id === shown.videos[0].id;
  pick.value = id;
  const address = `/api/runs/${shown.id}/videos/${id}`;
  if (address === playing) return;
  playing = address;
  const video = shown.videos.find((video) => video.id === id);
  const name = `Video ${video.name} of ${shown.name}`;
  screen.replaceChildren(video.type === "image/gif"
    ? el("img", { src: address, alt: name })
    : el("video", { src: address, controls: true, loop: true, playsinline: true, preload: "metadata", "aria-label": name }));
}

function evaluationParts(run) {
  const range = ({ low, high, seeds }) => (seeds > 1 ? `${number(low)} to ${number(high)}` : "");
  const lines = run.evaluations.map((row) => [steps(row.steps), number(row.mean), range(row), `${row.episodes ?? ""}`]).reverse();
  if (run.final_return !== null) {
    const returns = (run.result.returns ?? []).filter((x) => x !== null);
    const spread = returns.length > 1 ? `${number(Math.min(...returns))} to ${number(Math.max(...returns))}` : "";
    lines.unshift([`${steps(run.steps)}, final`, number(run.final_return), spread, `${run.result.eval_episodes ?? ""}`]);
  }
  if (!lines.length) return [];
  const heads = ["steps", "mean return", "seeds", "episodes"];
  return [el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((text) => el("th", { scope: "col", text })))),
    el("tbody", {}, ...lines.map((line) => el("tr", {}, ...line.map((text) => el("td", { text }))))))];
}
