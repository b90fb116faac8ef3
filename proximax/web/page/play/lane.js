// One canvas: an environment, who plays it, and what they reached.

import { el, setText } from "../dom.js";
import { number } from "../format.js";
import { Painter } from "./painter.js";

const PI = Math.PI;

export class Lane {
  /** `decide(state, count)`: the action at step `count`, or a promise of one; `name`: "Policy" or "You". */
  constructor(env, name, decide, ...more) {
    Object.assign(this, { env, name, decide, returns: [] });
    this.score = el("span", { class: "play-score" }); // no output: its every change would be read aloud
    this.length = el("span", { class: "play-length" });
    this.canvas = el("canvas", { role: "img", "aria-label": `${env.id}, ${name === "You" ? "played by you" : "played by the policy"}` });
    const probe = el("i", { hidden: true });
    const words = el("figcaption", {}, el("b", { text: name }), this.length, this.score);
    this.node = el("figure", { class: `play-lane ${name.toLowerCase()}` }, words, el("div", { class: "play-stage" }, this.canvas, probe, ...more));
    this.painter = new Painter(this.canvas, env.world, probe);
    this.begin(env.start(Math.random));
  }

  begin(start) {
    Object.assign(this, { state: start, before: start, total: 0, count: 0, action: null, over: false });
  }

  async step() {
    if (this.over) return;
    const action = await this.decide(this.state, this.count), { state, reward, done } = this.env.step(this.state, action);
    Object.assign(this, { before: this.state, state, action, total: this.total + reward, count: this.count + 1 });
    this.over = done || this.count >= this.env.limit;
    if (this.over) this.returns.push(this.total);
  }

  /** Between the last two states: `share` of the way. */
  draw(share) {
    this.painter.begin();
    const part = this.over ? 1 : share;
    const between = this.state.map((x, i) => {
      let way = x - this.before[i];
      if (this.env.angles?.includes(i)) way -= 2 * PI * Math.round(way / (2 * PI));
      return this.before[i] + part * way;
    });
    this.env.draw(this.painter, between, this.action);
    setText(this.score, this.count ? scoreText(this.total) : "–");
    setText(this.length, `step ${this.count} of ${this.env.limit}`);
  }

  get best() {
    return this.returns.length ? Math.max(...this.returns) : NaN;
  }

  get mean() {
    return this.returns.length ? this.returns.reduce((a, b) => a + b) / this.returns.length : NaN;
  }
}

/** A return with as many digits as help. */
export const scoreText = (x) => (Number.isInteger(x) ? String(x).replace("-", "−") : number(Math.round(10 * x) / 10).replace("-", "−"));
