"use strict";
// Words and tables, and when they are drawn anew.

const PAGE = 50, MOST_DECISIONS_SHOWN = 300;
const table = { key: "best", descending: false, page: 0 };
let live = null;

function choose(id) { run.chosen = run.chosen === id ? null : id; schedule(true); }

function showHead() {
  const data = run.data, of = data.run, best = data.incumbent;
  document.title = of.name + " – " + data.phase;
  say("name", own(of.name));
  const phase = byId("phase"); phase.className = "badge " + data.phase;
  say("phase", { running: "running", finished: "finished", killed: "killed or lost", simulated: "simulated" }[data.phase] || data.phase);
  say("about", [of.scheduler, of.backend, of.path].filter(Boolean).map((one) => own(one)).join(" · "));
  say("headline", best ? "Best " + own(of.metric) + " " + number(best.value) + ": trial " + best.trial + " at " + own(of.level) + " " + number(best.resource) : "No trial has reported a finite " + own(of.metric) + (data.phase === "running" ? " yet" : ""));
  const problems = byId("problems");
  problems.hidden = !of.problems.length;
  problems.replaceChildren(...of.problems.map((problem) => element("li", {}, problem)));
  const end = data.deadline || data.now || 1;
  byId("gone").style.width = Math.min(100, 100 * data.now / end) + "%";
  byId("closed-mark").hidden = !data.closed;
  if (data.closed) byId("closed-mark").style.left = "calc(" + Math.min(100, 100 * data.closed[0] / end) + "% - 3px)";
  const virtual = data.phase === "simulated" ? " of virtual time" : "";
  say("clock-text", seconds(data.now) + virtual + (data.deadline ? (data.phase === "running" ? ", " + seconds(Math.max(0, data.deadline - data.now)) + " left" : "") + " of " + seconds(data.deadline < 10 ? data.deadline : Math.round(data.deadline)) : "") +
    (data.closed ? "; admission closed at " + seconds(data.closed[0]) + (data.closed[1] ? ": " + own(data.closed[1]) : "") : "; admission was not closed" + (data.phase === "running" ? " yet" : "")));
  const held = new Set();
  if (data.phase === "running") for (const launch of run.launches.values()) if (launch[LAUNCH.end] === null) for (const [first, last] of launch[LAUNCH.devices]) for (let index = first; index <= last; index++) held.add(index);
  const tiles = [["Trials", run.trials.size + " (" + Object.entries(data.counts).map(([status, count]) => count + " " + status).join(", ") + ")"],
    ["Devices", data.devices.length ? data.devices.length + (hasNodes() ? " on " + data.nodes.length + " nodes" : "") + (data.phase === "running" ? ", " + held.size + " in use" : "") + (data.away ? ", " + data.away + " away" : "") : "not recorded"],
    ["Reports", data.totals.reports], ["Launches", data.totals.launches + ", " + counted(data.totals.resizes, "resize", "resizes")],
    ["Failures", data.totals.failures ? counted(data.totals.failures, "trial", "trials") + ", " + counted(data.totals.retries, "retry", "retries") : "none"], ["Decisions", data.totals.decisions]];
  byId("tiles").replaceChildren(...tiles.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  say("footer", "Made by hypersched " + of.version + " from the files of the run. This page loads nothing from the network.");
}

function showBest() {
  const data = run.data, best = data.best, at = byId("best-text"), parts = [];
  if (!data.incumbent) { at.replaceChildren(element("p", { class: "faint" }, "There is none yet.")); return; }
  const trial = run.trials.get(data.incumbent.trial);
  parts.push(element("p", {}, "Trial " + data.incumbent.trial + " reported " + own(data.run.metric) + " " + number(data.incumbent.value, 6) + " at " + own(data.run.level) + " " + number(data.incumbent.resource) + ", " + seconds(data.incumbent.time) + " after the start."));
  if (trial) parts.push(element("p", {}, "Configuration: " + configuration(trial)));
  if (best.next) parts.push(element("p", {}, "How sure: the best report of any other trial is " + number(best.next.value, 6) + " (trial " + best.next.trial + "), a difference of " + number(Math.abs(data.incumbent.value - best.next.value), 3) + ". The value is the best of " + data.totals.reports + " reports on the same validation data, so a test on other data is likely to be a little worse."));
  parts.push(...(best.published ? best.published.split("\n") : ["best/ holds nothing: the backend publishes no checkpoints, or none was written."]).map((line) => element("p", { class: "faint" }, line)));
  at.replaceChildren(...parts);
}

function columns() {
  const of = run.data.run;
  return [["trial", "trial", (trial) => trial.id], ["status", "status", status, "text"], ["best", "best " + own(of.metric), (trial) => trial.best && trial.best[0]], ["last", "last", (trial) => trial.last],
    ["resource", own(of.level), (trial) => trial.resource], ["devices", "devices", (trial) => trial.devices], ["most", "at most", (trial) => trial.most], ["launches", "launches", (trial) => trial.launches], ["cost", "launch cost (s)", (trial) => trial.cost],
    ...of.names.map((name, index) => ["config " + index, own(name), (trial) => trial.config[index], [...run.trials.values()].some((trial) => typeof trial.config[index] === "string") ? "text" : ""])];
}

function showTrials() {
  const shown = columns(), column = shown.find((one) => one[0] === table.key) || shown[0], get = column[2];
  let rows = [...run.trials.values()].filter(run.filter);
  const sign = (table.key === "best" && !run.data.run.minimize ? -1 : 1) * (table.descending ? -1 : 1);
  rows.sort((a, b) => { const x = get(a), y = get(b); if ((x === null) !== (y === null)) return x === null ? 1 : -1; return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y))) || a.id - b.id; });
  const pages = Math.max(1, Math.ceil(rows.length / PAGE));
  table.page = Math.max(0, Math.min(table.page, pages - 1));
  const at = byId("trials-table"), wanted = JSON.stringify([shown.map((one) => one[1]), table.key, table.descending]);
  if (at.dataset.head !== wanted) {
    at.dataset.head = wanted;
    at.tHead.replaceChildren(element("tr", {}, ...shown.map(([key, name, , kind]) => element("th", { scope: "col", class: kind || "", "aria-sort": key === table.key ? (table.descending ? "descending" : "ascending") : "none" },
      element("button", { type: "button", click: () => { if (table.key === key) table.descending = !table.descending; else { table.key = key; table.descending = false; } table.page = 0; showTrials(); } }, clip(name, 30) + (key === table.key ? (table.descending ? " ↓" : " ↑") : ""))))));
  }
  at.tBodies[0].replaceChildren(...rows.slice(table.page * PAGE, (table.page + 1) * PAGE).map((trial) => element("tr", { class: trial.id === run.chosen ? "chosen" : "" },
    ...shown.map(([key, , value, kind]) => key === "trial" ? element("td", {}, element("button", { type: "button", "aria-pressed": String(trial.id === run.chosen), click: () => choose(trial.id), title: "show this trial in the charts" }, trial.id)) : element("td", { class: kind || "", title: kind ? own(value(trial)) : "" }, own(number(value(trial))))))));
  say("trials-page", rows.length ? (table.page * PAGE + 1) + "–" + Math.min(rows.length, (table.page + 1) * PAGE) + " of " + counted(rows.length, "trial", "trials") : "no trial");
  byId("trials-before").disabled = table.page === 0; byId("trials-after").disabled = table.page >= pages - 1;
  const example = run.data.run.names.find((name) => /^[\w.-]+$/.test(name) && [...run.trials.values()].some((trial) => typeof trial.config[run.data.run.names.indexOf(name)] === "number"));
  say("filter-help", run.filter.problem ? run.filter.problem + "." : "Words that must all hold, such as status:paused best" + (run.data.run.minimize ? "<" : ">") + "0.5 devices>1" + (example ? " " + example + "<0.01" : "") + ". The charts show the same trials.");
}

