// Colours that the chart draws on its canvas; the rest of the page has them in css/base.css.

export const THEME = {
  background: "#0c1016",
  grid: "#161c26",
  border: "#222b38",
  text: "#93a1b5",
  crosshair: "#5b6b82",
  label: "#2a3545",
  up: "#2fbf8f",
  down: "#ef5f6b",
  upFaint: "rgba(47, 191, 143, 0.34)",
  downFaint: "rgba(239, 95, 107, 0.34)",
  watermark: { replay: "rgba(242, 179, 61, 0.10)", synthetic: "rgba(183, 148, 246, 0.10)" },
  font: '-apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif',
};
