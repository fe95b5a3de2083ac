// Draws every plot of the page from one document of figures, all on one axis of time: draw across one to look closer,
// click to see the requests behind.
"use strict";
(() => {
  const place = document.getElementById("plots");
  if (!place) return;
  const HEIGHT = 180, ROW = 18;
  const TONES = ["--line-1", "--line-2", "--line-3", "--line-4", "--line-5", "--line-6", "--line-7", "--line-8", "--line-9"];
  let drawn = new Map(), figures = null;

  const { css, axis, AXES, TIMES, VALUES } = mainstayDrawing;

  // Of an area the line's colour, half of it the ground's: many areas side by side must not shout.
  function muted(tone) {
    const [a, b] = [tone, css("--sheet")].map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
    return `rgb(${a.map((v, i) => Math.round(0.6 * v + 0.4 * b[i])).join(",")})`;
  }

  function stacked(lines) {
    const sums = [];
    let below = null;
    for (const line of lines) {
      below = line.values.map((v, i) => (v === null ? null : v + (below ? below[i] ?? 0 : 0)));
      sums.push(below);
    }
    return sums;
  }

  function marks(plot) {
    // Under the lines: incidents as bands with a head, releases as upright lines.
    const pen = plot.ctx, { left, top, width, height } = plot.bbox, ratio = devicePixelRatio;
    pen.save();
    pen.beginPath();
    pen.rect(left, top, width, height);
    pen.clip();
    for (const mark of figures.marks) {
      const x = plot.valToPos(mark.at, "x", true);
      const tone = css({ bad: "--bad", open: "--open", good: "--good" }[mark.tone] || "--quiet");
      pen.fillStyle = pen.strokeStyle = tone;
      if (mark.kind === "incident") {
        const end = plot.valToPos(mark.until ?? figures.to, "x", true);
        pen.globalAlpha = mark.tone === "quiet" ? 0.05 : 0.1;
        pen.fillRect(x, top, Math.max(end - x, 2 * ratio), height);
        pen.globalAlpha = 1;
        pen.fillRect(x, top, Math.max(end - x, 3 * ratio), 3 * ratio);
      } else {
        pen.globalAlpha = 0.8;
        pen.setLineDash([4 * ratio, 3 * ratio]);
        pen.lineWidth = ratio;
        pen.beginPath();
        pen.moveTo(x, top);
        pen.lineTo(x, top + height);
        pen.stroke();
        pen.setLineDash([]);
      }
    }
    pen.restore();
  }

  function heat(plot, told) {
    const pen = plot.ctx, { left, top, width, height } = plot.bbox, high = height / told.names.length;
    const up = css("--heat-up"), down = css("--heat-down");
    pen.save();
    pen.beginPath();
    pen.rect(left, top, width, height);
    pen.clip();
    told.rows.forEach((row, i) => row.forEach((value, j) => {
      if (value === null) return;
      const x = plot.valToPos(figures.x[j], "x", true), end = plot.valToPos(figures.x[j] + figures.step, "x", true);
      pen.globalAlpha = 0.06 + 0.94 * Math.min(1, Math.abs(value) / told.far);
      pen.fillStyle = value < 0 ? down : up;
      pen.fillRect(x, top + i * high + 1, Math.max(end - x, 1), high - 2);
    }));
    pen.restore();
  }

  function near(plot, event) {
    const at = plot.posToVal(event.offsetX, "x");
    const reach = 6 * (plot.scales.x.max - plot.scales.x.min) / Math.max(plot.over.clientWidth, 1);
    return figures.marks.find((mark) => Math.abs(mark.at - at) < reach);
  }

  // All plots have the same room at their left, so that one moment stands in one line.
  const room = (width) => (width < 500 ? 84 : 150);
  function options(id, width, extra) {
    return {
      width,
      height: HEIGHT,
      ...extra,
      cursor: { sync: { key: "time" }, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
      scales: { x: { range: () => [figures.from, figures.to] }, ...extra.scales },
      axes: [
        { ...axis(), space: 70, values: TIMES },
        { ...axis(), size: room(width), ...extra.yAxis },
      ],
      hooks: {
        drawClear: [marks],
        draw: extra.draw || [],
        setSelect: [(plot) => {
          if (plot.select.width < 4) return;
          const from = plot.posToVal(plot.select.left, "x"), to = plot.posToVal(plot.select.left + plot.select.width, "x");
          go(from, to);
        }],
        ready: [(plot) => {
          plot.over.addEventListener("click", (event) => {
            if (plot.select.width >= 4) return;
            const mark = near(plot, event);
            if (mark) { location.href = mark.href; return; }
            requests(plot.posToIdx(event.offsetX));
          });
          plot.over.addEventListener("mousemove", (event) => { plot.over.title = near(plot, event)?.text || ""; });
        }],
      },
    };
  }

  // By keyboard: arrows move the cursor (with Shift they choose a stretch), Enter looks closer at what was chosen or
  // leads to the requests there, Escape lets go. What stands under the cursor is told to screen readers.
  function keys(place, plot) {
    let anchor = null;
    const at = () => plot.cursor.idx ?? figures.x.length - 1;

    function show(i) {
      plot.setCursor({ left: plot.valToPos(figures.x[i] + figures.step / 2, "x"), top: plot.over.clientHeight / 2 });
      if (anchor !== null) {
        const [a, b] = [Math.min(anchor, i), Math.max(anchor, i)];
        const left = plot.valToPos(figures.x[a], "x"), right = plot.valToPos(figures.x[b] + figures.step, "x");
        plot.setSelect({ left, width: right - left, top: 0, height: plot.over.clientHeight }, false);
      }
      const told = [new Date(1000 * figures.x[i]).toLocaleString()];
      plot.series.forEach((one, j) => {
        if (j && one.label && plot.legend.values?.[j]) told.push(`${one.label}: ${plot.legend.values[j]._}`);
      });
      document.getElementById("told").textContent = told.join(", ");
    }

    function letGo() {
      anchor = null;
      plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    }

    place.onkeydown = (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const last = figures.x.length - 1, i = at(), jump = Math.max(1, Math.round(last / 20));
      const to = { ArrowLeft: i - 1, ArrowRight: i + 1, PageUp: i - jump, PageDown: i + jump, Home: 0, End: last }[event.key];
      if (to !== undefined) {
        if (event.shiftKey && anchor === null) anchor = i;
        else if (!event.shiftKey) letGo();
        show(Math.max(0, Math.min(last, to)));
      } else if (event.key === "Enter") {
        if (anchor !== null && anchor !== i) {
          const [a, b] = [Math.min(anchor, i), Math.max(anchor, i)];
          go(figures.x[a], figures.x[b] + figures.step);
        } else requests(i);
      } else if (event.key === "Escape") letGo();
      else return;
      event.preventDefault();
    };
    place.onfocus = () => { if (plot.cursor.idx === null || plot.cursor.idx === undefined) show(figures.x.length - 1); };
  }

  function requests(i) {
    location.href = `${place.dataset.requests}?from=${iso(figures.x[i])}&to=${iso(figures.x[i] + figures.step)}`;
  }

  const iso = (seconds) => new Date(1000 * seconds).toISOString().slice(0, 16);

  function go(from, to) {
    const query = new URLSearchParams({ from: iso(from), to: iso(Math.max(to, from + 120)) });
    location.href = `${location.pathname}?${query}`;
  }

  function ofPlot(told, width) {
    const value = VALUES[told.unit] || ((v) => +v.toPrecision(3)), last = told.lines.length - 1;
    const data = [figures.x], series = [{ value: (_, v) => (v ? new Date(1000 * v).toLocaleString() : "") }], bands = [];
    const stack = told.kind === "stack" || told.kind === "bars", edges = [];
    const between = (line, j) => (line.low && line.low[j] !== null ? ` (${value(line.low[j])} to ${value(line.high[j])})` : "");
    const heights = stack ? stacked(told.lines) : told.lines.map((line) => line.values);
    // Of a stack the highest first, so that each lower one lies before it.
    const order = told.lines.map((_, i) => (stack ? last - i : i));
    for (const i of order) {
      const line = told.lines[i], tone = css(TONES[i % TONES.length]);
      data.push(heights[i]);
      series.push({
        label: line.name,
        stroke: stack ? muted(tone) : tone,
        width: stack ? 1 : 1.5,
        fill: stack ? muted(tone) : undefined,
        dash: stack || i < 5 ? undefined : [6, 3],
        spanGaps: true,
        points: { show: !stack && (figures.x.length < 80 || line.values.filter((v) => v !== null).length < figures.x.length / 3), size: 4 },
        paths: told.kind === "bars" ? uPlot.paths.bars({ size: [0.9, 60] }) : told.kind === "stack" ? uPlot.paths.stepped({ align: 1 }) : undefined,
        value: (_, __, ___, j) => (j === null || line.values[j] === null ? "–" : value(line.values[j]) + between(line, j)),
      });
      if (line.low) {
        const at = series.length;
        data.push(line.high, line.low);
        const edge = { stroke: tone, width: 0, points: { show: false }, spanGaps: true };
        series.push({ ...edge, label: "" }, { ...edge, label: "" });
        edges.push(at, at + 1);
        bands.push({ series: [at, at + 1], fill: tone + "33" });
      }
    }
    // A share stays between 0 and 1, and what hardly moves is not blown up to look like much.
    const within = (_, least, most) => {
      if (least === null || most === null) return [0, 1];
      const pad = Math.max(0.02, 0.1 * (most - least));
      return [Math.max(0, least - pad), Math.min(1, most + pad)];
    };
    const y = told.unit === "share" && told.kind === "stack" ? { range: [0, 1] }
      : told.unit === "share" ? { range: within }
      : stack ? { range: (_, __, most) => [0, most || 1] } : {};
    const plot = new uPlot({ ...options(told.id, width, { scales: { y }, yAxis: { values: AXES[told.unit] ? (_, v) => AXES[told.unit](v) : undefined } }), series, bands }, data, document.getElementById(`plot-${told.id}`));
    // The edges of an interval stand with their line, not as lines of their own.
    for (const at of edges) plot.root.querySelectorAll(".u-legend .u-series")[at].classList.add("edge");
    return plot;
  }

  function ofHeat(told, width) {
    const count = told.names.length, long = width < 500 ? 10 : 20, extra = {
      height: count * ROW + 50,
      scales: { y: { range: [0, count] } },
      yAxis: {
        splits: () => told.names.map((_, i) => count - i - 0.5),
        values: () => told.names.map((name) => (name.length > long ? `${name.slice(0, long - 1)}…` : name)),
        grid: { show: false },
        ticks: { show: false },
      },
      draw: [(plot) => heat(plot, told)],
    };
    const series = [{ value: (_, v) => (v ? new Date(1000 * v).toLocaleString() : "") }, ...told.names.map((name, i) => ({
      label: name,
      show: true,
      stroke: "transparent",
      width: 0,
      points: { show: false },
      value: (_, __, ___, j) => (j === null || told.rows[i][j] === null ? "–" : told.rows[i][j].toFixed(2)),
    }))];
    const legend = { show: false };
    const plot = new uPlot({ ...options("heat", width, extra), series, legend }, [figures.x, ...told.rows.map(() => figures.x.map(() => null))], document.getElementById("plot-heat"));
    plot.over.addEventListener("mousemove", (event) => {
      const i = Math.floor(count * event.offsetY / Math.max(plot.over.clientHeight, 1)), j = plot.posToIdx(event.offsetX), value = told.rows[i]?.[j];
      plot.over.title = value === null || value === undefined ? told.names[i] || "" : `${told.names[i]}: ${value.toFixed(2)} σ`;
    });
    return plot;
  }

  function draw() {
    for (const plot of drawn.values()) plot.destroy();
    drawn = new Map();
    for (const told of figures.plots) {
      const here = document.getElementById(`plot-${told.id}`);
      if (here) drawn.set(told.id, ofPlot(told, here.clientWidth));
    }
    const here = document.getElementById("plot-heat");
    if (here && figures.heat.names.length) drawn.set("heat", ofHeat(figures.heat, here.clientWidth));
    for (const [id, plot] of drawn) keys(document.getElementById(`plot-${id}`), plot);
    place.dataset.drawn = String(drawn.size);
  }

  async function look() {
    try {
      const answer = await fetch(document.getElementById("plots").dataset.document, { cache: "no-store" });
      if (!answer.ok) return;
      figures = await answer.json();
      draw();
    } catch {
      // The page itself tells that the server is away.
    }
  }

  new ResizeObserver(() => { if (figures) for (const [id, plot] of drawn) plot.setSize({ width: document.getElementById(`plot-${id}`)?.clientWidth || 300, height: plot.height }); }).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (figures) draw(); });
  document.addEventListener("mainstay:fresh", look);
  look();
})();
