// A click on a number opens its chain, built from the cards that the page embeds; `#why=run/task/metric` opens it too.
// Without this script the same links lead to the table of origins.
(function () {
  "use strict";
  const holder = document.getElementById("lineage"), dialog = document.getElementById("why");
  if (!holder || !dialog.showModal) return;
  const data = JSON.parse(holder.textContent), body = dialog.querySelector(".body");
  const bad = { ALTERED: new Set(data.altered), "UNACCOUNTED FOR": new Set(data.holes) };
  const JOBS = 40, FILES = 30, SHORT = 12;
  const maker = new Map();
  data.jobs.forEach((job, i) => job.out.forEach((file) => maker.set(file, i)));
  let opener = null, places = new Map();

  // --- small parts -----------------------------------------------------------------------------------------------
  function make(tag, options, ...children) {
    const element = document.createElement(tag);
    Object.entries(options || {}).forEach(([key, value]) => {
      if (key === "click") element.addEventListener("click", value);
      else if (key === "text") element.textContent = value;
      else element.setAttribute(key, value);
    });
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }
  const count = (n, word) => n.toLocaleString("en") + " " + word + (n === 1 ? "" : "s");
  const path = (file) => data.folders[data.files[file][0]] + "/" + data.files[file][1];

  function duration(seconds) {
    if (seconds < 10) return seconds.toFixed(1) + " s";
    if (seconds < 60) return seconds.toFixed(0) + " s";
    const minutes = Math.floor(Math.round(seconds) / 60), rest = Math.round(seconds) % 60;
    return minutes < 60 ? minutes + " min " + rest + " s" : Math.floor(minutes / 60) + " h " + (minutes % 60) + " min";
  }
  const memory = (mb) => (mb >= 1000 ? (mb / 1024).toFixed(1) + " GB" : mb.toFixed(0) + " MB");

  function hash(text) {
    const button = make("button", { type: "button", class: "hash", title: text + " – click to see all of it" });
    const short = text.length > SHORT + 4 ? text.slice(0, SHORT) + "…" : text;
    button.textContent = short;
    button.addEventListener("click", () => {
      if (!String(window.getSelection())) button.textContent = button.textContent === text ? short : text;
    });
    return button;
  }

  function command(text) {
    const code = make("code", { text: text });
    const copy = make("button", { type: "button", text: "Copy", "aria-label": "Copy: " + text });
    copy.addEventListener("click", () => {
      const select = () => window.getSelection().selectAllChildren(code);
      if (!navigator.clipboard) return select();
      navigator.clipboard.writeText(text).then(() => { copy.textContent = "Copied"; }, select);
    });
    return make("div", { class: "command" }, code, copy);
  }

  // The first children, and a button for the rest.
  function some(holder, items, most, render) {
    items.slice(0, most).forEach((item) => holder.append(render(item)));
    if (items.length <= most) return holder;
    const more = make("button", { type: "button", text: "Show " + count(items.length - most, "more").replace(/s$/, "") });
    const rest = () => {
      more.remove();
      items.slice(most).forEach((item) => holder.append(render(item)));
    };
    more.addEventListener("click", rest);
    holder.append(more);
    holder.rest = rest;
    return holder;
  }

  // --- the chain ---------------------------------------------------------------------------------------------------
  // Jobs that a number rests on, in the order of the page: from the number to the raw files.
  function chainOf(number) {
    if (number.stage !== undefined) {
      return data.jobs.map((_, i) => i).filter((i) => number.stage < 0 || data.jobs[i].stage === number.stage);
    }
    const seen = new Set(), queue = number.files.map((file) => maker.get(file));
    while (queue.length) {
      const job = queue.pop();
      if (job === undefined || seen.has(job)) continue;
      seen.add(job);
      data.jobs[job].in.forEach(([, from]) => { if (from >= 0) queue.push(from); });
    }
    return Array.from(seen).sort((a, b) => a - b);
  }

  function broughtBy(jobs) {
    const files = new Set();
    jobs.forEach((i) => data.jobs[i].raw.forEach((file) => files.add(file)));
    const listed = Array.from(files).sort((a, b) => (path(a) < path(b) ? -1 : 1));
    const sets = new Map();  // data sets, and the packages, by what they bring
    jobs.filter((i) => data.jobs[i].brought).forEach((i) => {
      const name = data.jobs[i].name.split("/")[1] || data.jobs[i].name;
      sets.set(name, (sets.get(name) || 0) + data.jobs[i].brought);
    });
    const all = Array.from(sets.values()).reduce((sum, n) => sum + n, 0);
    return { listed: listed, all: all, sets: Array.from(sets).map(([name, n]) => n.toLocaleString("en") + " " + name).join(" · ") };
  }

  function troubles(jobs) {
    const found = [];
    Object.entries(bad).forEach(([word, files]) => jobs.forEach((i) => data.jobs[i].in.forEach(([file]) => {
      if (files.has(file)) found.push(word + ": " + path(file) + ", read by " + data.jobs[i].name);
    })));
    return found;
  }

  // --- what is shown of it -----------------------------------------------------------------------------------------
  function verdict(number, jobs, raw) {
    const found = troubles(jobs);
    const box = make("div", { class: found.length ? "verdict bad" : "verdict" });
    if (number.stage !== undefined) {
      box.append(make("p", { text: "The sum over " + count(jobs.length, "job") + ", from the card that each of them wrote." }));
      return box;
    }
    box.append(make("p", { text: count(jobs.length, "job") + " lead from " + count(raw.all, "raw file") + " to this number." }));
    found.forEach((text) => box.append(make("p", { class: "warn", text: text })));
    box.append(make("p", { text: found.length
      ? "Do not trust this number: run cairn restore, then snakemake."
      : "By the cards of these jobs, each read exactly what the one before it wrote, to the byte." }));
    return box;
  }

  function fileLine(file) {
    const marks = Object.keys(bad).filter((word) => bad[word].has(file));
    return make("div", {}, hash(data.files[file][2]), " ", ...marks.map((word) => make("span", { class: "warn", text: word + " " })),
      make("span", { class: "mono", text: path(file) }));
  }

  // What a job read, under the job that made it.
  function sourcesOf(job) {
    const groups = new Map();
    job.in.forEach(([file, from]) => groups.set(from, (groups.get(from) || []).concat([file])));
    return some(make("div"), Array.from(groups), 8, ([from, files]) => {
      const lead = from < 0 ? make("span", { class: "quiet", text: "raw, made by no job:" })
        : make("button", { type: "button", class: "plain", text: "made by " + data.jobs[from].name, click: () => reveal(from) });
      return make("div", { class: "from" }, lead, some(make("div"), files, 4, (file) => fileLine(file)));
    });
  }

  function settingsOf(job) {
    const all = {};
    job.settings.forEach(([key, value]) => { all[key] = data.settings[value]; });
    return all;
  }

  function folded(title, text) {
    return make("details", {}, make("summary", { text: title }), make("pre", { tabindex: "0", text: text }));
  }

  const hidden = (n) => (n ? make("div", { class: "quiet", text: "and " + count(n, "file") + " that its card names" }) : null);

  function jobBody(index) {
    const job = data.jobs[index], settings = settingsOf(job), packages = data.packages[job.packages];
    const list = make("dl");
    const row = (name, ...what) => list.append(make("dt", { text: name }), make("dd", {}, ...what));
    row("Made", some(make("div"), job.out, 4, (file) => fileLine(file)),
      hidden(job.hidden[0]));
    if (job.in.length) row("From", sourcesOf(job), hidden(job.hidden[1]));
    row("Code", hash(job.code));
    if (settings.seed !== undefined) row("Seed", String(settings.seed));
    row("Settings", folded(Object.keys(settings).join(", ") || "none", JSON.stringify(settings, null, 1)));
    const versions = Object.entries(packages).map(([name, version]) => name + " " + version);
    row("Versions", folded("pins " + job.pins + ", " + count(versions.length, "package"), versions.join("\n")));
    if (Object.keys(job.facts).length) row("Reported", folded(Object.keys(job.facts).slice(0, 5).join(", "), JSON.stringify(job.facts, null, 1)));
    row("Ran", job.started.slice(0, 16).replace("T", " ") + " UTC, " + duration(job.wall) + ", processor " + duration(job.cpu) +
      ", " + memory(job.memory) + "; " + data.machines[job.machine]);
    row("Card", make("span", { class: "mono", text: job.card }));
    return list;
  }

  // A part that is built when it is opened.
  function lazy(summary, options, build) {
    const details = make("details", options, summary);
    let built = false;
    const fill = () => { if (!built) { built = true; build(details); } };
    details.addEventListener("toggle", () => { if (details.open) fill(); });
    details.fill = fill;
    return details;
  }

  function jobPart(index, alone) {
    const job = data.jobs[index], settings = settingsOf(job);
    const seed = settings.seed !== undefined ? ", seed " + settings.seed : "";
    const summary = make("summary", {}, make("span", { text: job.name }), make("span", { class: "quiet", text: seed + ", " + duration(job.wall) }));
    const part = lazy(summary, { class: "job" }, (details) => details.append(jobBody(index)));
    places.set(index, { part: part, summary: summary });
    if (alone) { part.open = true; part.fill(); }
    return part;
  }

  function stagePart(stage, jobs, used) {
    const [title, does] = data.stages[stage], first = data.jobs[jobs[0]];
    const made = data.files[first.out.find((file) => used.has(file)) ?? first.out[0]];
    const codes = new Set(jobs.map((i) => data.jobs[i].code));
    const wall = jobs.reduce((sum, i) => sum + data.jobs[i].wall, 0);
    const seeds = Array.from(new Set(jobs.map((i) => settingsOf(data.jobs[i]).seed).filter((seed) => seed !== undefined)));
    const facts = [
      count(jobs.length, "job"), duration(wall),
      "code " + first.code.slice(0, 8) + "…" + (codes.size > 1 ? " and " + (codes.size - 1) + " other" : ""),
      seeds.length ? (seeds.length > 1 ? "seeds " : "seed ") + seeds.slice(0, 6).join(", ") + (seeds.length > 6 ? ", …" : "") : "",
      jobs.length === 1 ? made[1] + " " + made[2].slice(0, 8) + "…" : "",
    ].filter(Boolean).join(" · ");
    const summary = make("summary", {}, make("b", { text: title }), does ? " " + does : "", make("br"), make("span", { class: "quiet", text: facts }));
    const part = lazy(summary, {}, (details) => some(details, jobs, JOBS, (i) => jobPart(i, jobs.length === 1)));
    jobs.forEach((i) => places.set(i, { stage: part }));
    const trouble = troubles(jobs).length > 0;
    return make("li", trouble ? { class: "bad" } : {}, part);
  }

  function reveal(index) {
    const stage = places.get(index).stage;
    if (stage) {
      stage.open = true;
      stage.fill();
      if (places.get(index).stage && stage.rest) stage.rest();  // it stands behind "Show more"
    }
    const place = places.get(index);
    body.querySelectorAll(".job.here").forEach((part) => part.classList.remove("here"));
    place.part.classList.add("here");
    place.part.open = true;
    place.part.fill();
    for (let up = place.part.parentElement; up && up !== body; up = up.parentElement) if (up.tagName === "DETAILS") up.open = true;
    place.summary.focus({ preventScroll: true });
    place.part.scrollIntoView({ block: "center" });
  }

  function rawPart(raw, number) {
    const summary = make("summary", {}, make("b", { text: "Raw files" }), make("br"),
      make("span", { class: "quiet", text: count(raw.all, "file") + ": " + raw.sets }));
    const part = lazy(summary, {}, (details) => {
      details.append(some(make("ul", { class: "rawlist" }), raw.listed, FILES, (file) => make("li", {}, fileLine(file))));
      if (raw.all > raw.listed.length) {
        const rest = count(raw.all - raw.listed.length, "more").replace(/s$/, "") + " are not embedded here; this prints all of them:";
        details.append(make("p", { text: rest }), command((number.why || "cairn why " + path(number.files[0])) + " --all"));
      }
    });
    return make("li", {}, part);
  }

  // Versions and machines: once, and how many jobs differ.
  function world(jobs) {
    const found = new Map(), machines = new Map();
    jobs.forEach((i) => {
      const machine = data.machines[data.jobs[i].machine];
      machines.set(machine, (machines.get(machine) || 0) + 1);
      Object.entries(data.packages[data.jobs[i].packages]).forEach(([name, version]) => {
        if (!found.has(name)) found.set(name, new Set());
        found.get(name).add(version);
      });
    });
    const text = Array.from(found).sort().map(([name, versions]) => name + " " + Array.from(versions).join(" and "));
    const differ = Array.from(found.values()).some((versions) => versions.size > 1);
    const cpu = jobs.reduce((sum, i) => sum + data.jobs[i].cpu, 0), wall = jobs.reduce((sum, i) => sum + data.jobs[i].wall, 0);
    const most = Math.max(...jobs.map((i) => data.jobs[i].memory));
    const ran = Array.from(machines).map(([name, n]) => name + (machines.size > 1 ? " (" + count(n, "job") + ")" : "")).join("; ");
    return make("div", {},
      make("h3", { text: "Environment" }), make("p", { text: text.join(", ") + "." }),
      differ ? make("p", { class: "warn", text: "Not all jobs ran with the same versions." }) : null,
      make("h3", { text: "Hardware" }), make("p", { text: ran + "." }),
      make("h3", { text: "Cost" }), make("p", { text: duration(wall) + " summed over jobs, " + duration(cpu) + " of processor time, " + memory(most) + " of memory in the largest job." }));
  }

  // --- the dialog ----------------------------------------------------------------------------------------------------
  function fill(number) {
    const jobs = chainOf(number), raw = broughtBy(jobs), stages = new Map();
    jobs.forEach((i) => {
      const stage = data.jobs[i].stage;
      if (!stages.has(stage)) stages.set(stage, []);
      stages.get(stage).push(i);
    });
    places = new Map();
    const used = new Set(number.files || []);
    jobs.forEach((i) => data.jobs[i].in.forEach(([file]) => used.add(file)));
    const list = make("ol", { class: "chain" });
    if (number.files) {
      list.append(make("li", {}, make("p", {}, number.shown ? make("b", { text: number.shown }) : "Read from", number.shown ? " stands in" : "",
        some(make("div"), number.files, 3, (file) => fileLine(file)))));
    }
    Array.from(stages).forEach(([stage, members]) => list.append(stagePart(stage, members, used)));
    if (number.files) list.append(rawPart(raw, number));
    if (stages.size === 1 && !number.files) list.querySelector("details").open = true;
    const unfold = make("button", { type: "button", text: "Unfold all steps", click: () => {
      list.querySelectorAll(":scope > li > details").forEach((part) => { part.open = true; part.fill(); });
      list.querySelectorAll("details.job").forEach((part) => { part.open = true; part.fill(); });
    } });
    const title = make("h2", { id: "why-title", tabindex: "-1", text: number.what });
    body.replaceChildren(title, number.shown ? make("p", { class: "value", text: number.shown }) : "",
      make("ul", { class: "about" }, ...number.notes.map((note) => make("li", { text: note }))),
      verdict(number, jobs, raw), number.why ? command(number.why) : "", number.rebuild ? command(number.rebuild) : "", list, unfold, world(jobs));
    return title;
  }

  function mark(hash) {
    try { history.replaceState(null, "", location.pathname + location.search + hash); } catch (error) { /* a reader that forbids it */ }
  }

  function show(key, from) {
    const number = data.numbers[key];
    if (!number) return false;
    opener = from || document.querySelector('a[href="#why=' + CSS.escape(key) + '"]') || document.querySelector("a.why");
    if (!from) opener.scrollIntoView({ block: "center", behavior: "instant" });
    const title = fill(number);
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    title.focus();
    mark("#why=" + key);
    return true;
  }

  const keyOf = (hash) => (hash.startsWith("#why=") ? decodeURIComponent(hash.slice(5)) : "");
  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest('a[href^="#why="]');
    if (link && !event.ctrlKey && !event.metaKey && show(keyOf(link.getAttribute("href")), link)) event.preventDefault();
  });
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => {
    mark("");
    body.replaceChildren();
    if (opener) opener.focus();
  });
  window.addEventListener("hashchange", () => show(keyOf(location.hash)));
  // Only after the browser went to the link's target: it takes the focus away.
  window.addEventListener("load", () => setTimeout(() => show(keyOf(location.hash)), 0));
})();
