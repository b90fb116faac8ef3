// One metric of several runs as lines with bands, drawn by uPlot.

import { el, refresh, setText } from "./dom.js";
import { duration, number, short, steps } from "./format.js";
import { colourOf, faded, themeColour } from "./palette.js";

const MANY = 20; // runs, from which on lines are thin and bands left out
const TOLD = 8; // runs that the box beside the cursor names
const sync = uPlot.sync("charts");

export class Chart {
  /** `spec`: {metric, title, about, lines}; `zoom(range)`: the part of the axis that was chosen, null for all. */
  constructor(spec, height, zoom) {
    this.spec = spec;
    this.height = height;
    this.zoom = zoom;
    this.value = el("span", { class: "value" });
    this.plot = el("div", { class: "plot" });
    this.tip = el("div", { class: "tip", hidden: true });
    this.plot.append(this.tip);
    this.legend = el("ul", { class: "legend" });
    const words = el("div", {}, el("h3", { text: spec.title, title: spec.about }), spec.note ? el("small", { text: spec.note }) : null);
    const head = el("figcaption", {}, words, this.value);
    this.node = el("figure", { class: "card chart", role: "group", "aria-label": spec.title }, head, this.legend, this.plot);
    this.node.hidden = true;
    this.layout = "";
  }

  /** Show `curves` (id -> curve of this metric) on the grid of columns of width `step`. */
  draw(runs, curves, step, view) {
    const shown = runs.filter((run) => curves.get(run.id));
    this.node.hidden = shown.length === 0;
    if (this.node.hidden) return;
    this.runs = shown;
    this.view = view;
    const { data, series, bands } = this.#tables(shown, curves, step);
    this.usual = this.spec.whole ? null : usualRange(shown.map((run) => curves.get(run.id).mean));
    const layout = JSON.stringify([shown.map((run) => [run.id, colourOf(run.id)]), series.length, view.seeds, view.axis, view.theme]);
    this.limits = (this.spec.limits?.(shown) ?? []).filter((x) => Number.isFinite(x));
    const width = Math.max(120, Math.floor(this.plot.clientWidth));
    if (layout !== this.layout) {
      this.layout = layout;
      this.uplot?.destroy();
      this.uplot = new uPlot(this.#options(width, series, bands), data, this.plot);
    } else {
      this.uplot.setData(data);
      this.resize();
    }
    if (this.spec.legend) this.#name(shown);
    const last = (run) => curves.get(run.id).mean.at(-1);
    setText(this.value, shown.length === 1 ? number(last(shown[0])) : "");
    this.plot.setAttribute("role", "img");
    const spoken = shown.slice(0, TOLD).map((run) => `${run.name} ${number(last(run))}`).join(", ");
    this.plot.setAttribute("aria-label", `${this.spec.title}, latest: ${spoken}`);
  }

  resize() {
    const width = Math.floor(this.plot.clientWidth);
    if (this.uplot && width > 0 && width !== this.uplot.width) this.uplot.setSize({ width, height: this.height });
  }

  /** The runs by colour, for where the list of runs is not beside the charts. */
  #name(runs) {
    const named = runs.slice(0, TOLD).map((run) => [run.name, colourOf(run.id)]);
    const rest = runs.length > TOLD ? [[`and ${runs.length - TOLD} more`, null]] : [];
    refresh(this.legend, [...named, ...rest], (entries) => entries.map(([name, colour]) => el("li", {}, colour && swatch(colour), name)));
  }

