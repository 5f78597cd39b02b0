"use strict";
// The chart of devices over time, those of a node together, and the table of nodes.

// Nodes whose devices have rows of their own although each node has one.
const opened = new Set();
const MOST_DEVICE_ROWS = 32, MOST_NODES_SHOWN = 400;

function hasNodes() { return run.data.nodes.length > 1; }

function indicesOf(launch) {
  const found = [];
  for (const [first, last] of launch[LAUNCH.devices]) for (let index = first; index <= last; index++) found.push(index);
  return found;
}

// Where each device is: the number of its node, and its place in it.
function places() {
  const found = new Array(run.data.devices.length);
  run.data.nodes.forEach((node, at) => node.indices.forEach((index, place) => { found[index] = [at, place]; }));
  return found;
}

// Devices as stretches of neighbours: number of the node, first and last place in it.
function stretchesOf(indices, where) {
  const found = [];
  for (const [at, place] of indices.map((index) => where[index]).filter(Boolean).sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
    const last = found[found.length - 1];
    if (last && last[0] === at && last[2] === place - 1) last[2] = place; else found.push([at, place, place]);
  }
  return found;
}

function namesOf(indices) {
  const names = run.data.devices;
  return stretchesOf(indices, places()).map(([at, first, last]) => {
    const node = run.data.nodes[at], short = (place) => names[node.indices[place]].slice(node.name ? node.name.length + 1 : 0);
    if (node.name && last - first + 1 === node.indices.length && hasNodes()) return node.name + (last > first ? " (" + (last - first + 1) + ")" : "/" + short(0));
    return (node.name ? node.name + "/" : "") + short(first) + (last > first ? (last > first + 1 ? " to " : ", ") + short(last) : "");
  }).join(", ");
}

// The rows: a device, or a whole node that is closed. "at" says for a stretch of neighbours where its bar is and how high.
function deviceRows(byNode) {
  const nodes = run.data.nodes, labels = [], begins = [], closed = [];
  for (const node of nodes) {
    begins.push(labels.length);
    closed.push(byNode && !opened.has(node.name));
    if (byNode && !opened.has(node.name)) labels.push(node.name);
    else for (const index of node.indices) labels.push(run.data.devices[index]);
  }
  begins.push(labels.length);
  const at = ([node, first, last]) => {
    const step = closed[node] ? 0.86 / nodes[node].indices.length : 1, top = closed[node] ? begins[node] - 0.43 : begins[node] - 0.41;
    return closed[node] ? [top + (first + last + 1) / 2 * step, (last - first + 1) * step] : [begins[node] + (first + last) / 2, last - first + 0.82];
  };
  return { labels: labels.map((name) => own(name, 24)), begins, at };
}

function trialRows(launches) {
  let ids = [...new Set(launches.map((launch) => launch[LAUNCH.trial]))], note = "";
  if (ids.length > MOST_ROWS) {
    const devices = new Map(ids.map((id) => [id, (run.trials.get(id) || {}).most || 0])), rank = new Map(ranked().map((trial, index) => [trial.id, index]));
    ids.sort((a, b) => (run.chosen === b) - (run.chosen === a) || devices.get(b) - devices.get(a) || rank.get(a) - rank.get(b));
    note = "The " + MOST_ROWS + " of " + ids.length + " trials that held most devices or became best; the filter of the table chooses others. ";
    ids = ids.slice(0, MOST_ROWS);
  }
  ids.sort((a, b) => a - b);
  const index = new Map(ids.map((id, at) => [id, at]));
  return { labels: ids.map((id) => "trial " + id), note, place: (launch) => index.has(launch[LAUNCH.trial]) ? [[index.get(launch[LAUNCH.trial]), 0.82]] : [] };
}

// What the user has chosen; before that, nodes are closed if there are many devices.
function rowsChosen() {
  const chosen = byId("devices-rows");
  chosen.querySelector("[value=node]").hidden = chosen.querySelector("[value=node]").disabled = !hasNodes();
  if (!chosen.dataset.chosen) chosen.value = hasNodes() && run.data.devices.length > MOST_DEVICE_ROWS ? "node" : "device";
  return chosen.value;
}

