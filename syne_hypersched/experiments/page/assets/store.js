"use strict";
// What the page knows of the run, and how it gets more. Nothing here writes anything but this page.

// Order of a launch's entries, as in _views.py.
const LAUNCH = { trial: 0, launch: 1, devices: 2, start: 3, wait: 4, train: 5, drain: 6, end: 7, how: 8, reason: 9, why: 10, cost: 11, part: 12 };

const run = { data: null, trials: new Map(), launches: new Map(), decisions: [], chosen: null, filter: () => true };

function take(data) {
  if (!data) return false;
  const anew = !run.data || data.since === 0 || data.generation !== run.data.generation;
  if (anew) { run.trials.clear(); run.launches.clear(); run.decisions = []; }
  for (const trial of data.trials) run.trials.set(trial.id, trial);
  for (const launch of data.launches) run.launches.set([LAUNCH.trial, LAUNCH.launch, LAUNCH.part].map((at) => launch[at]).join("/"), launch);
  run.decisions.push(...data.decisions);
  const changed = anew || data.seq !== run.data.seq || data.phase !== run.data.phase;
  data.trials = data.launches = data.decisions = null;
  run.data = data;
  return changed;
}

// Text goes into the page as text. Plotly reads tags in its labels, so they are made harmless there.
function label(value) {
  return String(value).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function clip(text, most) { text = String(text); return text.length > most ? text.slice(0, most - 1) + "…" : text; }

// A name, a value or a reason as a part of a line: in it, nothing turns the line round, and control characters are escaped.
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066\u2067]/g;
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]|[\ud802\ud803\ud83a\ud83b][\udc00-\udfff]/;
function own(text, most) {
  const escaped = (one) => { const code = one.charCodeAt(0).toString(16); return code.length > 2 ? "\\u" + code.padStart(4, "0") : "\\x" + code.padStart(2, "0"); };
  text = clip(text, most || Infinity).replace(CONTROLS, escaped);
  return RIGHT_TO_LEFT.test(text) ? "\u2068" + text + "\u2069" : text;
}

function element(tag, options, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(options || {})) {
    if (name === "class") made.className = value;
    else if (name === "click") made.addEventListener("click", value);
    else if (name === "colour") made.style.background = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return made;
}

function byId(id) { return document.getElementById(id); }
function say(id, text) { const at = byId(id); if (at.textContent !== text) at.textContent = text; }

function number(value, digits) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size >= 1e5 || (size > 0 && size < 1e-3) ? value.toExponential(3) : value.toPrecision(digits || 5).replace(/\.?0+$/, "");
}

function counted(count, one, several) { return count + " " + (count === 1 ? one : several); }

function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value > 0 && value < 0.1) return number(value, 2) + " s";
  if (value < 120) return number(Math.round(value * 100) / 100) + " s";
  const whole = Math.round(value), hours = Math.floor(whole / 3600), minutes = Math.floor((whole % 3600) / 60);
  return hours ? hours + " h " + minutes + " min" : minutes + " min " + (whole % 60) + " s";
}

function configuration(trial, most) {
  return run.data.run.names.map((name, index) => [name, trial.config[index]]).filter((pair) => pair[1] !== null)
    .slice(0, most || 99).map(([name, value]) => own(name, 30) + "=" + own(number(value, 4), 40)).join(", ");
}

// A trial that the end of the run has cut off is not in progress any more.
function status(trial) { return trial.status === "in progress" ? run.data.cut_off : trial.status; }

function ranked() {
  const sign = run.data.run.minimize ? 1 : -1;
  return [...run.trials.values()].sort((a, b) => (a.best === null) - (b.best === null) || (a.best ? sign * (a.best[0] - b.best[0]) : 0) || a.id - b.id);
}

// A filter is a list of words, all of which must hold: name<number, name>=number, name=text, name!=text, or a text.
// What is wrong with a word is told as its problem; the word is then passed over, since it may be half written.
function makeFilter(text) {
  const names = ["best", "last", "resource", "devices", "most", "launches", "cost"], of = run.data && run.data.run;
  const isName = (name) => !of || of.names.includes(name) || names.includes(name) || ["trial", "status", of.metric, of.level].includes(name);
  let problem = "";
  const words = text.trim().split(/\s+/).filter(Boolean).map((word) => {
    const found = word.match(/^([^<>=!:]+)(<=|>=|!=|<|>|=|:)(.+)$/);
    if (!found && /[<>=]/.test(word)) {
      problem = "“" + word + "” is not complete: it takes a name, one of < > <= >= = != and a value, without spaces";
      return () => true;
    }
    if (!found) return (trial) => everything(trial).includes(word.toLowerCase());
    if (!isName(found[1]) || ("<>".includes(found[2][0]) && Number.isNaN(Number(found[3])))) {
      problem = isName(found[1]) ? "“" + word + "” must compare with a number" : "There is no column “" + found[1] + "”";
      return () => true;
    }
    const [, name, operator, wanted] = found, index = run.data.run.names.indexOf(name);
    const value = (trial) => index >= 0 ? trial.config[index]
      : name === "trial" ? trial.id : name === "best" || name === run.data.run.metric ? (trial.best && trial.best[0])
      : name === run.data.run.level ? trial.resource : name === "status" ? status(trial) : names.includes(name) ? trial[name] : undefined;
    const amount = Number(wanted);
    return (trial) => {
      const has = value(trial);
      if (has === undefined || has === null) return false;
      const equal = typeof has === "number" && !Number.isNaN(amount) ? has === amount : String(has).toLowerCase() === wanted.toLowerCase();
      switch (operator) {
        case "<": return has < amount;
        case ">": return has > amount;
        case "<=": return has <= amount;
        case ">=": return has >= amount;
        case "!=": return !equal;
        case ":": return String(has).toLowerCase().includes(wanted.toLowerCase());
        default: return equal;
      }
    };
  });
  return Object.assign((trial) => words.every((holds) => holds(trial)), { problem });
}

function everything(trial) { return ("trial " + trial.id + " " + status(trial) + " " + trial.config.join(" ")).toLowerCase(); }
