"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((c) => c != null));
  return node;
};
const fixed = (value, digits) => (value == null ? "–" : Number(value).toFixed(digits));
const percent = (value) => (value == null ? "–" : (100 * value).toFixed(1).replace(/\.0$/, "") + " %");
const values = (s, key) => Object.values(s.numbers.sequences).map((v) => v[key]).filter((v) => v != null);
const greatest = (list) => (list.length ? Math.max(...list) : null);
const least = (list) => (list.length ? Math.min(...list) : null);
const truthMotion = (s, i) => (s.truth ? greatest(Object.values(s.truth.motion).map((m) => m[i])) : null);
const withTruth = data.sessions.some((s) => s.truth);

const columns = [
  { name: "Session", text: true, get: (s) => s.dataset + " " + s.key },
  { name: "Flags", get: (s) => s.flags.length, down: true },
  { name: "Site", text: true, get: (s) => s.site || "" },
  { name: "Reference", text: true, get: (s) => s.numbers.reference },
  { name: "Sequences", get: (s) => Object.keys(s.numbers.sequences).length },
  { name: "Brain, ml", get: (s) => s.numbers.brain_ml, digits: 0 },
  { name: "Overlap", get: (s) => s.numbers.template_dice, digits: 3 },
  { name: "Least fit", get: (s) => least(values(s, "fit")), digits: 3 },
  { name: "Most moved, mm", get: (s) => greatest(values(s, "motion_mm")), digits: 1, down: true },
  { name: "Most mirror", get: (s) => greatest(values(s, "mirror_gain")), digits: 4, down: true },
  { name: "Least coverage", get: (s) => least(values(s, "coverage")), digits: 2 },
  ...(withTruth ? [
    { name: "Dice with truth", get: (s) => s.truth && s.truth.dice, digits: 3 },
    { name: "Motion error, mm", get: (s) => truthMotion(s, 0), digits: 2, down: true },
    { name: "Motion error, °", get: (s) => truthMotion(s, 1), digits: 2, down: true },
  ] : []),
];
const state = { sort: 0, reverse: false, shown: [], open: -1 };

function headline() {
  const flagged = data.sessions.filter((s) => s.flags.length).length;
  const bad = data.quarantine.length;
  byId("experiment").textContent = data.experiment;
  byId("headline").textContent =
    `${data.sessions.length} sessions, ${flagged || "none"} flagged, ${bad || "no"} scan${bad === 1 ? "" : "s"} quarantined`;
  const sets = new Set(data.sessions.map((s) => s.dataset)).size;
  const scans = data.sessions.reduce((n, s) => n + Object.keys(s.numbers.sequences).length, 0);
  byId("subline").textContent = `${scans} scans in ${sets} data set${sets === 1 ? "" : "s"}.`;
}

function truthRow(name, g, limits, strong) {
  const cells = [
    [fixed(g.masks, 0)], [fixed(g.dice_mean, 3)], [fixed(g.dice_min, 3), g.dice_min != null && g.dice_min < limits.dice],
    [percent(g.dice_below)], [fixed(g.pairs, 0)], [fixed(g.mm_mean, 2)], [fixed(g.mm_max, 2), g.mm_max > limits.mm],
    [fixed(g.degrees_mean, 2)], [fixed(g.degrees_max, 2), g.degrees_max > limits.degrees], [percent(g.recovered)],
  ];
  const label = strong ? make("b", {}, name) : name;
  return make("tr", {}, make("td", { class: "text" }, label),
    ...cells.map(([value, miss]) => make("td", { class: miss ? "miss" : null }, value)));
}

function truthTable() {
  const { all, datasets, sites, limits } = data.truth;
  if (!all) return;
  const node = byId("truth");
  node.hidden = false;
  const masks = all.dice_mean >= 0.95 && all.dice_min >= limits.dice;
  const motion = all.recovered == null || all.recovered >= 0.95;
  const verdict = (ok) => make("span", { class: "verdict " + (ok ? "yes" : "no") }, ok ? "met" : "missed");
  const heads = ["", "Masks", "Dice, mean", "Dice, least", `below ${limits.dice}`, "Pairs", "Error mm, mean", "most",
    "Error °, mean", "most", `Sessions within ${limits.mm} mm, ${limits.degrees}°`];
  node.append(
    make("h2", {}, "Against the cohort's truth"),
    make("p", { class: "note" }, "The embedded cohort knows every brain's outline and every movement. Brain masks, Dice at least 0.95 on average and ",
      `none under ${limits.dice}: `, verdict(masks), `. Movement between sequences recovered to ${limits.mm} mm and ${limits.degrees}° in at least 95 % of the sessions: `,
      verdict(motion), ". Errors are at the brain's centre; masks are compared on the reference scan's own grid."),
    make("div", { class: "scroll" }, make("table", {},
      make("thead", {}, make("tr", {}, ...heads.map((h) => make("th", { scope: "col" }, h)))),
      make("tbody", {}, truthRow("All", all, limits, true),
        ...Object.entries(sites).map(([name, g]) => truthRow("Site " + name, g, limits)),
        ...Object.entries(datasets).map(([name, g]) => truthRow(name, g, limits))))));
}