function drawDevices() {
  const rows = rowsChosen(), all = [...run.launches.values()];
  legend(); showNodes(rows);
  if (!all.length) { say("devices-note", ""); return nothing("devices-chart", "No launch is recorded: either none was, or the backend keeps no record of its devices."); }
  const colours = notable(), { shapes, annotations } = marks(false);
  const launches = all.filter((launch) => { const trial = run.trials.get(launch[LAUNCH.trial]); return !trial || run.filter(trial); });
  const xaxis = { title: { text: narrow() ? "seconds" : "seconds since the tuning started" }, range: [0, lastMoment() * 1.03] };
  if (rows !== "trial" && launches.length > MOST_BARS) return drawDeviceMap(launches, colours, shapes, annotations, xaxis);
  const trials = rows === "trial" ? trialRows(launches) : null, made = trials ? null : deviceRows(rows === "node"), where = places();
  const labels = (trials || made).labels, count = labels.length, height = rowsHeight(count, rows), row_height = (height - 90) / Math.max(1, count);
  const place = trials ? trials.place : (launch) => stretchesOf(indicesOf(launch), where).map(made.at);
  const kinds = { train: [], import: [], drain: [], failed: [], wait: [] };
  for (const launch of launches) {
    const failed = ["failed", "stalled", "lost"].includes(launch[LAUNCH.how]), text = tellLaunch(launch), devices = indicesOf(launch).length;
    for (const [middle, high] of place(launch)) {
      const add = (kind, from, to, words) => kinds[kind].push([to - from, from, middle, high, launch[LAUNCH.trial], text, words]);
      const has_room = (from, to) => to - from > (narrow() ? 0.07 : 0.025) * lastMoment() && high * row_height >= 11;
      for (const [kind, from, to] of pieces(launch)) add(failed ? "failed" : kind, from, to, kind === "train" && has_room(from, to) ? (trials ? "×" + devices : String(launch[LAUNCH.trial])) : "");
      if (trials && launch[LAUNCH.wait] > 0.002 * lastMoment()) add("wait", Math.max(0, launch[LAUNCH.start] - launch[LAUNCH.wait]), launch[LAUNCH.start], "");
    }
  }
  const trace = (items, colour, pattern) => ({ type: "bar", orientation: "h", x: items.map((item) => item[0]), base: items.map((item) => item[1]), y: items.map((item) => item[2]), width: items.map((item) => item[3]), customdata: items.map((item) => item[4]), hovertext: items.map((item) => item[5]), hoverinfo: "text",
    text: items.map((item) => item[6]), textposition: "inside", insidetextanchor: "middle", textangle: 0, constraintext: "none", textfont: { color: theme() === "dark" ? "#0d1116" : "#ffffff", size: 11 }, marker: { color: colour, line: { color: css("panel"), width: row_height < 26 && !trials ? 0.3 : 0.6 }, ...(pattern ? { pattern } : {}) } });
  const training = trace(kinds.train, kinds.train.map((item) => fill(item[4], colours)));
  training.textfont.color = kinds.train.map((item) => colours.has(item[4]) ? (theme() === "dark" ? "#0d1116" : "#ffffff") : theme() === "dark" ? "#ffffff" : "#1d232b");
  const traces = [...(trials ? [] : absences(made, where, row_height, trace)), training, trace(kinds.import, css("import")), trace(kinds.drain, css("drain"), { shape: "/", fgcolor: css("panel"), size: 5, fillmode: "overlay" }),
    trace(kinds.failed, css("red"), { shape: "x", fgcolor: css("panel"), size: 6, fillmode: "overlay", solidity: 0.15 }), trace(kinds.wait, css("free"), { shape: ".", fgcolor: css("faint"), size: 5, fillmode: "overlay" })];
  const ticks = trials ? everyRow(labels) : rowTicks(made, shapes);
  draw("devices-chart", traces, { height, barmode: "overlay", bargap: 0, shapes, annotations, xaxis, yaxis: { range: [count - 0.4, -0.6], showgrid: false, zeroline: false, ...ticks }, uirevision: rows + count }, "Which trial held which devices, over time");
  const waiting = run.data.phase === "running" ? run.data.waiting : [];
  say("devices-note", (trials ? trials.note : "") + (waiting.length ? waiting.length + (waiting.length > 1 ? " trials wait: " : " trial waits: ") + waiting.slice(0, 6).map(([id, since, what]) => "trial " + id + " since " + seconds(since) + " for " + own(what)).join(", ") + (waiting.length > 6 ? "…" : "") + ". " : "") +
    (rows === "node" ? "A row is a node, with its devices above each other; the table below shows the devices of a node. " : "") + "Numbers are trials. Hover says why a launch ended" + (run.data.absences.length ? ", and why devices were not there." : "."));
}

