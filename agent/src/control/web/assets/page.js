// The page: asks the device, draws what it says. Nothing is loaded from elsewhere, nothing is made of text but text.
"use strict";
const LIVE_MS = 2000, PAST_MS = 60000, HURRY_MS = 1000, PATIENCE_MS = 10000;
const MARK = { ok: "✓", warning: "▲", fault: "✕", lost: "✕" };
const UNITS = { "1": "", Cel: "°C", "[degF]": "°F", K: "K", deg: "°", "[pH]": "pH", "uS/cm": "µS/cm", "umol/L": "µmol/L", "ug/L": "µg/L", "umol/m2/s": "µmol/m²/s", "W/m2": "W/m²", "m3/h": "m³/h" };
const $ = (id) => document.getElementById(id);

let token = null, lastAt = null, lostAt = null, skew = 0, hours = 24, liveTimer = 0, pastTimer = 0, asking = false;
const shown = new Map();

// --- words

const set = (node, text) => { if (node.textContent !== text) node.textContent = text; return node; };
const dress = (node, names) => { if (node.getAttribute("class") !== names) node.setAttribute("class", names); return node; };
const make = (tag, names, ...inside) => {
  const node = document.createElement(tag);
  if (names) node.className = names;
  node.append(...inside);
  return node;
};
const draw = (tag, facts) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(facts)) node.setAttribute(name, value);
  return node;
};
const plain = (name) => name.replaceAll("_", " ");
const unitOf = (unit) => UNITS[unit] ?? unit;
const many = (count, one, more = one + "s") => `${count.toLocaleString("en")} ${count === 1 ? one : more}`;
const clock = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const moment = (at) => new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });

// As many decimals as this one has had before, so that it does not jump.
function number(value, node) {
  const size = Math.abs(value);
  if (size >= 1e7 || (size > 0 && size < 1e-3)) return value.toExponential(3);
  const most = size < 10 ? 3 : size < 100 ? 2 : size < 10000 ? 1 : 0;
  const has = String(Number(value.toFixed(most))).split(".")[1]?.length ?? 0;
  node.decimals = Math.max(has, node.decimals ?? 0);
  return value.toFixed(Math.min(most, node.decimals));
}
// As many decimals as tell the ends of a range apart.
function rough(value, range) {
  const size = Math.abs(value);
  if (size >= 1e7 || (size > 0 && size < 1e-3)) return value.toExponential(2);
  const step = range || size || 1;
  return value.toFixed(Math.max(0, Math.min(4, 2 - Math.ceil(Math.log10(step))))).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
}
function lasting(seconds) {
  if (seconds < 0) return "0 s";
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}
function size(bytes) {
  for (const unit of ["B", "KiB", "MiB"]) {
    if (bytes < 1024) return `${bytes < 10 && unit !== "B" ? bytes.toFixed(1) : Math.round(bytes)} ${unit}`;
    bytes /= 1024;
  }
  return `${bytes.toFixed(bytes < 10 ? 1 : 0)} GiB`;
}
const ago = (at) => (at ? `${lasting((Date.now() + skew - Date.parse(at)) / 1000)} ago` : "never");

// `words` between backticks are what is to be typed.
function typed(node, text) {
  if (node.typed === text) return;
  node.typed = text;
  node.replaceChildren(...text.split("`").map((part, index) => (index % 2 ? make("code", "", part) : part)));
}

// Keeps one node a key, in order, so that focus and readers are left alone.
function keep(parent, items, keyOf, build, fill) {
  const held = parent.held ?? (parent.held = new Map());
  const wanted = new Set(items.map(keyOf));
  for (const [key, node] of held) if (!wanted.has(key)) { node.remove(); held.delete(key); }
  items.forEach((item, at) => {
    const key = keyOf(item);
    if (!held.has(key)) held.set(key, build(item));
    const node = held.get(key);
    if (parent.children[at] !== node) parent.insertBefore(node, parent.children[at] ?? null);
    fill(node, item);
  });
}
function facts(list, pairs, big) {
  keep(list, pairs.filter((pair) => pair[1] != null), (pair) => pair[0],
    (pair) => make("div", "", make("dt", "", pair[0]), make("dd", big ? "big" : "")),
    (node, pair) => set(node.lastChild, pair[1]));
}

// --- asking

async function ask(path) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { headers, cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (answer.status === 401) { wantToken(); throw new Error("token"); }
  if (!answer.ok) throw new Error(`it answers ${answer.status}`);
  return answer.json();
}

