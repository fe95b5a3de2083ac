// Plots as files: a canvas as PNG on the page's ground, an SVG with the colours that it has here.
"use strict";
(() => {
  const KEPT = ["fill", "stroke", "stroke-width", "opacity", "font-size", "font-family"];

  function save(blob, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  function named(id, ending) {
    return `${document.title.replace(/[^\w@-]+/g, "-").slice(0, 60)}-${id.replace(/^plot-/, "")}.${ending}`;
  }

  // The title above, the names of the series below: a picture that is sent must be read without its page.
  function asPng(canvas, id, place) {
    const ratio = devicePixelRatio, css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
    const head = 28 * ratio, foot = 26 * ratio, out = document.createElement("canvas");
    out.width = canvas.width;
    out.height = canvas.height + head + foot;
    const pen = out.getContext("2d");
    pen.fillStyle = css("--sheet");
    pen.fillRect(0, 0, out.width, out.height);
    pen.drawImage(canvas, 0, head);
    pen.textBaseline = "middle";
    pen.fillStyle = css("--ink");
    pen.font = `600 ${14 * ratio}px system-ui, sans-serif`;
    const title = place.closest("section, .figure-plot")?.querySelector("h2, h3")?.textContent || "";
    pen.fillText(title, 8 * ratio, head / 2, out.width - 16 * ratio);
    pen.font = `${12 * ratio}px system-ui, sans-serif`;
    let x = 8 * ratio;
    for (const one of [...place.querySelectorAll(".u-legend .u-series")].slice(1)) {
      const mark = one.querySelector(".u-marker"), name = one.querySelector(".u-label")?.textContent || "";
      const style = mark && getComputedStyle(mark), solid = style?.backgroundColor !== "rgba(0, 0, 0, 0)";
      pen.fillStyle = style ? (solid ? style.backgroundColor : style.borderTopColor) : css("--quiet");
      pen.fillRect(x, out.height - foot / 2 - 5 * ratio, 10 * ratio, 10 * ratio);
      pen.fillStyle = css("--ink");
      pen.fillText(name, x + 14 * ratio, out.height - foot / 2);
      x += (26 * ratio) + pen.measureText(name).width;
    }
    out.toBlob((blob) => save(blob, named(id, "png")));
  }

  function asSvg(drawings, id) {
    const whole = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const ROW = 44;
    whole.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    whole.setAttribute("viewBox", `0 0 600 ${ROW * drawings.length}`);
    whole.setAttribute("width", "600");
    drawings.forEach((drawing, i) => {
      const text = document.createElementNS(whole.namespaceURI, "text");
      text.setAttribute("y", ROW * i + 14);
      text.setAttribute("font-size", "13");
      text.setAttribute("font-family", "sans-serif");
      text.textContent = drawing.getAttribute("aria-label") || "";
      const copy = drawing.cloneNode(true);
      const olds = drawing.querySelectorAll("*"), news = copy.querySelectorAll("*");
      olds.forEach((old, j) => {
        const style = getComputedStyle(old);
        for (const name of KEPT) news[j].setAttribute(name, style.getPropertyValue(name));
        news[j].removeAttribute("class");
      });
      copy.removeAttribute("class");
      copy.setAttribute("y", ROW * i + 20);
      copy.setAttribute("width", "600");
      copy.setAttribute("height", "14");
      whole.append(text, copy);
    });
    save(new Blob([new XMLSerializer().serializeToString(whole)], { type: "image/svg+xml" }), named(id, "svg"));
  }

  for (const button of document.querySelectorAll("[data-download]")) button.hidden = false;
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-download]");
    if (!button) return;
    const id = button.dataset.download, place = document.getElementById(id);
    const canvas = place?.querySelector("canvas");
    if (canvas) asPng(canvas, id, place);
    else if (place) asSvg([...place.querySelectorAll("svg")], id);
  });
})();
