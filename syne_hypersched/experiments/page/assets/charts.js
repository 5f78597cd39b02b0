"use strict";
// The charts. Each function draws one of them anew from the store.

// Colours that are told apart with the common forms of colour blindness (Okabe and Ito).
const COLOURS = { light: ["#0072B2", "#C2500A", "#008A63", "#A9507F", "#9A6A00", "#3A8FBF"],
                  dark: ["#56A8E8", "#F08A4B", "#3CC79A", "#E39AC4", "#E6B84A", "#8FD0F5"] };
const MOST_BARS = 2500, MOST_CURVES = 400, MOST_LINES = 1200, MOST_ROWS = 60;

function theme() { return document.documentElement.dataset.theme === "dark" ? "dark" : "light"; }
function css(name) { return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim(); }
function narrow() { return window.innerWidth < 600; }

function layout(extra) {
  const axis = { gridcolor: css("grid"), zerolinecolor: css("grid"), linecolor: css("line"), tickcolor: css("line"), automargin: true };
  const made = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: css("faint"), size: narrow() ? 11 : 12.5 },
    margin: { l: narrow() ? 40 : 60, r: narrow() ? 8 : 20, t: 24, b: 44 }, showlegend: false, hovermode: "closest", uirevision: "stay",
    hoverlabel: { bgcolor: css("panel"), bordercolor: css("faint"), font: { color: css("ink"), size: 12.5 }, align: "left", namelength: 0 }, ...extra };
  made.xaxis = { ...axis, ...made.xaxis }; made.yaxis = { ...axis, ...made.yaxis };
  if (made.yaxis.title) made.yaxis.title = { standoff: 8, ...made.yaxis.title };  // else a title lies on long ticks such as 0.85
  return made;
}

function draw(id, traces, extra, name) {
  const at = byId(id);
  at.classList.remove("empty");
  if (!at.classList.contains("js-plotly-plot")) at.textContent = "";
  at.setAttribute("role", "img"); at.setAttribute("aria-label", name);
  const first = !at.data;
  Plotly.react(at, traces, layout(extra), { displayModeBar: false, responsive: true, scrollZoom: false });
  if (first) at.on("plotly_click", (event) => { const point = event.points[0]; if (point && point.customdata !== undefined && point.customdata !== null) choose(Number(point.customdata)); });
}

function nothing(id, text) {
  const at = byId(id);
  if (at.data) Plotly.purge(at);
  at.removeAttribute("role"); at.removeAttribute("aria-label");
  at.classList.add("empty"); at.textContent = text;
}

// The trials that matter, each with its colour: those that held most devices and, among equals, became best.
function notable() {
  const found = ranked().filter((trial) => trial.best).map((trial, rank) => [trial, rank]);
  found.sort((a, b) => (b[0].most || 0) - (a[0].most || 0) || a[1] - b[1]);
  const colours = new Map(found.slice(0, 6).sort((a, b) => a[1] - b[1]).map(([trial], index) => [trial.id, COLOURS[theme()][index]]));
  if (run.chosen !== null) colours.set(run.chosen, colours.get(run.chosen) || css("ink"));
  return colours;
}

function limits(values) {
  if (!values.length) return undefined;
  values = Float64Array.from(values).sort();
  let low = values[0], high = values[values.length - 1];
  const first = values[values.length >> 2], third = values[(3 * values.length) >> 2];
  const reach = third - first || (high - low) / 6 || 1, minimize = run.data.run.minimize;
  low = Math.max(low, first - (minimize ? 6 : 2) * reach); high = Math.min(high, third + (minimize ? 2 : 6) * reach);
  const margin = 0.06 * (high - low) || 0.5;
  return [low - margin, high + margin];
}

// The deadline is in the picture while the run may reach it, and unless that would leave most of the picture empty.
function withDeadline() { const deadline = run.data.deadline; return deadline !== null && (run.data.phase === "running" ? deadline < 20 * run.data.now : deadline < 4 * run.data.now); }
function lastMoment() { return Math.max(run.data.now, withDeadline() ? run.data.deadline : 0, 1e-3); }