function noDecisions() {
  if (!run.data.totals.reports) return "Nothing was decided" + (run.data.phase === "running" ? " yet" : "") + ": no trial has reported" + (run.data.run.missing ? " the metric." : ".");
  return run.data.run.scheduler.startsWith("HyperSched") ? "Nothing was decided" + (run.data.phase === "running" ? " yet." : ".") : "The scheduler has given no reasons: HyperSched does, others need not.";
}

function showDecisions() {
  const words = byId("decisions-filter").value.toLowerCase().split(/\s+/).filter(Boolean), at = byId("decisions-table"), found = [];
  for (let index = run.decisions.length - 1; index >= 0; index--) {
    const [time, what, trial, reason, numbers] = run.decisions[index];
    if (run.chosen !== null && trial !== null && trial !== run.chosen) continue;
    const text = (what + " trial " + trial + " " + reason).toLowerCase();
    if (words.every((word) => text.includes(word))) found.push([time, what, trial, reason, numbers]);
  }
  if (!at.tHead.rows.length) at.tHead.append(element("tr", {}, ...["time", "decision", "trial", "reason", "numbers"].map((name, index) => element("th", { scope: "col", class: index ? "text" : "" }, name))));
  at.tBodies[0].replaceChildren(...found.slice(0, MOST_DECISIONS_SHOWN).map(([time, what, trial, reason, numbers]) => element("tr", {}, element("td", {}, seconds(time)), element("td", { class: "text" }, what === "close" ? "close admission" : what), element("td", { class: "text" }, trial === null ? "–" : trial), element("td", { class: "wrap" }, own(reason || "–")), element("td", { class: "wrap" }, Object.entries(numbers || {}).map(([name, value]) => name + " " + number(value, 4)).join(", ")))));
  const all = run.data.totals.decisions;
  say("decisions-note", all ? Math.min(found.length, MOST_DECISIONS_SHOWN) + " of " + counted(all, "decision", "decisions") + ", the last one first" + (run.chosen !== null ? ", of trial " + run.chosen : "") : noDecisions());
}

