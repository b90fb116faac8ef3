// Policies inside a page of their own, as a report or the documentation: their weights stand in it as JSON.

import { el } from "../dom.js";
import { Player } from "./player.js";
import { readWeights } from "./weights.js";

for (const root of document.querySelectorAll(".play-root")) open(root);

function open(root) {
  const policies = JSON.parse(root.querySelector("script").textContent), place = el("div", {}), about = el("p", { class: "play-about" });
  let player = null;
  const choose = (i) => {
    player?.close();
    const { env, weights, about: text } = policies[i];
    about.textContent = text;
    buttons.forEach((button, j) => button.setAttribute("aria-pressed", String(i === j)));
    player = new Player(place, env, readWeights(weights));
  };
  const buttons = policies.map(({ title }, i) => el("button", { type: "button", text: title, onclick: () => choose(i) }));
  const bar = el("div", { class: "play-choice", role: "group", "aria-label": "Policy" }, ...buttons);
  bar.hidden = policies.length < 2;
  root.append(bar, about, place);
  choose(0);
}