function marks(withText) {
  const shapes = [], annotations = [], closed = run.data.closed, deadline = withDeadline() ? run.data.deadline : null;
  const line = (x, colour, dash) => shapes.push({ type: "line", xref: "x", yref: "paper", x0: x, x1: x, y0: 0, y1: 1, line: { color: colour, width: 1.6, dash }, layer: "below" });
  const words = (x, text, colour, anchor) => withText && annotations.push({ xref: "x", yref: "paper", x, y: 1, yanchor: "bottom", xanchor: anchor, text, showarrow: false, font: { size: 11, color: colour } });
  const end = deadline || lastMoment();
  if (closed) {
    shapes.push({ type: "rect", xref: "x", yref: "paper", x0: closed[0], x1: end, y0: 0, y1: 1, fillcolor: css("shade"), line: { width: 0 }, layer: "below" });
    line(closed[0], css("faint"), "dash");
    words(closed[0], "admission closes", css("faint"), closed[0] > 0.6 * end ? "right" : "left");
  }
  if (deadline) {
    line(deadline, css("red"), "solid");
    if (closed && deadline - closed[0] < (narrow() ? 0.5 : 0.2) * end) { annotations.pop(); words(deadline, "admission closes, deadline", css("faint"), "right"); }
    else words(deadline, "deadline", css("red"), "right");
  }
  return { shapes, annotations };
}

// When no trial trains: nobody holds devices ("waiting"), or those who do still import their libraries.
function bands() {
  const steps = [], end = run.data.now;
  for (const launch of run.launches.values()) {
    const until = launch[LAUNCH.end] === null ? end : launch[LAUNCH.end];
    steps.push([launch[LAUNCH.start], 1, 0], [until, -1, 0]);
    if (launch[LAUNCH.train] !== null) steps.push([launch[LAUNCH.train], 0, 1], [Math.max(until, launch[LAUNCH.train]), 0, -1]);
  }
  steps.sort((a, b) => a[0] - b[0]);
  const found = [];
  let held = 0, training = 0, at = 0;
  for (const [time, holding, trains] of [...steps, [end, 0, 0]]) {
    if (time - at > 0.004 * end && training === 0) found.push([at, time, held ? "importing" : "waiting"]);
    if (time > at) at = time;
    held += holding; training += trains;
  }
  return run.launches.size ? found : [];
}

function curves(trials, axis, colour, solid) {
  const made = { x: [], y: [], text: [], customdata: [] }, gaps = { x: [], y: [] };
  for (const trial of trials) {
    let before = null;
    for (const point of trial.points) {
      if (point[3] === null) continue;
      const x = axis === "time" ? point[0] : axis === "trained" ? point[1] : point[2];
      if (x === null) continue;
      if (before && before[4] !== point[4] && axis === "time") {
        const last = made.x.length - 1;
        gaps.x.push(made.x[last], x, null); gaps.y.push(made.y[last], point[3], null);
        made.x.push(null); made.y.push(null); made.text.push(""); made.customdata.push(trial.id);
      }
      made.x.push(x); made.y.push(point[3]); made.customdata.push(trial.id);
      made.text.push("trial " + trial.id + " at " + label(own(run.data.run.level, 24)) + " " + number(point[2]) + "<br>" + tip(own(run.data.run.metric, 40) + " " + number(point[3]), 90) + "<br>" + seconds(point[0]) + ", trained " + seconds(point[1]) + "<br>" + tip(clip(configuration(trial, 4), 90), 90));
      before = point;
    }
    made.x.push(null); made.y.push(null); made.text.push(""); made.customdata.push(trial.id);
  }
  const traces = [{ type: "scatter", mode: solid ? "lines+markers" : "lines+markers", ...made, hoverinfo: "text", line: { color: colour, width: solid ? 2.4 : 1 }, marker: { color: colour, size: solid ? 5 : 3 }, opacity: solid ? 1 : 0.65 }];
  if (gaps.x.length) traces.push({ type: "scatter", mode: "lines", ...gaps, hoverinfo: "skip", line: { color: colour, width: solid ? 2 : 1, dash: "dot" }, opacity: solid ? 1 : 0.5 });
  return traces;
}