function quarantineTable() {
  if (!data.quarantine.length) return;
  const node = byId("quarantine");
  node.hidden = false;
  const heads = ["Scan", "Code", "Why", "What to do"];
  node.append(make("h2", {}, "Quarantined scans"), make("div", { class: "scroll" }, make("table", {},
    make("thead", {}, make("tr", {}, ...heads.map((h) => make("th", { class: "text", scope: "col" }, h)))),
    make("tbody", {}, ...data.quarantine.map((r) => make("tr", {},
      make("td", { class: "text" }, `${r.dataset} ${r.subject}/${r.session} ${r.sequence}`),
      make("td", { class: "text" }, r.code), make("td", { class: "text wide" }, r.reason),
      make("td", { class: "text wide" }, r.remedy)))))));
}

function picture(s) {
  const names = Object.keys(s.numbers.sequences).sort();
  const image = make("img", { src: "data:image/jpeg;base64," + s.picture, loading: "lazy", alt: `Stripped brain of ${s.dataset} ${s.key}` });
  const marks = names.map((name, i) => make("span", { style: `top:calc(${(100 * i) / names.length}% + 4px)` }, name));
  return make("div", { class: "picture" }, image, ...marks);
}

const badges = (s) => [...new Set(s.flags.map((f) => f.code + (f.sequence ? " " + f.sequence : "")))]
  .map((text) => make("span", { class: "badge" }, text));

function card(s, i) {
  const n = s.numbers;
  const parts = [`${fixed(n.brain_ml, 0)} ml`, `overlap ${fixed(n.template_dice, 2)}`];
  if (s.truth && s.truth.dice != null) parts.push(`Dice with truth ${fixed(s.truth.dice, 3)}`);
  return make("button", { class: "card" + (s.flags.length ? " flagged" : ""), type: "button", "data-i": i, onclick: () => open(i) },
    picture(s), make("footer", {}, make("b", {}, s.key), ` ${s.dataset}${s.site ? " · site " + s.site : ""}`,
      make("small", {}, parts.join(" · ")), ...badges(s)));
}

function wallTable(shown) {
  const heads = columns.map((c, i) => make("th", { scope: "col", class: c.text ? "text" : null,
    "aria-sort": state.sort === i ? (state.reverse ? "descending" : "ascending") : null },
    make("button", { type: "button", onclick: () => sortBy(i) }, c.name + (state.sort === i ? (state.reverse ? " ↓" : " ↑") : ""))));
  const rows = shown.map((s, i) => make("tr", { tabindex: 0, "data-i": i, onclick: () => open(i) }, ...columns.map((c) => {
    const value = c.get(s);
    const cell = c.digits == null ? String(value) : fixed(value, c.digits);
    return make("td", { class: c.text ? "text" : null }, c.name === "Flags" && s.flags.length ? make("span", {}, ...badges(s)) : cell);
  })));
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)));
}

function sortBy(i) {
  state.reverse = state.sort === i ? !state.reverse : Boolean(columns[i].down);
  state.sort = i;
  byId("sort").value = i;
  draw();
}

function chosen() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const [dataset, flag] = [byId("dataset").value, byId("flag").value];
  const list = data.sessions.filter((s) => {
    const text = [s.dataset, s.key, s.site, s.numbers.reference, ...s.flags.map((f) => f.code), ...Object.keys(s.numbers.sequences)].join(" ").toLowerCase();
    return words.every((w) => text.includes(w)) && (!dataset || s.dataset === dataset)
      && (!flag || s.flags.some((f) => f.code === flag)) && (!byId("flagged").checked || s.flags.length);
  });
  const { get } = columns[state.sort];
  const order = (a, b) => (a == null) - (b == null) || (typeof a === "string" ? a.localeCompare(b) : a - b);
  return list.sort((a, b) => {
    const [x, y] = [get(a), get(b)];
    return (state.reverse && x != null && y != null ? -1 : 1) * order(x, y);
  });
}

function draw() {
  state.shown = chosen();
  byId("count").textContent = `${state.shown.length} of ${data.sessions.length}`;
  const none = make("p", { class: "empty" }, "No session fits this choice.");
  const body = byId("table").checked ? wallTable(state.shown) : make("div", { class: "cards" }, ...state.shown.map(card));
  byId("wall").replaceChildren(state.shown.length ? body : none);
}

