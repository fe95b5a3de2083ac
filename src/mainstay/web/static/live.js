// The page follows by itself: an event says that something changed, then the page is fetched and only what differs is
// exchanged. Focus, scroll, opened details, plots and what is being typed stay.
"use strict";
(() => {
  const lost = document.getElementById("lost");
  const feed = document.body.dataset.feed;
  const EVERY_MS = 30000, WITHOUT_FEED_MS = 10000;
  let source = null, timer = 0, busy = false, again = false, last = new Date();

  for (const one of document.querySelectorAll(".with-script")) one.hidden = false;

  function isTyped(node) {
    return node instanceof HTMLTextAreaElement || (node instanceof HTMLInputElement && node.type !== "hidden")
      ? node === document.activeElement || node.value !== node.defaultValue : false;
  }

  Idiomorph.defaults.callbacks.beforeNodeMorphed = (old, fresh) => {
    if (old.nodeType !== 1) return true;
    if ("keep" in old.dataset || isTyped(old)) return false;
    if (fresh.tagName === "TIME") mainstayTimes.write(fresh);
    return true;
  };
  Idiomorph.defaults.callbacks.beforeNodeAdded = (node) => {
    if (node.nodeType === 1) for (const time of node.querySelectorAll("time[datetime]")) mainstayTimes.write(time);
    return true;
  };
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) =>
    !((name === "open" && node.tagName === "DETAILS") || (name === "hidden" && node.matches("[data-download], .with-script")));

  function isLost(yes) {
    if (!yes) last = new Date();
    document.getElementById("lost-since").textContent = last.toLocaleTimeString();
    lost.hidden = !yes;
  }

  async function look() {
    if (document.hidden || !feed) return;
    if (busy) { again = true; return; }
    busy = true;
    try {
      await htmx.ajax("GET", location.pathname + location.search, { target: "#page", select: "#page", swap: "morph:outerHTML" });
    } finally {
      busy = false;
      if (again) { again = false; look(); }
    }
  }

  document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.xhr.status) isLost(false); });
  document.addEventListener("htmx:sendError", () => isLost(true));
  document.addEventListener("htmx:timeout", () => isLost(true));
  document.addEventListener("htmx:afterSwap", () => {
    mainstayTimes.all(document);
    document.dispatchEvent(new CustomEvent("mainstay:fresh"));
  });

  function wait(ms) {
    clearInterval(timer);
    timer = setInterval(look, ms);
  }

  // A browser keeps few connections to one server: only a tab that is looked at holds one.
  function listen() {
    if (!feed) return;
    if (document.hidden) {
      source?.close();
      source = null;
      return;
    }
    if (source) return;
    source = new EventSource(feed);
    source.addEventListener("changed", look);
    source.onopen = () => { isLost(false); wait(EVERY_MS); };
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) { look(); return; }
      source = null;
      wait(WITHOUT_FEED_MS);
      look();
    };
  }

  document.addEventListener("visibilitychange", () => { listen(); look(); });
  addEventListener("pagehide", () => { source?.close(); source = null; });
  addEventListener("pageshow", listen);
  wait(EVERY_MS);
})();