// Bars where devices were not there: behind the launches, since a trial may hold a device that is to go.
function absences(rows, where, row_height, trace) {
  const kinds = { lost: [], away: [] };
  for (const [stretches, start, end, how, reason] of run.data.absences) {
    const indices = stretches.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, at) => first + at)), until = end === null ? lastMoment() : end;
    const text = "<b>" + tip(clip(namesOf(indices), 90), 90) + "</b>: " + label(how) + "<br>" + seconds(start) + " – " + (end === null ? "now" : seconds(end)) + (reason ? "<br>" + tip(reason, 70) : "");
    for (const stretch of stretchesOf(indices, where)) {
      const [middle, high] = rows.at(stretch), has_room = until - start > 0.013 * how.length * lastMoment() && high * row_height >= 11 && !narrow();
      kinds[how === "lost" ? "lost" : "away"].push([until - start, start, middle, high, null, text, has_room ? how : ""]);
    }
  }
  const made = [trace(kinds.away, css("soft"), { shape: "\\", fgcolor: css("faint"), size: 7, fillmode: "overlay", solidity: 0.12 }), trace(kinds.lost, css("soft"), { shape: "\\", fgcolor: css("red"), size: 7, fillmode: "overlay", solidity: 0.18 })];
  made.forEach((one, at) => { one.textfont.color = css(at ? "red" : "ink"); one.marker.line.width = 0; });
  return made;
}

function rowsHeight(count, rows) { return Math.max(150, Math.min(rows === "node" ? 1500 : 640, 90 + count * (rows === "node" ? 20 : count > 32 ? 12 : narrow() ? 20 : 26))); }

function everyRow(labels) {
  const step = labels.length <= MOST_DEVICE_ROWS ? 1 : Math.ceil(labels.length / 24), at = labels.map((_, index) => index).filter((index) => index % step === 0);
  return { tickvals: at, ticktext: at.map((index) => label(labels[index])) };
}

function rowTicks({ labels, begins }, shapes) {
  if (!hasNodes()) return everyRow(labels);
  for (const begin of begins.slice(1, -1)) shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, yref: "y", y0: begin - 0.5, y1: begin - 0.5, line: { color: css("line"), width: 1 } });
  if (labels.length <= MOST_DEVICE_ROWS || labels.length < 3 * run.data.nodes.length) {
    const step = Math.ceil(labels.length / 70), at = labels.map((_, index) => index).filter((index) => index % step === 0);
    return { tickvals: at, ticktext: at.map((index) => label(labels[index])) };
  }
  const step = Math.ceil(run.data.nodes.length / 40), nodes = run.data.nodes.map((node, at) => [node.name, (begins[at] + begins[at + 1] - 1) / 2]).filter((_, at) => at % step === 0);
  return { tickvals: nodes.map((node) => node[1]), ticktext: nodes.map((node) => label(own(node[0], 18))) };
}

// With thousands of launches: a picture of cells, each coloured by the trial that held the device for most of it.
function drawDeviceMap(launches, colours, shapes, annotations, xaxis) {
  const columns = narrow() ? 160 : 420, rows = deviceRows(false), count = rows.labels.length, end = lastMoment(), width = end / columns, where = places();
  const z = [], text = [], share = [];
  for (let row = 0; row < count; row++) { z.push(new Array(columns).fill(null)); text.push(new Array(columns).fill("")); share.push(new Float64Array(columns)); }
  const palette = [...colours.values()], slot = new Map([...colours.keys()].map((id, index) => [id, index]));
  const shades = 3, importing = palette.length + shades, failed = importing + 1, total = failed + 1;
  for (const launch of launches) {
    let told = null;
    const isFailed = ["failed", "stalled", "lost"].includes(launch[LAUNCH.how]), held = indicesOf(launch).map((index) => where[index]).filter(Boolean).map(([at, place]) => rows.begins[at] + place);
    for (const [kind, from, to] of pieces(launch)) {
      const colour = isFailed ? failed : kind === "import" ? importing : slot.has(launch[LAUNCH.trial]) ? slot.get(launch[LAUNCH.trial]) : palette.length + launch[LAUNCH.trial] % shades;
      for (let column = Math.floor(from / width); column <= Math.min(columns - 1, Math.floor(to / width)); column++) {
        const covers = Math.min(to, (column + 1) * width) - Math.max(from, column * width);
        for (const row of held) if (covers > share[row][column]) {
          share[row][column] = covers; z[row][column] = colour; text[row][column] = told = told || tellLaunch(launch);
        }
      }
    }
  }
  const grey = theme() === "dark" ? ["#4b5561", "#5a6573", "#6a7685"] : ["#aab3bd", "#bac2cb", "#9aa4b0"];
  const all = [...palette, ...grey, css("import"), css("red")], scale = all.flatMap((colour, index) => [[index / total, colour], [(index + 1) / total, colour]]);
  const ticks = rowTicks(rows, shapes);
  draw("devices-chart", [{ type: "heatmap", z, x0: width / 2, dx: width, y0: 0, dy: 1, text, hoverinfo: "text", zmin: -0.5, zmax: total - 0.5, colorscale: scale, showscale: false, xgap: 0, ygap: count > 64 ? 0 : 1 }],
    { height: rowsHeight(count, "device"), shapes, annotations, xaxis, yaxis: { range: [count - 0.5, -0.5], showgrid: false, zeroline: false, ...ticks }, uirevision: "map" }, "Which trial held which devices, over time");
  say("devices-note", launches.length + " launches: each cell shows the launch that held the device for most of its " + seconds(width) + ". A filter with fewer launches shows each of them.");
}

