// Looks again every few seconds and swaps the page's content: scroll, focus on the page and opened details stay.
"use strict";
const seconds = Number(document.body.dataset.refreshS) || 5;
let last = new Date();

async function look() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/", { cache: "no-store", signal: AbortSignal.timeout(seconds * 1000) });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const page = fresh.getElementById("page");
    if (!page) throw new Error("no page in the answer");
    const opened = new Set([...document.querySelectorAll("details[open]")].map((details) => details.id));
    for (const details of page.querySelectorAll("details")) details.open = opened.has(details.id);
    document.getElementById("page").replaceWith(document.adoptNode(page));
    document.title = fresh.title;
    document.getElementById("lost").hidden = true;
    last = new Date();
  } catch {
    document.getElementById("lost-since").textContent = last.toLocaleTimeString();
    document.getElementById("lost").hidden = false;
  }
}

setInterval(look, seconds * 1000);
document.addEventListener("visibilitychange", look);
