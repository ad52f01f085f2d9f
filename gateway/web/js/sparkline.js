// A tiny line of closes, as SVG.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 64;
const HEIGHT = 24;

export function sparkline() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("class", "spark");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.append(document.createElementNS(SVG, "polyline"));
  return svg;
}

/** The `points` of a polyline through `values`, oldest first; flat values lie in the middle. */
export function points(values) {
  if (values.length < 2) return "";
  const low = Math.min(...values);
  const span = Math.max(...values) - low;
  const x = WIDTH / (values.length - 1);
  const y = (value) => (span ? HEIGHT - 2 - ((value - low) / span) * (HEIGHT - 4) : HEIGHT / 2);
  return values.map((value, i) => `${(i * x).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
}