function envelope(trials, axis) {
  const points = [];
  for (const trial of trials) for (const point of trial.points) {
    const x = axis === "time" ? point[0] : axis === "trained" ? point[1] : point[2];
    if (x !== null && point[3] !== null) points.push([x, point[3]]);
  }
  points.sort((a, b) => a[0] - b[0]);
  const bins = Math.max(1, Math.min(80, Math.floor(points.length / 10))), size = Math.ceil(points.length / bins);
  const x = [], rows = [[], [], []];
  for (let begin = 0; begin < points.length; begin += size) {
    const part = points.slice(begin, begin + size), values = part.map((point) => point[1]).sort((a, b) => a - b);
    x.push(part[part.length >> 1][0]);
    [0.1, 0.5, 0.9].forEach((share, index) => rows[index].push(values[Math.min(values.length - 1, Math.floor(share * values.length))]));
  }
  const line = (y, extra) => ({ type: "scatter", mode: "lines", x, y, line: { color: css("grey"), width: 0 }, hoverinfo: "skip", ...extra });
  return [line(rows[0]), line(rows[2], { fill: "tonexty", fillcolor: css("shade") }),
    line(rows[1], { line: { color: css("grey"), width: 2 }, hoverinfo: "text", text: x.map((at, index) => tip("half of the reports around here are below " + number(rows[1][index]) + ",", 90) + "<br>" + tip("four in five are from " + number(rows[0][index]) + " to " + number(rows[2][index]), 90)) })];
}

function noReport() {
  if (run.data.totals.reports) return "No trial with a report passes the filter.";
  if (run.data.run.missing) return "Nothing to show: " + run.data.run.missing + ".";
  if (run.data.phase === "running") return run.launches.size ? "No report yet: the trials import their libraries, or train their first level." : "No trial holds devices yet.";
  return run.data.phase === "killed" ? "No report: the tuner was killed before a trial has reported." : "No report: the run has ended without one" + (run.data.totals.failures ? ", see the failures below." : ".");
}