async function live() {
  clearTimeout(liveTimer);
  if (document.hidden || asking) return;
  asking = true;
  const began = performance.now();
  try {
    const told = await ask("v1/page");
    lastAt = Date.now(); lostAt = null; skew = told.now_ms - lastAt;
    document.body.classList.remove("lost");
    $("live").hidden = false;
    show(told.status, told.checks);
  } catch (error) {
    if (error.message !== "token") lost();
  }
  asking = false;
  // A thin link is not kept busy: half of the time is its own.
  if ($("login").hidden) liveTimer = setTimeout(live, Math.max(LIVE_MS, performance.now() - began));
}

async function past() {
  clearTimeout(pastTimer);
  if (document.hidden || !$("login").hidden) return;
  let next = PAST_MS;
  try {
    const told = await ask(`v1/history?hours=${hours}`);
    if (!told.is_whole) next = HURRY_MS;
    if (narrow(told)) next = 100;
    else charts(told);
  } catch { next = 5 * LIVE_MS; }
  pastTimer = setTimeout(past, next);
}

// A device that has just been set up has an hour's worth: then that is drawn. True: ask again for another span. What is left to
// spare when a span is taken is more than what it is given up at, so that nothing is asked to and fro.
function narrow(told) {
  const begins = told.series.filter((line) => line.mean.length).map((line) => told.from_ms + line.first * told.step_ms);
  if (!told.is_whole || !begins.length) return false;
  const needed = (told.now_ms - Math.min(...begins)) / 3600000;
  let span = hours;
  if (hours === 24) span = [1, 3, 6, 12].find((span) => needed + .4 <= span) ?? 24;
  else if (needed + .2 > hours) span = 24;
  if (span === hours) return false;
  hours = span;
  return true;
}

function lost() {
  if (lostAt === null) lostAt = lastAt ?? Date.now();
  document.body.classList.add("lost");
  say("lost", "No answer", lastAt ? `since ${new Date(lastAt).toLocaleTimeString([], { hourCycle: "h23" })}. What is below is as it was then; asking again.` : "from the device; asking again.");
}

function say(verdict, words, detail) {
  dress($("summary"), `summary ${verdict}`);
  set($("summary").firstElementChild, MARK[verdict] ?? "");
  set($("verdict"), words);
  set($("detail"), detail);
}

// --- what is

function show(status, checks) {
  document.title = `${status.device} – tidegate`;
  set($("device"), status.device);
  set($("site"), status.site);
  facts($("facts"), [
    ["Device's clock", `${clock(Date.now() + skew)}, ${status.clock.state}`],
    ["Up for", lasting(status.uptime_s)],
    ["Configuration", status.config.revision ?? "the files"],
    ["Version", status.version],
  ]);
  health(checks);
  keep($("instruments"), status.instruments, (item) => item.id, instrument, fillInstrument);
  journal(status.journal);
  keep($("sinks"), status.sinks, (item) => item.id, sink, fillSink);
}

function health(checks) {
  const faults = checks.filter((check) => check.verdict === "fault").length;
  const warnings = checks.filter((check) => check.verdict === "warning").length;
  const verdict = faults ? "fault" : warnings ? "warning" : "ok";
  const found = [faults && many(faults, "fault"), warnings && many(warnings, "warning")].filter(Boolean).join(", ");
  say(verdict, found || "All is well", `${checks.length} checks`);
  const key = (check) => `${check.check} ${check.of ?? ""}`;
  const problems = checks.filter((check) => check.verdict !== "ok");
  $("problems").hidden = !problems.length;
  keep($("problems"), problems, key,
    () => make("li", "", make("p", "", make("span", "mark"), " ", make("strong"), ": ", make("span")), make("p", "fix")),
    (node, check) => {
      const [what, fix] = node.children;
      dress(node, check.verdict);
      dress(what.children[0], "mark");
      set(what.children[0], `${MARK[check.verdict]} ${check.verdict}`);
      set(what.children[1], check.of ? `${check.area} ${check.of}` : check.area);
      set(what.children[2], check.seen);
      typed(fix, check.fix ? `→ ${check.fix}` : "");
    });
  $("checks").hidden = false;
  set($("checks-count"), `All ${checks.length} checks, in the order of cause and effect`);
  keep($("all"), checks, key,
    () => make("li", "", make("span", "mark"), make("span", "", make("strong"), " ", make("span", "about"))),
    (node, check) => {
      dress(node, check.verdict);
      set(node.children[0], `${MARK[check.verdict]} ${check.verdict}`);
      set(node.children[1].children[0], check.of ? `${check.area} ${check.of}` : check.area);
      set(node.children[1].children[1], check.seen);
    });
}

// As the checks judge them; what is not here is a fault.
const STATES = { up: "ok", ok: "ok", holding: "warning", spent: "warning" };
function badge(node, word) {
  const verdict = STATES[word] ?? "fault";
  dress(node, `state ${verdict}`);
  set(node, `${MARK[verdict]} ${word}`);
}

