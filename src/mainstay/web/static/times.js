// Times in the reader's own zone, UTC on hover; ages go on counting. Without this the page shows UTC.
"use strict";
const mainstayTimes = (() => {
  const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const year = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
  // The project's clock may be another one than the browser's: ages are told by the moment the page was read.
  let ahead = 0;

  function ago(seconds) {
    if (seconds < 0) return "ahead of this clock";
    if (seconds < 10) return "just now";
    for (const [unit, size, following] of [["s", 1, 60], ["min", 60, 3600], ["h", 3600, 172800], ["days", 86400, Infinity]]) {
      if (seconds < following) return `${Math.floor(seconds / size)} ${unit} ago`;
    }
    return "";
  }

  function write(time) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) return;
    if (!time.title) time.title = time.textContent;
    const now = Date.now() + ahead;
    const text = "ago" in time.dataset ? ago((now - at) / 1000)
      : (at.getFullYear() === new Date(now).getFullYear() ? day : year).format(at);
    if (time.textContent !== text) time.textContent = text;
  }

  function all(root) {
    const read = root.querySelector(".read time");
    if (read) ahead = new Date(read.dateTime) - Date.now();
    for (const time of root.querySelectorAll("time[datetime]")) write(time);
  }

  all(document);
  setInterval(() => { for (const time of document.querySelectorAll("time[data-ago]")) write(time); }, 10000);
  return { all, write };
})();