function drawMetric() {
  const axis = byId("metric-x").value, colours = notable(), metric = run.data.run.metric;
  const trials = [...run.trials.values()].filter((trial) => trial.points.length && run.filter(trial));
  if (!trials.length) {
    say("metric-note", "");
    return nothing("metric-chart", noReport());
  }
  const others = trials.filter((trial) => !colours.has(trial.id)), many = others.length > MOST_CURVES;
  const traces = many ? envelope(others, axis) : curves(others, axis, css("grey"), false);
  for (const [id, colour] of colours) {
    const trial = run.trials.get(id);
    if (trial && run.filter(trial)) traces.push(...curves([trial], axis, colour, true));
  }
  const best = run.data.incumbent, { shapes, annotations } = axis === "time" ? marks(true) : { shapes: [], annotations: [] };
  if (axis === "time" && run.data.history.length) {
    const history = [...run.data.history, [run.data.now, run.data.history[run.data.history.length - 1][1]]];
    traces.push({ type: "scatter", mode: "lines", x: history.map((step) => step[0]), y: history.map((step) => step[1]), line: { shape: "hv", color: css("ink"), width: 1.3 }, opacity: 0.7, hoverinfo: "skip" });
    if (best) traces.push({ type: "scatter", mode: "markers", x: [best.time], y: [best.value], customdata: [best.trial], marker: { symbol: "star", size: 15, color: css("ink"), line: { color: css("panel"), width: 1.5 } }, hoverinfo: "text", text: ["best: trial " + best.trial + ", " + label(own(metric)) + " " + number(best.value)] });
  }
  if (axis === "time") for (const [from, to, what] of bands()) {
    shapes.push({ type: "rect", xref: "x", yref: "paper", x0: from, x1: to, y0: 0, y1: 1, layer: "below", line: { width: 0 }, fillcolor: css(what === "importing" ? "import" : "grey"), opacity: 0.18 });
    if (to - from > (narrow() ? 0.2 : 0.06) * lastMoment()) annotations.push({ xref: "x", yref: "paper", x: (from + to) / 2, y: 0.02, yanchor: "bottom", text: what, showarrow: false, font: { size: 11, color: css("faint") } });
  }
  for (const [id, colour] of colours) {
    const trial = run.trials.get(id), point = trial && run.filter(trial) && trial.points.filter((one) => one[3] !== null).pop();
    const x = point && (axis === "time" ? point[0] : axis === "trained" ? point[1] : point[2]);
    if (point && x !== null) annotations.push({ x, y: point[3], text: "<b>" + id + "</b>", showarrow: false, xanchor: "left", xshift: 6, font: { color: colour, size: 12 }, bgcolor: css("panel"), opacity: 0.9 });
  }
  const values = trials.flatMap((trial) => trial.points.map((point) => point[3])).filter((value) => value !== null);
  const titles = { time: "seconds since the tuning started, by the clock of the worker", trained: "seconds that the trial has trained", level: label(own(run.data.run.level, 40)) };
  const end = lastMoment() * 1.03;
  draw("metric-chart", traces, { height: narrow() ? 320 : 420, shapes, annotations, yaxis: { title: { text: label(own(metric, 40)) }, range: limits(values) },
    xaxis: { title: { text: narrow() ? (axis === "time" ? "seconds" : titles[axis]) : titles[axis] }, ...(axis === "time" ? { range: [0, end] } : { rangemode: "tozero" }) }, uirevision: axis },
    own(metric) + " of each trial over " + titles[axis]);
  say("metric-note", (many ? "Grey band: four in five reports of the " + others.length + " other trials. " : others.length ? "Grey: " + others.length + " other trial" + (others.length > 1 ? "s. " : ". ") : "") + "Colours: the trials that held most devices or became best. Dotted: between two launches. Thin line: best so far. A click on a point chooses its trial.");
}

function pieces(launch) {
  const end = launch[LAUNCH.end] === null ? run.data.now : launch[LAUNCH.end], drain = launch[LAUNCH.drain] === null ? end : Math.min(end, launch[LAUNCH.drain]);
  const train = Math.min(drain, launch[LAUNCH.train] === null ? (launch[LAUNCH.end] === null || launch[LAUNCH.how] !== "completed" ? drain : launch[LAUNCH.start]) : launch[LAUNCH.train]);
  return [["import", launch[LAUNCH.start], train], ["train", train, drain], ["drain", drain, end]].filter((piece) => piece[2] - piece[1] > 1e-9);
}

function tellLaunch(launch) {
  const devices = launch[LAUNCH.devices].reduce((sum, pair) => sum + pair[1] - pair[0] + 1, 0), trial = run.trials.get(launch[LAUNCH.trial]);
  const lines = ["<b>trial " + launch[LAUNCH.trial] + " ×" + devices + "</b>, launch " + launch[LAUNCH.launch] + ":" + (narrow() ? "<br>" : " ") + tip(clip(namesOf(indicesOf(launch)), 90), 90),
    seconds(launch[LAUNCH.start]) + " – " + (launch[LAUNCH.end] === null ? "now" : seconds(launch[LAUNCH.end])) + (launch[LAUNCH.cost] === null ? "" : ", launch cost " + seconds(launch[LAUNCH.cost]))];
  if (launch[LAUNCH.how]) lines.push(tip("ended: " + launch[LAUNCH.how] + (launch[LAUNCH.reason] ? ", " + own(launch[LAUNCH.reason], 60) : ""), 90));
  else if (launch[LAUNCH.drain] !== null) lines.push(tip("asked to checkpoint and exit: " + own(launch[LAUNCH.reason], 60), 100));
  if (launch[LAUNCH.why]) lines.push(tip(launch[LAUNCH.why], 70));
  if (trial) lines.push(tip(clip(configuration(trial, 4), 90), 90));
  return lines.join("<br>");
}