// The nodes as a table; its buttons open a node in the chart.
function showNodes(rows) {
  const at = byId("nodes-table"), box = byId("nodes");
  box.hidden = !hasNodes();
  if (!hasNodes()) return;
  const is_running = run.data.phase === "running", changes = (node) => [...(node.changes.length > 4 ? ["…"] : []), ...node.changes.slice(-4)].join("; ") || "–";
  if (!at.tHead.rows.length) at.tHead.append(element("tr", {}, ...["node", "devices", "held", "free", "away", "trials", "what happened"].map((name, index) => element("th", { scope: "col", class: index > 0 && index < 5 ? "" : "text" }, name))));
  const toggle = (name) => { if (opened.has(name)) opened.delete(name); else opened.add(name); byId("devices-rows").value = "node"; byId("devices-rows").dataset.chosen = "node"; schedule(true); };
  const is_open = (node) => rows === "device" || (rows === "node" && opened.has(node.name)), shown = run.data.nodes.slice(0, MOST_NODES_SHOWN);
  const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.node : undefined;
  at.tBodies[0].replaceChildren(...shown.map((node) => element("tr", { class: node.away === node.indices.length ? "gone" : "" },
    element("td", { class: "text" }, element("button", { type: "button", "data-node": node.name, "aria-expanded": String(is_open(node)), title: "show the devices of this node in the chart", click: () => toggle(node.name) }, own(node.name))),
    element("td", {}, node.indices.length), ...(is_running ? [node.held, node.free] : ["–", "–"]).map((value) => element("td", {}, value)), element("td", {}, node.away),
    element("td", { class: "text", title: own(node.trials) }, (is_running && own(node.trials, 60)) || "–"), element("td", { class: "wrap" }, own(changes(node))))));
  if (focused !== undefined) for (const button of at.querySelectorAll("button")) if (button.dataset.node === focused) button.focus();
  say("nodes-note", run.data.nodes.length > shown.length ? "The first " + shown.length + " of " + run.data.nodes.length + " nodes." : "");
}

function legend() {
  const items = [["import", "importing libraries, until it trains"], ["drain", "writing its checkpoint, ending"], ["red", "failed launch"]];
  if (byId("devices-rows").value === "trial") items.push(["free", "waiting for devices"]);
  else for (const [colour, text, is_one] of [["faint", "devices were not there", (how) => how !== "lost"], ["red", "devices were lost", (how) => how === "lost"]]) {
    if (run.data.absences.some((absence) => is_one(absence[3]))) items.push([colour, text, "repeating-linear-gradient(45deg, " + css(colour) + " 0 1.5px, " + css("soft") + " 1.5px 5px)"]);
  }
  byId("devices-legend").replaceChildren(element("span", {}, "colours and greys: training"), ...items.map(([colour, text, fill]) => element("span", {}, element("i", { colour: fill || css(colour) }), text)));
  const shares = run.data.shares, total = Object.values(shares).reduce((sum, value) => sum + value, 0);
  const kinds = { training: "accent", importing: "import", draining: "drain", failed: "red", away: "grey", free: "free" };
  const parts = Object.entries(kinds).filter(([name]) => total > 0 && shares[name] > 0);
  byId("shares").replaceChildren(...parts.map(([name, colour]) => { const part = element("div", { colour: css(colour), title: name }); part.style.width = 100 * shares[name] / total + "%"; return part; }));
  byId("shares").hidden = !parts.length;
  byId("shares-legend").replaceChildren(...parts.map(([name, colour]) => element("li", {}, element("i", { colour: css(colour) }), name + " " + (100 * shares[name] / total).toFixed(1) + " % of the device time")));
}

