// Makes pages live: asks for the same page again while it is visible, and puts in what has changed.
// Without it every page is complete; a reader then loads it again.
const EVERY_MS = 10_000;
const live = () => document.querySelectorAll("[data-live]");
let edition = null, readAt = Date.now(), failed = false;

function age() {
  const seconds = Math.round((Date.now() - readAt) / 1000);
  const words = failed ? `; the server has not answered for ${seconds} s, so this may be old` : `; looked at ${seconds} s ago`;
  for (const place of document.querySelectorAll("[data-age]")) place.textContent = words;
}

async function look() {
  if (document.hidden || shownPast || !live().length) return;
  try {
    const headers = edition ? { "If-None-Match": edition } : {};
    const answer = await fetch(location.href, { headers, cache: "no-store", credentials: "same-origin" });
    if (answer.status !== 304) {
      if (!answer.ok) throw new Error(answer.status);
      put(new DOMParser().parseFromString(await answer.text(), "text/html"));
      edition = answer.headers.get("ETag");
    }
    readAt = Date.now();
    failed = false;
  } catch {
    failed = true;
  }
  age();
}

function put(next) {
  for (const old of live()) {
    const fresh = next.getElementById(old.id);
    if (!fresh || old.innerHTML === fresh.innerHTML) continue;
    const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    const scrolled = [...old.querySelectorAll(".scroll")].map((box) => [box.scrollLeft, box.scrollTop]);
    old.innerHTML = fresh.innerHTML;
    old.querySelectorAll(".scroll").forEach((box, n) => { if (scrolled[n]) [box.scrollLeft, box.scrollTop] = scrolled[n]; });
    if (focused) [...old.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused)?.focus();
  }
}

// Facts are only ever added, so a rollout can be gone through from its beginning: a slider over the moments at which
// something changed, in place of the field for one of them.
let shownPast = new URLSearchParams(location.search).has("at");
for (const form of document.querySelectorAll("form[data-past]")) {
  const moments = form.dataset.past.split(" ");
  const slider = document.createElement("input");
  const words = document.createElement("output");
  slider.type = "range";
  slider.max = moments.length;
  slider.setAttribute("aria-label", "Moment");
  const typed = form.elements.at;
  const first = moments.findLastIndex((moment) => moment.slice(0, 19) <= typed.value);
  slider.value = shownPast ? Math.max(0, first) : moments.length;
  const say = () => {
    const moment = moments[slider.value];
    words.textContent = moment ? `${moment.slice(0, 10)} ${moment.slice(11, 19)} UTC` : "now";
    slider.setAttribute("aria-valuetext", words.textContent);
    return moment;
  };
  let newest = 0;
  slider.addEventListener("input", async () => {
    const moment = say(), mine = ++newest;
    shownPast = Boolean(moment);
    await new Promise((wake) => setTimeout(wake, 150));
    if (mine !== newest) return;
    const address = `${form.action}${moment ? `?at=${encodeURIComponent(moment)}` : ""}`;
    const answer = await fetch(address, { credentials: "same-origin", cache: "no-store" });
    if (answer.ok && mine === newest) put(new DOMParser().parseFromString(await answer.text(), "text/html"));
  });
  say();
  typed.replaceWith(slider, words);
  form.querySelector("label").htmlFor = slider.id = "at";
  form.querySelector("button").remove();
}

// A page that is the same for all has room for what is only for whoever has signed in; all others keep what stands there.
const parts = document.querySelectorAll("[data-part]");
async function ask() {
  for (const part of document.hidden ? [] : parts) {
    const asked = { credentials: "same-origin", cache: "no-store", headers: { "X-PPS-Part": "1" } };
    const answer = await fetch(part.dataset.part, asked).catch(() => null);
    if (answer?.status !== 200) continue;
    const words = await answer.text();
    if (words === part.dataset.words || part.contains(document.activeElement)) continue;
    part.innerHTML = part.dataset.words = words;
  }
}
if (parts.length) {
  ask();
  setInterval(ask, 6 * EVERY_MS);
  document.addEventListener("visibilitychange", ask);
}

// In Airflow's frame there is a title above us already.
if (window.self !== window.top) document.documentElement.classList.add("framed");

// Airflow's own pages lie around ours: a link to one of them is followed by the page that holds the frame, which the
// frame itself is not allowed to do.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-airflow]");
  if (!link || window.self === window.top || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const around = window.parent.document.createElement("a");
  around.href = link.href;
  window.parent.document.body.append(around);
  around.click();
  around.remove();
});

// A finger is wider than a site on a map: where it could mean several, they are named in lines that it can touch.
const FINGER_PX = 22;
let named = null;
document.addEventListener("click", (event) => {
  named?.remove();
  named = null;
  const drawing = event.target.closest?.(".maps svg, .gridmap svg");
  if (!drawing || event.pointerType !== "touch") return;
  const away = (box) => Math.hypot(
    Math.max(box.left - event.clientX, 0, event.clientX - box.right),
    Math.max(box.top - event.clientY, 0, event.clientY - box.bottom),
  );
  const near = [...drawing.querySelectorAll("a")]
    .map((site) => [away(site.getBoundingClientRect()), site])
    .filter(([distance]) => distance <= FINGER_PX)
    .sort(([one], [other]) => one - other);
  if (!near.length) return;
  event.preventDefault();
  if (near.length === 1) return void (location.href = near[0][1].href.baseVal);
  named = document.createElement("ul");
  named.className = "touched";
  named.setAttribute("aria-label", "Sites here");
  for (const [, site] of near) {
    const link = document.createElement("a");
    link.href = site.href.baseVal;
    link.textContent = site.querySelector("title").textContent;
    named.appendChild(document.createElement("li")).append(link);
  }
  document.body.append(named);
});

// A choice shows at once; empty fields stay out of the address.
for (const form of document.querySelectorAll("[data-filters]")) {
  form.addEventListener("change", () => form.requestSubmit());
  form.addEventListener("submit", () => {
    for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
  });
}

// The code that is to be used somewhere else gets a button that copies it.
function copyable() {
  for (const code of document.querySelectorAll("pre:not([data-copy])")) {
    code.dataset.copy = "";
    if (!navigator.clipboard) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    code.after(button);
  }
}

copyable();
if (live().length && !new URLSearchParams(location.search).get("at")) {
  setInterval(async () => { await look(); copyable(); }, EVERY_MS);
  setInterval(age, 1000);
  document.addEventListener("visibilitychange", look);
}