// Lines of a text in the box of a hover, which a narrow screen must hold.
function tip(text, most) { return wrap(text, narrow() ? 38 : most).map(label).join("<br>"); }

function wrap(text, most) {
  const lines = [""];
  for (const word of String(text).slice(0, 400).split(" ")) {
    if (lines[lines.length - 1].length + word.length > most) lines.push("");
    lines[lines.length - 1] += (lines[lines.length - 1] ? " " : "") + clip(word, most);
  }
  return lines.map((line) => own(line));
}

function fill(id, colours) {
  if (colours.has(id)) return colours.get(id);
  const shades = theme() === "dark" ? ["#4b5561", "#5a6573", "#6a7685"] : ["#aab3bd", "#bac2cb", "#9aa4b0"];
  return shades[id % 3];
}

function drawRungs() {
  const rungs = run.data.rungs;
  if (!rungs.length) { say("rungs-note", ""); return nothing("rungs-chart", run.trials.size ? "The scheduler has not stored its rungs, or no trial has reached one." : "No trial has reported yet."); }
  const inRange = limits(rungs.flatMap((rung) => rung.values.map((value) => value[1])));
  const traces = [{ type: "box", x: rungs.map((_, index) => index), q1: [], median: [], q3: [], lowerfence: [], upperfence: [], fillcolor: css("shade"), line: { color: css("grey"), width: 1.2 }, hoverinfo: "skip", width: 0.55 }];
  for (const rung of rungs) {
    const parts = rung.quartiles || (rung.range ? [rung.range[0], rung.range[0], rung.range[0]] : [null, null, null]);
    traces[0].q1.push(parts[0]); traces[0].median.push(parts[1]); traces[0].q3.push(parts[2]);
    traces[0].lowerfence.push(rung.range ? rung.range[0] : null); traces[0].upperfence.push(rung.range ? rung.range[1] : null);
  }
  for (const further of [false, true]) {
    const made = { x: [], y: [], text: [], customdata: [] };
    rungs.forEach((rung, index) => rung.values.forEach(([id, value, went], place) => {
      if (went !== further) return;
      made.x.push(index + ((place * 0.618034) % 1 - 0.5) * 0.42); made.y.push(value); made.customdata.push(id);
      made.text.push("trial " + id + " at level " + number(rung.level) + ": " + number(value) + (went ? ", went on" : ", has not gone on"));
    }));
    traces.push({ type: "scatter", mode: "markers", ...made, hoverinfo: "text", marker: { size: 5.5, color: further ? css("accent") : css("grey"), opacity: 0.85, symbol: further ? "circle" : "circle-open" } });
  }
  draw("rungs-chart", traces, { height: 330, yaxis: { range: inRange, title: { text: label(own(run.data.run.metric, 30)) } },
    xaxis: { title: { text: "rung (" + label(own(run.data.run.level, 30)) + ")" }, zeroline: false, tickvals: rungs.map((_, index) => index), tickangle: 0, ticktext: rungs.map((rung) => number(rung.level) + "<br>" + rung.count + (narrow() ? "<br>→ " : " → ") + rung.further), range: [-0.6, rungs.length - 0.4] } }, "Metric of the trials at each rung");
  say("rungs-note", "Below each level: how many trials have reached it → how many have gone further. Filled: went on.");
}

