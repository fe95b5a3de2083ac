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

  function asPng(canvas, id) {
    const out = document.createElement("canvas");
    out.width = canvas.width;
    out.height = canvas.height;
    const pen = out.getContext("2d");
    pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--sheet");
    pen.fillRect(0, 0, out.width, out.height);
    pen.drawImage(canvas, 0, 0);
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
    if (canvas) asPng(canvas, id);
    else if (place) asSvg([...place.querySelectorAll("svg")], id);
  });
})();
