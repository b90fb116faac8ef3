// A policy plays an environment, and whoever looks plays the same episode beside it.

import { el, refresh, setText } from "../dom.js";
import { ENVIRONMENTS } from "./environments.js";
import { Lane, scoreText } from "./lane.js";

const REST_MS = 1400; // between two episodes of the policy alone
const LEFT_MS = 20000; // without a key after an episode: nobody plays any more
const SPEEDS = [0.25, 0.5, 1, 2, 4];
const KEYS = { ArrowLeft: -1, ArrowRight: 1, a: -1, d: 1 };

export class Player {
  /** `policy`: {act(obs), reset()}, whose answers may be promises; both give and take lists of numbers. */
  constructor(place, id, policy) {
    this.env = ENVIRONMENTS[id];
    this.held = [];
    this.speed = 1;
    this.playing = false; // whether somebody has the keyboard
    this.due = this.rested = 0;
    this.paused = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const decide = async (state, count) => {
      if (count === 0) policy.reset();
      return (await policy.act(this.env.observe(state)))[0];
    };
    this.take = el("button", { type: "button", class: "play-take", onclick: () => this.takeKeyboard() });
    this.told = el("p", { class: "play-told" });
    this.cover = el("div", { class: "play-cover" }, this.told, this.take);
    this.policy = new Lane(this.env, "Policy", decide);
    this.you = new Lane(this.env, "You", (state, count) => this.env.control(this.held.at(-1) ?? 0, count), this.cover);
    this.you.node.append(el("div", { class: "play-pads" }, this.#pad(-1, "◀", "left"), this.#pad(1, "▶", "right")));
    this.node = el("section", { class: "play", "aria-label": `${id}: play` },
      el("p", { class: "play-goal", text: this.env.goal }),
      el("div", { class: "play-lanes" }, this.policy.node, this.you.node), this.#controls(), this.#table(),
      this.news = el("p", { class: "play-news", "aria-live": "polite" }));
    place.replaceChildren(this.node);
    this.#listen();
    this.newRound();
    this.frame = requestAnimationFrame((now) => this.#tick(now, now));
  }

  #controls() {
    this.pause = el("button", { type: "button", onclick: () => { this.paused = !this.paused; this.#show(); } });
    const choose = el("select", { "aria-label": "Speed", onchange: (event) => { this.speed = Number(event.target.value); event.target.blur(); } },
      ...SPEEDS.map((x) => el("option", { value: x, text: `${x}×`, selected: x === 1 })));
    return el("div", { class: "play-controls", role: "group", "aria-label": "Controls" }, this.pause,
      el("button", { type: "button", text: "New episode", onclick: () => this.newRound() }),
      el("label", {}, el("span", { text: "Speed" }), choose),
      el("span", { class: "play-keys", text: `${this.env.keys} · space: again · P: pause · Esc: let go` }));
  }

  #table() {
    this.rows = el("tbody");
    const heads = ["", "last", "mean", "best", "episodes"].map((text) => el("th", { scope: "col", text }));
    return el("table", { class: "play-table" }, el("caption", { text: "Returns" }), el("thead", {}, el("tr", {}, ...heads)), this.rows);
  }

  /** A button that is held down, for those without arrow keys. */
  #pad(way, text, word) {
    const down = (event) => { event.preventDefault(); if (!this.playing || this.you.over) this.takeKeyboard(); this.#hold(way); };
    const up = () => this.#release(way);
    return el("button", { type: "button", text, "aria-label": `Hold to go ${word}`, onpointerdown: down, onpointerup: up,
      onpointerleave: up, onpointercancel: up, oncontextmenu: (event) => event.preventDefault() });
  }

  #hold(way) {
    if (!this.held.includes(way)) this.held.push(way);
  }

  #release(way) {
    this.held = this.held.filter((x) => x !== way);
  }

  #listen() {
    this.ended = new AbortController();
    const listen = (name, act) => document.addEventListener(name, act, { signal: this.ended.signal });
    listen("keydown", (event) => this.#press(event));
    listen("keyup", (event) => this.#release(KEYS[event.key] ?? KEYS[event.key.toLowerCase()] ?? 0));
    addEventListener("blur", () => { this.held = []; }, { signal: this.ended.signal });
  }

  #press(event) {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName ?? "");
    if (!this.playing || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key, way = KEYS[key], again = event.key === " " && event.target.tagName !== "BUTTON";
    if (way) this.#hold(way);
    else if (again) this.newRound();
    else if (event.key === "Escape") this.letGo();
    else if (key === "p") { this.paused = !this.paused; this.#show(); }
    else return;
    event.preventDefault();
  }

  takeKeyboard() {
    this.playing = true;
    this.paused = false;
    this.take.blur();
    this.newRound();
  }

  letGo() {
    this.playing = false;
    this.held = [];
    this.#show();
  }

  /** Both from the same start. */
  newRound() {
    const start = this.env.start(Math.random);
    this.policy.begin(start);
    this.you.begin(start);
    this.due = this.rested = 0;
    this.#show();
  }

  async #tick(before, now) {
    if (this.ended.signal.aborted) return;
    const passed = Math.min(100, now - before);
    if (!this.paused) await this.#advance(passed);
    this.policy.draw(Math.min(1, this.due));
    this.you.draw(this.playing ? Math.min(1, this.due) : 1);
    this.frame = requestAnimationFrame((next) => this.#tick(now, next));
  }

  async #advance(passed) {
    this.due += (passed * this.speed * this.env.rate) / 1000;
    const lanes = this.playing ? [this.policy, this.you] : [this.policy];
    for (; this.due >= 1; this.due--) {
      for (const lane of lanes) {
        const ended = !lane.over && (await lane.step(), lane.over);
        if (ended) this.#tell(lane);
      }
    }
    if (!lanes.every((lane) => lane.over)) return;
    this.rested += passed;
    if (this.playing && this.rested > LEFT_MS) this.letGo();
    if (!this.playing && this.rested > REST_MS) this.newRound();
  }

  #tell(lane) {
    if (this.playing) setText(this.news, `${lane.name}: ${scoreText(lane.total)}`);
    this.#show();
  }

  #show() {
    setText(this.pause, this.paused ? "Go on" : "Pause");
    this.node.classList.toggle("waiting", !this.playing);
    this.cover.hidden = this.playing && !this.you.over;
    setText(this.take, this.playing ? "Again (space)" : "Take the keyboard");
    setText(this.told, this.playing ? this.#verdict() : this.env.keys);
    const rows = [this.policy, this.you].map((lane) => [lane.name, lane.returns.at(-1), lane.mean, lane.best, lane.returns.length]);
    refresh(this.rows, rows, () => rows.map(([name, ...values]) => el("tr", {}, el("th", { scope: "row", text: name }),
      ...values.map((x) => el("td", { text: x === undefined || Number.isNaN(x) ? "–" : scoreText(x) })))));
  }

  #verdict() {
    const mine = scoreText(this.you.total);
    return this.policy.over ? `You ${mine}, the policy ${scoreText(this.policy.total)}` : `You: ${mine}`;
  }

  close() {
    this.ended.abort();
    cancelAnimationFrame(this.frame);
    this.node.remove();
  }
}