function drawLaunches() {
  let known = [...run.launches.values()].filter((launch) => launch[LAUNCH.cost] !== null);
  const total = run.data.totals;
  if (!known.length) { say("launches-note", counted(total.launches, "launch", "launches") + ", the cost of none is known yet."); return nothing("launches-chart", "The cost of a launch is known once trials on as many devices have reported twice."); }
  const costs = known.map((launch) => launch[LAUNCH.cost]).sort((a, b) => a - b), sum = costs.reduce((a, b) => a + b, 0);
  const step = Math.ceil(known.length / 2000);
  const shown = known.filter((_, index) => index % step === 0);
  const failed = (launch) => ["failed", "stalled", "lost"].includes(launch[LAUNCH.how]);
  const count = (launch) => launch[LAUNCH.devices].reduce((all, pair) => all + pair[1] - pair[0] + 1, 0);
  const trace = (items, colour, symbol) => ({ type: "scatter", mode: "markers", x: items.map((launch) => launch[LAUNCH.start]), y: items.map((launch) => launch[LAUNCH.cost]), customdata: items.map((launch) => launch[LAUNCH.trial]), text: items.map(tellLaunch), hoverinfo: "text", marker: { color: colour, symbol, size: items.map((launch) => 5 + 3 * Math.sqrt(count(launch) - 1)), opacity: 0.8 } });
  draw("launches-chart", [trace(shown.filter((launch) => !failed(launch)), css("accent"), "circle"), trace(shown.filter(failed), css("red"), "x")],
    { height: 330, shapes: marks(false).shapes, xaxis: { title: { text: narrow() ? "seconds" : "seconds since the tuning started" }, range: [0, lastMoment() * 1.03] }, yaxis: { title: { text: "cost (s)" }, rangemode: "tozero" } }, "Cost of each launch over time");
  say("launches-note", counted(total.launches, "launch", "launches") + ", " + counted(total.resizes, "resize", "resizes") + ", " + counted(total.retries, "retry", "retries") + ". A launch cost " + seconds(costs[costs.length >> 1]) + " in the median, all of them " + seconds(sum) + ": from the signal to the first report, less the training in between. Crosses: failed." + (step > 1 ? " One in " + step + " is shown." : ""));
}

// Names of neighbouring axes stand in rows of their own if there is no room beside each other; the first name begins at
// its axis and the last one ends there, so that each may reach two thirds of the way to the next one in its row.
function titlePlaces(gaps) {
  const gap = (byId("parallel-chart").clientWidth - 24) / gaps, rows = Math.min(3, Math.max(1, Math.ceil(130 / gap)), gaps + 1);
  return { rows, letters: Math.max(5, Math.min(20, Math.floor((rows * gap - 8) / (gaps <= rows ? 2 : 1.5) / 7.5))) };
}