function sequenceTable(s) {
  const heads = ["Sequence", "Voxels", "Size, mm", "Fit", "Moved, mm", "°", "Mirror", "Coverage", "Blank slices", "At most", "At 0", "Levels"];
  if (s.truth) heads.push("Error, mm", "Error, °");
  const rows = Object.entries(s.numbers.sequences).sort().map(([name, v]) => {
    const cells = [v.shape.join("×"), v.zooms_mm.map((z) => fixed(z, 2)).join("×"), fixed(v.fit, 3), fixed(v.motion_mm, 2), fixed(v.motion_degrees, 2),
      fixed(v.mirror_gain, 4), percent(v.coverage), v.blank_slices, percent(v.saturated), percent(v.zeros), v.levels];
    if (s.truth) cells.push(...[0, 1].map((i) => fixed((s.truth.motion[name] || [])[i], 2)));
    const label = name + (name === s.numbers.reference ? " (reference)" : "");
    return make("tr", {}, make("td", { class: "text" }, label), ...cells.map((c) => make("td", {}, String(c))));
  });
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads.map((h) => make("th", { scope: "col" }, h)))), make("tbody", {}, ...rows)));
}

function open(i) {
  if (i < 0 || i >= state.shown.length) return;
  state.open = i;
  const s = state.shown[i], n = s.numbers, dialog = byId("detail");
  const facts = [["Brain", `${fixed(n.brain_ml, 0)} ml, found by ${n.strip}`], ["Overlap with the template", fixed(n.template_dice, 3)],
    ["Scales to the template", n.template_scales.map((x) => fixed(x, 2)).join(", ")], ["Surface on the scan's border", percent(n.cut_share)],
    ["Brain outside the grid", percent(n.outside_grid)]];
  if (s.truth) facts.push(["Dice with the truth", s.truth.dice == null ? "another reference" : fixed(s.truth.dice, 3)]);
  dialog.replaceChildren(
    make("nav", {}, make("button", { type: "button", onclick: () => open(state.open - 1), "aria-label": "Previous" }, "←"),
      make("button", { type: "button", onclick: () => open(state.open + 1), "aria-label": "Next" }, "→"),
      make("button", { type: "button", autofocus: "", onclick: () => dialog.close() }, "Close")),
    make("h2", { id: "detail-title" }, `${s.dataset} ${s.key}${s.site ? ", site " + s.site : ""}`),
    s.flags.length ? make("ul", {}, ...s.flags.map((f) => make("li", {}, make("span", { class: "badge" }, f.code + (f.sequence ? " " + f.sequence : "")), " " + f.text))) : make("p", { class: "note" }, "No flags."),
    picture(s), sequenceTable(s), make("dl", {}, ...facts.flatMap(([k, v]) => [make("dt", {}, k), make("dd", {}, v)])));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function focusCard(step) {
  const cards = [...byId("wall").querySelectorAll("[data-i]")];
  const at = cards.indexOf(document.activeElement);
  const next = cards[Math.max(0, Math.min(cards.length - 1, at + step))];
  if (next) next.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = /^(INPUT|SELECT)$/.test(event.target.tagName) && event.target.type !== "checkbox";
  if (typing) { if (event.key === "Escape") event.target.blur(); return; }
  const back = ["ArrowLeft", "k"].includes(event.key), on = ["ArrowRight", "j"].includes(event.key);
  if (back || on) { event.preventDefault(); byId("detail").open ? open(state.open + (on ? 1 : -1)) : focusCard(on ? 1 : -1); }
  else if (byId("detail").open) return;
  else if (event.key === "f") byId("flagged").click();
  else if (event.key === "t") byId("table").click();
  else if (event.key === "/") { event.preventDefault(); byId("search").focus(); }
  else if (event.key === "Enter" && event.target.matches("tr[data-i]")) open(Number(event.target.dataset.i));
});
byId("detail").addEventListener("close", () => {
  const node = byId("wall").querySelector(`[data-i="${state.open}"]`);
  if (node) node.focus();
});
byId("detail").addEventListener("click", (event) => { if (event.target === byId("detail")) byId("detail").close(); });
const option = (value, text) => make("option", { value }, text);
byId("dataset").append(option("", "all data sets"), ...[...new Set(data.sessions.map((s) => s.dataset))].sort().map((d) => option(d, d)));
byId("flag").append(option("", "any flag or none"), ...[...new Set(data.sessions.flatMap((s) => s.flags.map((f) => f.code)))].sort().map((f) => option(f, f)));
byId("sort").append(...columns.map((c, i) => option(i, "sort by " + c.name.toLowerCase())));
byId("sort").addEventListener("change", (event) => { state.sort = -1; sortBy(Number(event.target.value)); });
byId("controls").addEventListener("submit", (event) => event.preventDefault());
for (const id of ["search", "dataset", "flag", "flagged", "table"]) byId(id).addEventListener("input", draw);
headline();
truthTable();
quarantineTable();
if (data.sessions.some((s) => s.flags.length)) sortBy(1); else draw();