function instrument(item) {
  const id = `instrument-${item.id}`;
  const title = make("h3", "", item.id, make("span", "state"), make("span", "about"));
  title.id = id;
  const node = make("article", "instrument", title, make("ul", "tiles"), make("p", "none"));
  node.setAttribute("aria-labelledby", id);
  return node;
}

function fillInstrument(node, item) {
  const [title, tiles, none] = node.children;
  badge(title.children[0], item.state);
  const parts = [`on ${item.bus}`, `${many(item.readings_total, "reading")}`];
  if (item.frames_refused_total) parts.push(`${many(item.frames_refused_total, "frame")} refused`);
  if (item.polls_failed_total) parts.push(`${many(item.polls_failed_total, "question")} not answered`);
  set(title.children[1], parts.join(" · "));
  const values = Object.entries(item.values);
  set(none, values.length ? "" : "Nothing has been read since the agent started.");
  none.hidden = values.length > 0;
  keep(tiles, values, (pair) => pair[0], ([name]) => tile(item.id, name), (tile, [, last]) => fillTile(tile, last));
}

function tile(of, name) {
  const node = make("li", "tile",
    make("h4", "", plain(name)),
    make("p", "quality"),
    make("p", "reading", make("span", "value"), " ", make("span", "unit")),
    make("div", "chart"));
  node.chart = node.lastChild;
  shown.set(`${of} ${name}`, node);
  // One that comes later finds its past there.
  if (shown.told) queueMicrotask(() => chart(shown.told, `${of} ${name}`));
  return node;
}

const QUALITY = { pass: ["", "pass"], "not-evaluated": ["", ""], suspect: ["warning", "▲ suspect"], fail: ["fault", "✕ fail"], missing: ["fault", "✕ missing"] };
function fillTile(node, last) {
  const quality = node.children[1], [value, unit] = node.children[2].children;
  const isNumber = typeof last.value === "number";
  dress(value, isNumber ? "value" : "value text");
  set(value, last.value === null ? "–" : isNumber ? number(last.value, node) : String(last.value));
  set(unit, unitOf(last.unit));
  const [names, words] = QUALITY[last.quality] ?? ["", last.quality];
  dress(quality, `quality ${names}`);
  set(quality, [words, ago(last.time)].filter(Boolean).join(" · "));
}