function showFailures() {
  const groups = new Map(), at = byId("failures-list"), open = new Set([...at.querySelectorAll("details[open]")].map((one) => one.dataset.key));
  for (const failure of run.data.failures) {
    const last = failure.lines.length ? failure.lines[failure.lines.length - 1] : "exit code " + failure.code + (failure.code === 0 ? ", without a report" : ""), key = last.replace(/0x[0-9a-f]+|\d+/gi, "#");
    if (!groups.has(key)) groups.set(key, { last, failures: [] });
    groups.get(key).failures.push(failure);
  }
  if (!groups.size) { at.replaceChildren(element("p", { class: "faint" }, "None.")); return; }
  at.replaceChildren(...[...groups].sort((a, b) => b[1].failures.length - a[1].failures.length).slice(0, 30).map(([key, group]) => {
    const first = group.failures[0], given = group.failures.filter((failure) => failure.final).length;
    const made = element("details", {}, element("summary", {}, element("strong", {}, group.failures.length + (group.failures.length > 1 ? " trials" : " trial")), ", " + given + " given up: " + own(group.last, 160)),
      element("p", { class: "faint" }, "Trials " + group.failures.slice(0, 30).map((failure) => failure.trial).join(", ") + (group.failures.length > 30 ? "…" : "") + ". The last lines of trial " + first.trial + ", launch " + first.launch + " (exit code " + first.code + ", " + seconds(first.time) + (first.log ? ", " + own(first.log) : "") + "):"),
      element("pre", { tabindex: "0" }, first.lines.length ? first.lines.map((line) => own(line.replace(/\t/g, "    "))).join("\n") : "no log"));
    made.dataset.key = key; made.open = open.has(key);
    return made;
  }));
}

const CHARTS = [["metric-chart", drawMetric], ["devices-chart", drawDevices], ["rungs-chart", drawRungs], ["launches-chart", drawLaunches], ["parallel-chart", drawParallel]]
  .map(([id, draw]) => ({ id, draw, isOld: true, isSeen: true, took: 0, at: -1e9 }));
