// The indicator lines on the chart: made for what is switched on, filled and updated from the series.

import { HistogramSeries, LineSeries } from "../vendor/lightweight-charts-5.2.1.standalone.production.mjs";
import { THEME } from "./theme.js";

const seconds = (ms) => Math.floor(ms / 1000);

function options(line) {
  const common = { lastValueVisible: false, priceLineVisible: false, priceFormat: { type: "price", precision: 2, minMove: 0.01 } };
  if (line.kind === "histogram") return { ...common, color: line.color };
  return { ...common, color: line.color, lineWidth: line.width, lineStyle: line.style ?? 0, crosshairMarkerRadius: 3 };
}

function point(line, t, value) {
  const time = seconds(t);
  if (line.kind !== "histogram") return { time, value };
  return { time, value, color: value >= 0 ? THEME.upFaint : THEME.downFaint };
}

export class IndicatorLines {
  #chart;
  #made = [];
  /** The overlays that are shown, with the pane of each. */
  shown = [];

  constructor(chart) {
    this.#chart = chart;
  }

  /** Makes the lines anew: a pane goes with its last line, so their order is always that of `overlays`. */
  show(overlays, series) {
    for (const { api } of this.#made.reverse()) this.#chart.removeSeries(api);
    this.#made = [];
    this.shown = [];
    let panes = 1;
    for (const overlay of overlays) {
      const pane = overlay.pane === "price" ? 0 : panes++;
      this.shown.push({ overlay, pane });
      overlay.lines.forEach((line, i) => this.#add(line, pane, i === overlay.lines.length - 1 ? overlay.levels : undefined));
    }
    this.#chart.panes().forEach((pane, i) => pane.setStretchFactor(i === 0 ? 4 : 1));
    if (series) this.setAll(series);
  }

  setAll(series) {
    for (const entry of this.#made) {
      const points = [];
      for (const bar of series.bars) {
        const value = series.indicators.get(bar.t)?.[entry.line.key];
        if (Number.isFinite(value)) points.push(point(entry.line, bar.t, value));
      }
      entry.api.setData(points);
      entry.last = points.length ? points[points.length - 1].time : -Infinity;
    }
  }

  update(series) {
    const oldest = series.bars[0]?.t ?? Infinity;
    const times = [...series.dirtyValues].filter((t) => t >= oldest).sort((a, b) => a - b);
    for (const t of times) for (const entry of this.#made) this.#put(entry, t, series.indicators.get(t)?.[entry.line.key]);
  }

  #put(entry, t, value) {
    if (!Number.isFinite(value)) return;
    const data = point(entry.line, t, value);
    entry.api.update(data, data.time < entry.last);
    entry.last = Math.max(entry.last, data.time);
  }

  #add(line, pane, levels) {
    const api = this.#chart.addSeries(line.kind === "histogram" ? HistogramSeries : LineSeries, options(line), pane);
    for (const price of levels ?? []) {
      api.createPriceLine({ price, color: THEME.border, lineWidth: 1, lineStyle: 2, axisLabelVisible: false });
    }
    if (pane > 0) api.priceScale().applyOptions({ scaleMargins: { top: 0.22, bottom: 0.08 } });
    this.#made.push({ line, api, last: -Infinity });
  }
}
