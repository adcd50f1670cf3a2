const {cards, aus} = JSON.parse(document.getElementById("data").textContent);
const specs = JSON.parse(document.getElementById("specs").textContent);
const form = document.getElementById("filters"), box = document.getElementById("cards");
const more = document.getElementById("more"), dialog = document.getElementById("detail");
const PAGE = 60;
let found = [], shown = 0;

function make(tag, text, name) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  return element;
}
function fill(name, values) {
  for (const value of values) {
    const option = make("option", value);
    option.value = value;
    form.elements[name].append(option);
  }
}
const each = (key) => [...new Set(cards.map((card) => card[key]).filter((v) => v !== null))].sort();
fill("category", each("category"));
fill("split", each("split"));
fill("au", aus);
for (const name of each("person")) {
  const option = make("option");
  option.value = name;
  document.getElementById("persons").append(option);
}
const verdict = (card) => (card.kept === null ? "none" : card.kept ? "yes" : "no");

function bars(card, all) {
  const list = make("div");
  aus.forEach((au, place) => {
    const asked = card.asked[place], seen = card.found ? card.found[place] : null;
    if (!all && !(asked > 0) && !(seen >= 0.5)) return;
    const row = make("div", undefined, "au"), both = make("span");
    row.title = `${au}: asked ${asked}, measured ${seen === null ? "–" : seen}`;
    for (const [kind, value] of [["asked", asked], ["found", seen]]) {
      const bar = make("i", undefined, kind);
      bar.style.width = `${20 * Math.min(Math.max(value ?? 0, 0), 5)}%`;
      both.append(bar);
    }
    row.append(make("span", au), both);
    list.append(row);
  });
  return list;
}
function picture(card) {
  const image = make("img");
  image.src = card.image;
  image.alt = `${card.category ?? "face"}, ${card.person}`;
  image.loading = "lazy";
  return image;
}
function cardOf(card) {
  const button = make("button", undefined, `card ${verdict(card)}`);
  button.type = "button";
  const error = card.error === null ? "no measurement" : `error ${card.error.toFixed(2)}`;
  button.append(picture(card), make("b", card.category ?? card.split), make("span", error));
  if (card.reason) button.append(make("span", card.reason, "why"));
  button.append(bars(card, false));
  button.addEventListener("click", () => open(card));
  return button;
}
function open(card) {
  const inside = dialog.querySelector("div");
  inside.replaceChildren(picture(card), make("h3", card.id), make("p", card.prompt));
  const list = [["split", card.split], ["identity", card.person], ["attempt", `${card.attempt + 1} of spec ${card.replacement + 1}`], ["verdict", {yes: "accepted", no: "rejected", none: "not judged"}[verdict(card)]], ["reason", card.reason && `${card.reason}: ${card.detail}`], ...Object.entries(card.slots), ...Object.entries(card.numbers)];
  const table = make("table");
  for (const [key, value] of list) {
    if (value === null || value === undefined || value === "") continue;
    const row = make("tr");
    row.append(make("th", key), make("td", String(value)));
    table.append(row);
  }
  inside.append(table, bars(card, true));
  dialog.showModal();
}
function page() {
  const next = found.slice(shown, shown + PAGE);
  box.append(...next.map(cardOf));
  shown += next.length;
  more.hidden = shown >= found.length;
}
function filter() {
  const want = Object.fromEntries(new FormData(form));
  const place = aus.indexOf(want.au);
  found = cards.filter((card) =>
    (!want.category || card.category === want.category) && (!want.split || card.split === want.split) &&
    (!want.person || card.person.includes(want.person)) && (!want.kept || verdict(card) === want.kept) &&
    (place < 0 || card.asked[place] > 0));
  const sign = want.sort === "up" ? 1 : -1;
  if (want.sort !== "file") found.sort((a, b) => (a.error === null) - (b.error === null) || sign * (a.error - b.error));
  document.getElementById("count").textContent = `${found.length} of ${cards.length} pictures`;
  box.replaceChildren();
  shown = 0;
  page();
}
form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(filter));
more.addEventListener("click", () => {
  const first = shown;
  page();
  box.children[first]?.focus();
});
box.addEventListener("keydown", (event) => {
  const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
  const list = [...box.children], place = list.indexOf(document.activeElement);
  if (step && place >= 0) list[place + step]?.focus();
});
filter();

function strip(element, own) {
  for (const card of own) {
    const button = make("button");
    button.type = "button";
    button.append(picture(card));
    button.addEventListener("click", () => open(card));
    element.append(button);
  }
}
for (const element of document.querySelectorAll(".strip")) strip(element, element.dataset.cards.split(" ").map((place) => cards[place]));
const reasons = document.getElementById("reasons");
for (const reason of each("reason")) {
  const own = cards.filter((card) => card.reason === reason), line = make("div", undefined, "strip");
  strip(line, own.slice(0, 40));
  reasons?.append(make("h3", reason), line);
}

const dark = matchMedia("(prefers-color-scheme: dark)");
function colours() {
  const style = getComputedStyle(document.documentElement), ink = style.getPropertyValue("--ink").trim();
  const line = style.getPropertyValue("--line").trim(), asked = style.getPropertyValue("--asked").trim();
  const axis = {labelColor: ink, titleColor: ink, gridColor: line, domainColor: line, tickColor: line};
  return {background: "transparent", axis, legend: {labelColor: ink, titleColor: ink}, view: {stroke: "transparent"}, title: {color: ink}, rule: {color: asked}, point: {color: asked},
    range: {category: dark.matches ? ["#6cb2f0", "#ff9d57", "#7dd3a0", "#e3a5f5"] : ["#1f6fb2", "#c2570c", "#2c8a57", "#8a3ea8"], heatmap: {scheme: dark.matches ? "viridis" : "blues"}}};
}
const drawn = new Set();
const draw = (id) => vegaEmbed(`#${id}`, specs[id], {actions: false, renderer: "svg", config: colours()}).then((view) => drawn.add(id));
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((each) => each.isIntersecting)) {
    seen.unobserve(entry.target);
    draw(entry.target.id);
  }
}, {rootMargin: "400px"});
for (const id of Object.keys(specs)) seen.observe(document.getElementById(id));
dark.addEventListener("change", () => drawn.forEach(draw));
addEventListener("beforeprint", () => Object.keys(specs).forEach((id) => drawn.has(id) || draw(id)));
