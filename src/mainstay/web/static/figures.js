// Draws what stands as figures in the page itself: bars beside each other, and intervals over time against a limit.
"use strict";
(() => {
  const HEIGHT = 190;
  const { css, axis, AXES, TIMES, VALUES } = mainstayDrawing;
  const drawn = new Map();

  // Names under the bars: of categories one below each, of numbers the edges between them.
  function names(told, width) {
    if (told.ticks) {
      const every = Math.ceil(told.ticks.length * 44 / Math.max(width - 60, 60));
      const shown = told.ticks.map((_, i) => i).filter((i) => i % every === 0);
      return { splits: () => shown.map((i) => i + 0.5), values: () => shown.map((i) => told.ticks[i]), space: 0 };
    }
    const room = (width - 60) / told.names.length, long = Math.max(...told.names.map((name) => name.length));
    const slanted = long * 7 > room, most = slanted ? 14 : Math.max(3, Math.floor(room / 7));
    const short = (name) => (name.length > most ? `${name.slice(0, most - 1)}…` : name);
    return {
      splits: () => told.names.map((_, i) => i),
      values: () => told.names.map(short),
      space: 0,
      ...(slanted ? { rotate: -45, size: 12 + 5.2 * Math.min(long, most), gap: 2 } : {}),
    };
  }

  function bars(told, width, place) {
    const tones = [css("--quiet"), css("--accent")], count = told.names.length, most = Math.max(...told.series.flatMap((one) => one.values));
    return new uPlot({
      width,
      height: HEIGHT,
      scales: { x: { time: false, range: [-0.6, count - 0.4] }, y: { range: [0, 1.05 * most || 1] } },
      cursor: { drag: { x: false, y: false }, points: { show: false }, y: false },
      axes: [
        { ...axis(), grid: { show: false }, ticks: { show: false }, ...names(told, width) },
        { ...axis(), size: 52, values: (_, v) => AXES.share(v) },
      ],
      series: [
        { value: (_, v) => (v === null ? "" : told.names[v]) },
        ...told.series.map((one, i) => ({
          label: one.name,
          stroke: tones[i],
          fill: tones[i],
          width: 0,
          points: { show: false },
          paths: uPlot.paths.bars({ size: [0.4, 40], align: i ? 1 : -1 }),
          value: (_, v) => (v === null ? "–" : VALUES.share(v)),
        })),
      ],
    }, [told.names.map((_, i) => i), ...told.series.map((one) => one.values)], place);
  }

  function band(told, width, place) {
    const unit = told.unit === "milliseconds" ? " ms" : "", tone = css("--accent");
    const value = (v) => (v === null || v === undefined ? "–" : `${+v.toPrecision(4)}${unit}`);
    const line = { stroke: tone, width: 1, points: { show: told.x.length < 3, size: 5 }, value: (_, v) => value(v) };
    const series = [
      { value: (_, v) => (v ? new Date(1000 * v).toLocaleString() : "") },
      { ...line, label: "at most" },
      { ...line, label: "at least" },
      { ...line, label: "mean", width: 2 },
    ];
    const data = [told.x, told.high, told.low, told.mean];
    if (told.limit) {
      series.push({ ...line, label: "limit", stroke: css("--bad"), width: 2, dash: [6, 4] });
      data.push(told.limit);
    }
    series.push({ label: "units", stroke: "transparent", points: { show: false }, scale: "units", value: (_, v) => (v === null ? "–" : VALUES.count(v)) });
    data.push(told.units);
    return new uPlot({
      width,
      height: HEIGHT,
      // An interval that is wide as nothing is known yet is cut off by the given range: the limit must stay to be seen.
      scales: { y: { range: () => told.range } },
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      axes: [
        { ...axis(), space: 70, values: TIMES },
        { ...axis(), size: 64, values: (_, vs) => vs.map(value) },
      ],
      bands: [{ series: [1, 2], fill: `${tone}33` }],
      series,
    }, data, place);
  }

  const KINDS = { bars, band };

  function all(anew) {
    for (const [place, [plot]] of drawn) if (!place.isConnected) { plot.destroy(); drawn.delete(place); }
    for (const holder of document.querySelectorAll("[data-figure]")) {
      const place = holder.firstElementChild, text = holder.dataset.figure, known = drawn.get(place);
      if (known && known[1] === text && !anew) continue;
      known?.[0].destroy();
      const told = JSON.parse(text);
      drawn.set(place, [KINDS[told.kind](told, place.clientWidth || 300, place), text]);
      place.dataset.drawn = "1";
    }
  }

  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; all(true); } });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => all(true));
  document.addEventListener("mainstay:fresh", () => all(false));
  // A figure in a closed part has no width until it is opened.
  document.addEventListener("toggle", (event) => { if (event.target.querySelector?.("[data-figure]")) all(true); }, true);
  all(false);
})();
