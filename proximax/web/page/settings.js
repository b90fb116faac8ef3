// The settings of a run, and what differs from those of another.

import { el, refresh } from "./dom.js";
import { get } from "./api.js";

/** The card of settings; keeps which other run it is compared with. */
export class Settings {
  constructor() {
    this.all = el("input", { type: "checkbox", onchange: () => this.#draw() });
    this.other = el("select", { onchange: () => this.#compare() });
    this.table = el("tbody");
    this.head = el("tr");
    this.note = el("p", { class: "note" });
    this.node = el("section", { class: "card wide", "aria-label": "Settings" },
      el("header", { class: "row" }, el("h3", { text: "Settings" }),
        el("label", { class: "check" }, this.all, el("span", { text: "defaults too" })),
        el("label", { class: "field" }, el("span", { text: "compare with" }), this.other)),
      this.note,
      el("div", { class: "scroll" }, el("table", { class: "settings" }, el("thead", {}, this.head), this.table)));
  }

  /** Show a run; `runs`: those it may be compared with. */
  show(run, runs) {
    if (run.id !== this.run?.id) this.against = null;
    this.run = run;
    const others = runs.filter((other) => other.id !== run.id && other.env).map((other) => [other.id, other.name]);
    refresh(this.other, others, () => [["", "no other run"], ...others].map(([value, text]) => el("option", { value, text })));
    this.other.value = this.against?.id ?? "";
    this.#draw();
  }

  async #compare() {
    const id = this.other.value;
    this.against = id ? await get(`/api/runs/${id}`).catch(() => null) : null;
    this.#draw();
  }

  #draw() {
    const theirs = this.against && new Map(this.against.settings.map((setting) => [setting.name, setting.value]));
    const own = new Map(this.run.settings.map((setting) => [setting.name, setting]));
    let lines;
    if (theirs) {
      const names = [...new Set([...own.keys(), ...theirs.keys()])];
      lines = names.map((name) => [name, own.get(name)?.value ?? "–", theirs.get(name) ?? "–"]).filter(([, a, b]) => a !== b);
      this.note.textContent = lines.length ? "" : "All settings are the same.";
    } else {
      lines = [...own.values()].filter((setting) => this.all.checked || setting.changed).map(({ name, value }) => [name, value]);
      this.note.textContent = this.all.checked ? "" : "Those that are not the defaults of proximax.";
    }
    this.all.disabled = Boolean(theirs);
    const titles = theirs ? ["setting", this.run.name, this.against.name] : ["setting", "value"];
    refresh(this.head, titles, () => titles.map((text) => el("th", { scope: "col", text })));
    refresh(this.table, lines, () => lines.map(([name, ...values]) =>
      el("tr", {}, el("th", { scope: "row", text: name }), ...values.map((text) => el("td", { text })))));
  }
}