  /** uPlot's columns: x, and for each run either mean, high, low, or a line for each seed. */
  #tables(runs, curves, step) {
    let first = Infinity, last = -Infinity;
    for (const run of runs) {
      const { index } = curves.get(run.id);
      first = Math.min(first, index[0]);
      last = Math.max(last, index.at(-1));
    }
    const size = last - first + 1;
    const data = [Array.from({ length: size }, (_, i) => (first + i + 0.5) * step)];
    const series = [{}], bands = [], many = runs.length > MANY;
    const column = (index, values) => {
      const filled = new Array(size).fill(null);
      index.forEach((place, i) => { filled[place - first] = values[i]; });
      return filled;
    };
    const line = (run, index, values, width, share) => {
      data.push(column(index, values));
      const stroke = share === 1 ? colourOf(run.id) : faded(colourOf(run.id), share);
      series.push({ run, stroke, width, spanGaps: true, points: { show: index.length < 3, size: 6, fill: stroke } });
    };
    for (const run of runs) {
      const curve = curves.get(run.id);
      if (curve.seeds) {
        for (const seed of curve.seeds) if (seed.index.length) line({ ...run, seed: true }, seed.index, seed.mean, 1, 0.55);
      } else if (!many) {
        for (const edge of [curve.high, curve.low]) {
          data.push(column(curve.index, edge));
          series.push({ edge: true, spanGaps: true, width: 0, points: { show: false } });
        }
        bands.push({ series: [data.length - 2, data.length - 1], fill: faded(colourOf(run.id), 0.18) });
      }
      line(run, curve.index, curve.mean, many ? 1.2 : 2, many ? 0.8 : 1);
    }
    return { data, series, bands };
  }

  #options(width, series, bands) {
    const ink = themeColour("--muted"), rule = themeColour("--rule"), font = "12px system-ui, sans-serif";
    const axis = { stroke: ink, font, grid: { stroke: rule, width: 1 }, ticks: { stroke: rule, width: 1, size: 4 } };
    const time = this.view.axis === "time";
    return {
      width,
      height: this.height,
      series,
      bands,
      legend: { show: false },
      padding: [10, 12, 0, 0],
      scales: { x: { time: false }, y: { range: (plot, low, high) => this.#range(low, high) } },
      axes: [
        { ...axis, size: 26, space: 56, values: (plot, marks) => marks.map((x) => (time ? duration(x) : short(x))) },
        { ...axis, size: 54, space: 34, values: (plot, marks) => marks.map(short) },
      ],
      cursor: { sync: { key: sync.key, scales: ["x", null] }, points: { show: false }, y: false, drag: { x: true, y: false, setScale: false } },
      hooks: {
        draw: [(plot) => this.#drawLimits(plot)],
        setCursor: [(plot) => this.#tell(plot)],
        setSelect: [(plot) => this.#select(plot)],
        ready: [(plot) => plot.over.addEventListener("dblclick", () => this.zoom(null))],
      },
    };
  }

  /** The range of the vertical axis, with the limits in it where they are near. */
  #range(low, high) {
    if (low === null || high === null) return [0, 1];
    if (this.usual) [low, high] = [Math.max(low, this.usual[0]), Math.min(high, this.usual[1])];
    for (const limit of this.limits ?? []) {
      if (limit > high && limit - high < 2 * Math.max(high - low, Math.abs(high))) high = limit;
      if (limit < low && low - limit < high - low) low = limit;
    }
    const room = (high - low || Math.abs(high) || 1) * 0.06;
    return [low >= 0 && low - room < 0 ? 0 : low - room, high + room];
  }

  #drawLimits(plot) {
    const { ctx, bbox } = plot, ink = this.limits.length ? themeColour("--ink") : "";
    for (const limit of this.limits) {
      const y = plot.valToPos(limit, "y", true);
      if (y < bbox.top || y > bbox.top + bbox.height) continue;
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = ink;
      ctx.globalAlpha = 0.7;
      ctx.lineWidth = devicePixelRatio;
      ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      if (this.spec.limitName) {
        ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
        ctx.textAlign = "right";
        ctx.fillText(`${this.spec.limitName} ${short(limit)}`, bbox.left + bbox.width - 4 * devicePixelRatio, y - 4 * devicePixelRatio);
      }
      ctx.restore();
    }
  }

  #select(plot) {
    if (plot.select.width < 6) return;
    const [begin, end] = [plot.select.left, plot.select.left + plot.select.width].map((x) => plot.posToVal(x, "x"));
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.zoom([Math.max(0, begin), end]);
  }

  /** The box beside the cursor: the runs nearest to it, in the order of their lines. */
  #tell(plot) {
    const { left, top, idx } = plot.cursor;
    const over = idx !== null && idx !== undefined && left >= 0 && plot.over.matches(":hover");
    this.tip.hidden = !over;
    if (!over) return;
    const told = [];
    plot.series.forEach((series, i) => {
      if (i === 0 || series.edge || !series.run || series.run.seed) return;
      const value = nearest(plot.data[i], idx);
      if (value !== null) told.push({ run: series.run, value, far: Math.abs(plot.valToPos(value, "y") - top) });
    });
    const x = plot.data[0][idx];
    const near = told.sort((a, b) => a.far - b.far).slice(0, TOLD).sort((a, b) => b.value - a.value);
    const rows = near.map(({ run, value }) => {
      return el("li", {}, swatch(colourOf(run.id)), el("span", { class: "name", text: run.name }), el("b", { text: number(value) }));
    });
    if (told.length > TOLD) rows.push(el("li", { class: "rest", text: `and ${told.length - TOLD} more` }));
    const where = el("p", { text: this.view.axis === "time" ? duration(x) : `${steps(Math.round(x))} steps` });
    this.tip.replaceChildren(where, el("ul", {}, ...rows));
    const right = left > plot.over.clientWidth / 2;
    const shift = plot.bbox.left / devicePixelRatio;
    this.tip.style.left = right ? "auto" : `${left + shift + 14}px`;
    this.tip.style.right = right ? `${plot.over.clientWidth - left + 26}px` : "auto";
  }
}

/** A small square of a colour. */
function swatch(colour) {
  const node = el("i", { class: "swatch" });
  node.style.background = colour;
  return node;
}

/** Where nearly all values are, with as much room again on both sides: a few outliers do not flatten the rest. */
function usualRange(columns) {
  const sorted = Float64Array.from(columns.flat().filter((x) => x !== null)).sort();
  if (sorted.length < 40) return null;
  const [low, high] = [0.02, 0.98].map((share) => sorted[Math.floor(share * (sorted.length - 1))]);
  return high > low ? [low - (high - low), high + (high - low)] : null;
}

/** The value at a place or the nearest one that is known, as runs with few updates leave columns empty. */
function nearest(values, place) {
  const reach = Math.max(4, Math.ceil(values.length / 12));
  for (let i = 0; i <= reach; i++) {
    if (values[place - i] !== null && values[place - i] !== undefined) return values[place - i];
    if (values[place + i] !== null && values[place + i] !== undefined) return values[place + i];
  }
  return null;
}
