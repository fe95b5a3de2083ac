// What all plots share: the page's colours, axes, and how values and times are written.
"use strict";
const mainstayDrawing = (() => {
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const percent = (v, digits = 0) => `${(100 * v).toFixed(digits)} %`;
  const AXES = {
    share: (values) => { const step = values.length > 1 ? values[1] - values[0] : 1; return values.map((v) => percent(v, step < 0.01 ? 1 : 0)); },
    seconds: (values) => values.map((v) => (v < 1 ? `${+(v * 1000).toPrecision(3)} ms` : `${+v.toPrecision(3)} s`)),
    count: (values) => values.map((v) => v.toLocaleString()),
  };
  const VALUES = {
    share: (v) => percent(v, 1),
    seconds: (v) => AXES.seconds([v])[0],
    count: (v) => Math.round(v).toLocaleString(),
  };
  const DAY = "{D} {MMM}";
  const TIMES = [
    [31536000, "{YYYY}", null, null, null, null, null, null, 1],
    [2419200, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [86400, DAY, "\n{YYYY}", null, null, null, null, null, 1],
    [3600, "{HH}:{mm}", `\n${DAY}`, null, `\n${DAY}`, null, null, null, 1],
    [60, "{HH}:{mm}", `\n${DAY}`, null, `\n${DAY}`, null, null, null, 1],
    [1, "{HH}:{mm}:{ss}", `\n${DAY}`, null, `\n${DAY}`, null, null, null, 1],
  ];

  function axis() {
    const grid = { stroke: css("--line"), width: 1 };
    return { stroke: css("--quiet"), grid, ticks: grid, font: "12px system-ui, sans-serif" };
  }

  return { css, axis, AXES, TIMES, VALUES };
})();
