// The probability ratios after an update against the clip band: of the latest update as bars, of all as a map.

import { el } from "./dom.js";
import { percent } from "./format.js";
import { themeColour } from "./palette.js";

const WIDTH = 440, HEIGHT = 170, LEFT = 8, BOTTOM = 24;

/** What the card shows: bars, a map, and in words how much is outside the band. */
export function ratioParts(ratios, epsilon) {
  const total = ratios.latest.reduce((sum, x) => sum + x, 0);
  const outside = epsilon ? outsideShare(ratios, total, epsilon) : null;
  const words = epsilon && total
    ? `Clip band 1 ± ${epsilon}; outside it after the latest update: about ${percent(outside)}.`
    : "This algorithm does not clip.";
  const map = el("canvas", { class: "map", role: "img", "aria-label": "Ratios over the run" });
  const under = "The same over the run, from its first update to the latest: the stronger the colour, the more.";
  return [bars(ratios, epsilon, total), el("p", { class: "note", text: words }), map, el("p", { class: "note", text: under })];
}

/** Edges of all bars, those at the ends half open. */
function places(ratios) {
  const { edges } = ratios, width = edges[1] - edges[0];
  return { low: edges[0] - width, width, high: edges.at(-1) + width };
}

/** The share of ratios outside the band; of a bar that an edge of the band cuts, the part beyond it. */
function outsideShare(ratios, total, epsilon) {
  const { low, width } = places(ratios);
  let outside = 0;
  ratios.latest.forEach((count, i) => {
    const begin = low + i * width, end = begin + width;
    const inside = Math.max(0, Math.min(end, 1 + epsilon) - Math.max(begin, 1 - epsilon));
    outside += count * (1 - inside / width);
  });
  return total ? outside / total : 0;
}

function bars(ratios, epsilon, total) {
  const { low, width, high } = places(ratios);
  const x = (ratio) => LEFT + ((WIDTH - 2 * LEFT) * (ratio - low)) / (high - low);
  const top = Math.max(...ratios.latest, 1);
  const svg = el("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "ratios", role: "img", "aria-label": "Histogram of the ratios" });
  if (epsilon) {
    const begin = x(Math.max(low, 1 - epsilon)), end = x(Math.min(high, 1 + epsilon));
    svg.append(el("rect", { class: "band", x: begin, y: 4, width: end - begin, height: HEIGHT - BOTTOM - 4 }));
  }
  ratios.latest.forEach((count, i) => {
    const tall = ((HEIGHT - BOTTOM - 12) * count) / top;
    const begin = x(low + i * width);
    const place = { x: begin + 1, y: HEIGHT - BOTTOM - tall, width: x(low + (i + 1) * width) - begin - 2, height: tall, rx: 2 };
    const middle = low + (i + 0.5) * width;
    const out = epsilon && Math.abs(middle - 1) > epsilon;
    const range = i === 0 ? `below ${ratios.edges[0]}` : i === ratios.latest.length - 1 ? `above ${ratios.edges.at(-1)}` : middle.toFixed(3);
    svg.append(el("rect", { class: out ? "bar-out" : "bar-in", ...place }, el("title", { text: `${range}: ${percent(total ? count / total : 0)}` })));
  });
  svg.append(el("line", { class: "axis-line", x1: LEFT, x2: WIDTH - LEFT, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM }));
  for (const mark of [0.5, 0.75, 1, 1.25, 1.5]) {
    svg.append(el("text", { x: x(mark), y: HEIGHT - 7, "text-anchor": "middle", text: `${mark}` }));
  }
  return svg;
}

/** Paint the map: updates from left to right, ratios from bottom to top. */
export function paintMap(canvas, ratios, epsilon) {
  const bounds = canvas.getBoundingClientRect();
  if (!bounds.width) return;
  canvas.width = Math.round(bounds.width * devicePixelRatio);
  canvas.height = Math.round(bounds.height * devicePixelRatio);
  const context = canvas.getContext("2d");
  const columns = ratios.shares.length, rows = ratios.latest.length;
  context.fillStyle = themeColour("--accent");
  const wide = canvas.width / columns, tall = canvas.height / rows;
  ratios.shares.forEach((shares, i) => shares.forEach((share, j) => {
    context.globalAlpha = Math.min(1, Math.sqrt(share) * 1.15);
    context.fillRect(i * wide, canvas.height - (j + 1) * tall, Math.ceil(wide), Math.ceil(tall));
  }));
  context.globalAlpha = 1;
  if (!epsilon) return;
  const { low, high } = places(ratios);
  context.strokeStyle = themeColour("--ink");
  context.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
  context.lineWidth = devicePixelRatio;
  for (const edge of [1 - epsilon, 1 + epsilon]) {
    const y = canvas.height * (1 - (edge - low) / (high - low));
    context.beginPath();
    context.moveTo(0, y);
    context.lineTo(canvas.width, y);
    context.stroke();
  }
}