function journal(told) {
  const panel = $("journal");
  if (!panel.firstChild) {
    const bar = make("div", "fill", draw("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }));
    bar.firstChild.append(draw("rect", { x: 0, y: 0, height: 10, width: 0 }));
    panel.append(make("p"), bar, make("dl", "pairs"), make("p", "error"));
  }
  const [words, bar, list, error] = panel.children;
  const percent = Math.min(100, (100 * told.bytes) / Math.max(1, told.bytes_max));
  set(words, `${size(told.bytes)} of ${size(told.bytes_max)} used, ${percent < 1 ? "under 1" : Math.round(percent)} %`);
  bar.firstChild.firstChild.setAttribute("width", Math.max(percent, told.bytes ? .7 : 0).toFixed(2));
  facts(list, [
    ["Lost on a power cut", many(told.at_risk_readings, "reading")],
    ["Kept", many(Math.max(0, told.head - told.tail), "record")],
    ["Dropped", many(told.dropped_total, "record")],
    ["Written", told.state === "ok" ? null : `no: ${told.state}`],
  ], true);
  set(error, told.error ?? "");
  error.hidden = !told.error;
}

const KINDS = { mqtt: "MQTT", s3: "S3", file: "folder" };
function sink(item) {
  return make("li", "", make("h3", "", item.id, make("span", "state"), make("span", "about")), make("dl", "pairs"), make("p", "error"));
}

function fillSink(node, item) {
  const [title, list, error] = node.children;
  badge(title.children[0], item.state);
  set(title.children[1], [KINDS[item.type] ?? item.type, item.protocol && `${item.protocol}`].filter(Boolean).join(" "));
  const tls = item.tls ?? {};
  facts(list, [
    ["Behind", item.lag_readings ? `${many(item.lag_readings, "record")}, ${lasting(item.lag_s)}` : "nothing"],
    ["Delivered", many(item.delivered_total, "record")],
    ["Last confirmed", ago(item.last_success_at)],
    ["Set aside", item.quarantined_batches ? many(item.quarantined_batches, "batch", "batches") : null],
    ["Certificate ends in", tls.days_left == null ? null : many(tls.days_left, "day")],
    ["Broker's ends in", tls.broker_days_left == null ? null : many(tls.broker_days_left, "day")],
  ]);
  const wrong = tls.problem ?? item.credentials?.problem ?? item.last_error;
  set(error, wrong ? `${item.state === "ok" && !tls.problem ? "Last error" : "Error"}: ${wrong}` : "");
  error.hidden = !wrong;
}

// --- what was

function charts(told) {
  shown.told = told;
  set($("span"), `and the last ${hours === 1 ? "hour" : `${hours} hours`}${told.is_whole ? "" : ", still being read"}`);
  for (const line of told.series) chart(told, `${line.instrument} ${line.quantity}`);
}

const WIDE = 288, HIGH = 64, PAD = 3;
function chart(told, key) {
  const node = shown.get(key), line = told.series.find((line) => `${line.instrument} ${line.quantity}` === key);
  if (!node || !line) return;
  const at = line.mean.map((mean, index) => (mean === null ? null : index)).filter((index) => index !== null);
  if (!at.length) { node.chart.replaceChildren(make("p", "none", "No numbers in this time.")); return; }
  const low = Math.min(...at.map((index) => line.min[index])), high = Math.max(...at.map((index) => line.max[index]));
  const begin = told.now_ms - hours * 3600000;
  const x = (ms) => Math.max(0, Math.min(WIDE, ((ms - begin) / (hours * 3600000)) * WIDE)).toFixed(1);
  const y = (value) => (high === low ? HIGH / 2 : PAD + (1 - (value - low) / (high - low)) * (HIGH - 2 * PAD)).toFixed(1);
  const middle = (index) => told.from_ms + (line.first + index + .5) * told.step_ms;
  const runs = [];
  for (const index of at) {
    const run = runs.at(-1);
    if (run && index - run.at(-1) <= 1) run.push(index); else runs.push([index]);
  }
  const svg = draw("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": inWords(told, line, at, runs) });
  for (let part = 0; part <= 4; part++) svg.append(draw("line", { class: "grid", x1: part * WIDE / 4, x2: part * WIDE / 4, y1: 0, y2: HIGH }));
  for (const run of runs) {
    const up = run.map((index) => `${x(middle(index))} ${y(line.max[index])}`), down = run.map((index) => `${x(middle(index))} ${y(line.min[index])}`).reverse();
    svg.append(draw("path", { class: "band", d: `M${up.join("L")}L${down.join("L")}Z` }));
  }
  for (const run of runs) {
    const points = run.map((index) => `${x(middle(index))} ${y(line.mean[index])}`);
    svg.append(draw("path", { class: "mean", d: `M${points.join("L")}${run.length === 1 ? "h.01" : ""}` }));
  }
  for (const ms of line.alarms) if (ms >= begin) svg.append(draw("line", { class: "alarm", x1: x(ms), x2: x(ms), y1: 0, y2: HIGH }));
  const range = low === high ? rough(low) : `${rough(low, high - low)} to ${rough(high, high - low)}`;
  const marks = line.alarms.length ? `, ${many(line.alarms.length, "alarm")}` : "";
  node.chart.replaceChildren(svg, make("p", "scale", make("span", "", `${hours} h ago`), make("span", "", `${range}${marks}`), make("span", "", "now")));
}

function inWords(told, line, at, runs) {
  const count = line.count.reduce((sum, part) => sum + part, 0);
  const mean = at.reduce((sum, index) => sum + line.mean[index] * line.count[index], 0) / count;
  const least = Math.min(...at.map((index) => line.min[index])), most = Math.max(...at.map((index) => line.max[index]));
  const unit = unitOf(line.unit);
  const parts = [`${plain(line.quantity)}, last ${hours === 1 ? "hour" : `${hours} hours`}: least ${rough(least, most - least)}, mean ${rough(mean, most - least)}, most ${rough(most, most - least)}${unit && ` ${unit}`}`, `last ${rough(line.mean[at.at(-1)], most - least)}`];
  if (runs.length > 1) parts.push(many(runs.length - 1, "gap"));
  if (line.alarms.length) parts.push(many(line.alarms.length, "alarm"));
  return parts.join("; ");
}

// --- who asks

function wantToken() {
  const form = $("login"), wasShown = !form.hidden;
  set($("refused"), token ? "That is not the token." : "");
  token = null;
  sessionStorage.removeItem("token");
  form.hidden = false;
  // A link can not show the token.
  $("live").hidden = $("machines").hidden = true;
  say("warning", "Locked", "Without its token this device tells nothing.");
  if (!wasShown) $("token").focus();
}

function start() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
  token = sessionStorage.getItem("token");
  $("machines").hidden = !!token;
  $("login").addEventListener("submit", (event) => {
    event.preventDefault();
    token = $("token").value.trim();
    sessionStorage.setItem("token", token);
    $("token").value = "";
    $("login").hidden = true;
    live().then(past);
  });
  document.addEventListener("visibilitychange", () => { if (document.hidden) { clearTimeout(liveTimer); clearTimeout(pastTimer); } else { live(); past(); } });
  addEventListener("hashchange", () => { if (location.hash.startsWith("#token=")) location.reload(); });
  live().then(past);
}
start();