let timer = null;

function showWords() { showHead(); showBest(); showTrials(); showDecisions(); showFailures(); }

function drawOne(chart) {
  const begun = performance.now();
  chart.draw();
  chart.at = performance.now(); chart.took = chart.at - begun; chart.isOld = false;
  const drawn = CHARTS.filter((one) => one.at > 0).length;
  if (drawn === CHARTS.length) document.body.dataset.drawn = String(Number(document.body.dataset.drawn || 0) + 1);
}

function showAll() {
  showWords();
  for (const chart of CHARTS) drawOne(chart);
  document.body.dataset.seq = String(run.data.seq);
}

// Words are new at once. Of the charts, those in sight are drawn, each at most so often that time is left for others.
function schedule(now) {
  if (!run.data) return;
  showWords();
  document.body.dataset.seq = String(run.data.seq);
  for (const chart of CHARTS) { chart.isOld = true; if (now) chart.at = Math.min(chart.at, 1); }
  pump();
}

function pump() {
  if (timer !== null || !run.data) return;
  const old = CHARTS.filter((chart) => chart.isOld && (chart.isSeen || chart.at < 0));
  if (!old.length) return;
  const due = (chart) => chart.at + Math.max(400, 2 * chart.took);
  const next = old.reduce((first, chart) => (due(chart) < due(first) ? chart : first));
  timer = setTimeout(() => { timer = null; drawOne(next); pump(); }, Math.max(0, due(next) - performance.now()));
}

async function follow() {
  let wait = 400;
  try {
    const since = run.data ? run.data.seq : 0, generation = run.data ? run.data.generation : 0;
    const answer = await fetch("data?since=" + since + "&generation=" + generation, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    const changed = take(await answer.json());
    say("freshness", "live");
    if (changed) schedule(false); else showHead();
    if (run.data.phase !== "running") wait = 1000;
  } catch (error) {
    say("freshness", "no longer live: hypersched watch has ended");
    wait = 2000;
  }
  setTimeout(follow, document.hidden ? 5000 : wait);
}

function begin() {
  const dark = window.matchMedia("(prefers-color-scheme: dark)"), root = document.documentElement;
  root.dataset.theme = dark.matches ? "dark" : "light";
  dark.addEventListener("change", () => { root.dataset.theme = dark.matches ? "dark" : "light"; if (run.data) showAll(); });
  byId("theme").addEventListener("click", () => { root.dataset.theme = theme() === "dark" ? "light" : "dark"; if (run.data) showAll(); });
  byId("metric-x").addEventListener("change", () => schedule(true));
  byId("devices-rows").addEventListener("change", (event) => { event.target.dataset.chosen = event.target.value; schedule(true); });
  byId("filter").addEventListener("input", () => { run.filter = makeFilter(byId("filter").value); table.page = 0; if (run.data) showTrials(); clearTimeout(begin.later); begin.later = setTimeout(() => schedule(true), 150); });
  byId("decisions-filter").addEventListener("input", () => { if (run.data) showDecisions(); });
  byId("trials-before").addEventListener("click", () => { table.page -= 1; if (run.data) showTrials(); });
  byId("trials-after").addEventListener("click", () => { table.page += 1; if (run.data) showTrials(); });
  let wide = narrow();
  window.addEventListener("resize", () => { if (narrow() !== wide) { wide = narrow(); if (run.data) showAll(); } });
  const sight = new IntersectionObserver((entries) => { for (const entry of entries) CHARTS.find((chart) => chart.id === entry.target.id).isSeen = entry.isIntersecting; pump(); }, { rootMargin: "300px" });
  for (const chart of CHARTS) sight.observe(byId(chart.id));
  const embedded = JSON.parse(byId("run-data").textContent);
  live = embedded === null;
  if (live) follow(); else { take(embedded); showAll(); }
}

begin();