function drawParallel() {
  const names = run.data.run.names, trials = ranked().filter((trial) => trial.best && run.filter(trial));
  const axes = names.map((name, index) => scale(name, trials.map((trial) => trial.config[index]))).filter(Boolean);
  if (!trials.length || !axes.length) { say("parallel-note", ""); return nothing("parallel-chart", trials.length ? "Trials with a finite metric do not differ in their configurations." : "No trial with a configuration and a finite metric to show."); }
  const most = narrow() ? 4 : 12, chosen = axes.slice(0, most), best = trials.map((trial) => trial.best[0]), step = Math.max(1, (trials.length - 300) / (MOST_LINES - 300));
  const kept = trials.length <= MOST_LINES ? trials : trials.filter((_, rank) => rank < 300 || Math.floor((rank - 300) / step) !== Math.floor((rank - 301) / step));
  const within = limits(best), shown_best = best.filter((value) => value >= within[0] && value <= within[1]);
  const range = [Math.min(...shown_best), Math.max(...shown_best)], last = { title: run.data.run.metric, place: (value) => Math.max(0, Math.min(1, (value - range[0]) / (range[1] - range[0] || 1))), ticks: [[0, number(range[0], 3)], [1, number(range[1], 3)]] };
  const bins = theme() === "dark" ? ["#3b4450", "#46566a", "#4c6f93", "#5590c4", "#6cb6ff", "#ffd166"] : ["#d5dae0", "#bccad8", "#93b3cf", "#5e95c2", "#1b6fb0", "#c2500a"];
  const traces = bins.map((colour, index) => ({ type: "scatter", mode: "lines", x: [], y: [], text: [], customdata: [], hoverinfo: "text", line: { color: colour, width: index === bins.length - 1 ? 2.2 : 1 }, opacity: index === bins.length - 1 ? 1 : 0.7 }));
  const rank = new Map(trials.map((trial, index) => [trial.id, index]));
  const add = (trace, trial) => {
    const text = "trial " + trial.id + ": " + label(own(run.data.run.metric)) + " " + number(trial.best[0]) + "<br>" + tip(configuration(trial), 70);
    chosen.forEach((axis, index) => { const value = trial.config[names.indexOf(axis.name)]; trace.x.push(index); trace.y.push(axis.place(value)); trace.text.push(text); trace.customdata.push(trial.id); });
    trace.x.push(chosen.length, null); trace.y.push(last.place(trial.best[0]), null); trace.text.push(text, ""); trace.customdata.push(trial.id, null);
  };
  for (const trial of [...kept].reverse()) {
    const place = rank.get(trial.id), share = place / trials.length;
    add(traces[place < 5 ? 5 : share < 0.05 ? 4 : share < 0.15 ? 3 : share < 0.35 ? 2 : share < 0.65 ? 1 : 0], trial);
  }
  const shown = run.chosen !== null && trials.find((trial) => trial.id === run.chosen);
  if (shown) { traces.push({ ...traces[0], x: [], y: [], text: [], customdata: [], line: { color: css("ink"), width: 3 } }); add(traces[traces.length - 1], shown); }
  const annotations = [], shapes = [], places = titlePlaces(chosen.length);
  [...chosen, last].forEach((axis, index) => {
    shapes.push({ type: "line", x0: index, x1: index, y0: 0, y1: 1, line: { color: css("faint"), width: 1.2 } });
    annotations.push({ x: index, y: 1.1, yshift: 15 * (index % places.rows), text: "<b>" + label(own(axis.title, places.letters)) + "</b>", showarrow: false, yanchor: "bottom", xanchor: index === 0 ? "left" : index === chosen.length ? "right" : "center", font: { color: css("ink") } });
    axis.ticks.forEach(([y, text]) => annotations.push({ x: index, y, text: label(own(text, narrow() ? 8 : 16)), showarrow: false, font: { size: 10.5 }, bgcolor: css("panel"), opacity: 0.9, ...(index === chosen.length ? { xanchor: "right", xshift: -4, yanchor: y === 0 ? "top" : "bottom", yshift: y === 0 ? -7 : 7 } : { xanchor: "left", xshift: 4 }) }));
  });
  draw("parallel-chart", traces, { height: 360, shapes, annotations, margin: { l: 12, r: 12, t: 25 + 15 * places.rows, b: 28 }, xaxis: { visible: false, range: [-0.05, chosen.length + 0.05] }, yaxis: { visible: false, range: [-0.06, 1.12] } }, "Configurations and metric of the trials as lines");
  say("parallel-note", "Orange: the five best trials; the darker, the better." .replace("darker", theme() === "dark" ? "brighter" : "darker").replace("Orange", theme() === "dark" ? "Yellow" : "Orange") + (kept.length < trials.length ? " " + kept.length + " of " + trials.length + " trials are drawn, the 300 best among them." : "") + (axes.length > most ? " " + (axes.length - most) + " more hyperparameters are in the table." : ""));
}

function scale(name, values) {
  const known = values.filter((value) => value !== null), different = new Set(known);
  if (different.size < 2) return null;
  if (known.every((value) => typeof value === "number")) {
    let low = Infinity, high = -Infinity;
    for (const value of known) { low = Math.min(low, value); high = Math.max(high, value); }
    const log = low > 0 && high / low > 50, map = (value) => log ? Math.log(value) : value;
    return { name, title: name + (log ? " (log)" : ""), place: (value) => value === null ? null : (map(value) - map(low)) / (map(high) - map(low)), ticks: [[0, number(low, 3)], [1, number(high, 3)]] };
  }
  const order = [...different].map(String).sort(), index = new Map(order.map((text, at) => [text, at / (order.length - 1)]));
  return { name, title: name, place: (value) => value === null ? null : index.get(String(value)), ticks: order.filter((_, at) => order.length <= 8 || at === 0 || at === order.length - 1).map((text) => [index.get(text), text]) };
}
