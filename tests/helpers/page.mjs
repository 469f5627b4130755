// The page in a browser: node page.mjs NODE_FOLDER MODE URL [more]. Says what it saw as lines of JSON; asserts nothing.
//
//   look URL FOLDER [TOKEN]   every size and both schemes: a picture in FOLDER, what was asked for and how much that was, what the
//                             console said, what axe finds, where Tab goes
//   watch URL                 a line whenever the summary changes, for ever
//   hide URL                  how many questions are asked in five seconds while nobody looks, and whether they go on afterwards
//   login URL TOKEN PICTURE   the form with a wrong token and the right one, a reload, and the link with the token in it
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [folder, mode, url, ...more] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const say = (facts) => console.log(JSON.stringify(facts));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: process.getuid() === 0 ? ["--no-sandbox"] : [],
});

// A page, and what is to be known of its traffic.
async function open(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const seen = { requests: [], said: [], bytes: 0 };
  page.on("request", (request) => seen.requests.push(request.url()));
  page.on("console", (message) => seen.said.push(message.text()));
  page.on("pageerror", (error) => seen.said.push(String(error)));
  const session = await context.newCDPSession(page);
  await session.send("Network.enable");
  session.on("Network.loadingFinished", (finished) => (seen.bytes += finished.encodedDataLength));
  await session.send("Log.enable");
  session.on("Log.entryAdded", ({ entry }) => entry.level === "error" && seen.said.push(entry.text));
  return { context, page, seen };
}

const shows = (page) => page.waitForFunction(() => document.querySelectorAll(".tile").length > 0 && !document.querySelector("#live").hidden);

async function faults(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(() =>
    window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  return { passes: found.passes.length, violations: found.violations.map((rule) => `${rule.id}: ${rule.nodes.map((node) => node.target.join(" ")).join(", ")}`) };
}

// The worst contrast of values against what lies behind them.
const contrast = () => {
  const parts = (text) => text.match(/[\d.]+/g).map(Number);
  const light = (text) => {
    const [r, g, b] = parts(text).slice(0, 3).map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (parts(colour).length < 4 || parts(colour)[3] > 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  return Math.min(...[...document.querySelectorAll(".value, .unit, dd, .summary, .problems li p, .state, .quality")].map((node) => {
    const [a, b] = [light(getComputedStyle(node).color), light(behind(node))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }));
};

// All that can be used, and all that Tab reaches; whether each showed that it had the focus.
async function keys(page) {
  const wanted = await page.evaluate(() => {
    const nodes = [...document.querySelectorAll("a[href], button, input, summary, select, textarea, [tabindex='0']")];
    const seen = nodes.filter((node) => node.checkVisibility());
    seen.forEach((node, index) => (node.dataset.stop = index));
    return seen.length;
  });
  const reached = new Set(), unseen = [];
  await page.evaluate(() => document.activeElement.blur());
  for (let press = 0; press < wanted + 3; press++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const node = document.activeElement, style = getComputedStyle(node);
      return { stop: node.dataset.stop, is_seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 };
    });
    if (at.stop === undefined) continue;
    reached.add(at.stop);
    if (!at.is_seen) unseen.push(at.stop);
  }
  return { wanted, reached: reached.size, unseen };
}

async function look(pictures, token) {
  for (const [width, height] of [[360, 740], [1280, 800]]) {
    for (const colorScheme of ["light", "dark"]) {
      const { context, page, seen } = await open({ viewport: { width, height }, colorScheme, reducedMotion: "reduce", deviceScaleFactor: 1 });
      await page.goto(token ? `${url}#token=${token}` : url);
      await shows(page);
      await page.waitForFunction(() => !document.querySelector("#span").textContent.includes("being read") && document.querySelector(".chart svg"));
      const bytes = seen.bytes;
      await page.screenshot({ path: `${pictures}/${width}-${colorScheme}.png`, fullPage: true });
      const closed = await faults(page);
      await page.click("#checks summary");
      const opened = await faults(page);
      const wide = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      const text = await page.evaluate(() => document.body.innerText);
      const charts = await page.$$eval(".chart svg", (nodes) => nodes.map((node) => [node.getAttribute("role"), node.getAttribute("aria-label"), node.querySelectorAll(".alarm").length, node.querySelectorAll(".mean").length]));
      const spoken = await page.$$eval("[aria-live]", (nodes) => nodes.map((node) => node.id));
      say({ width, colorScheme, bytes, requests: seen.requests, said: seen.said, axe: [...closed.violations, ...opened.violations], passes: closed.passes, wide, text, charts, spoken, contrast: await page.evaluate(contrast), keys: await keys(page) });
      await context.close();
    }
  }
}

async function watch() {
  const { page } = await open({});
  await page.goto(url);
  for (let last = ""; ; ) {
    const summary = await page.waitForFunction((last) => {
      const text = document.querySelector("#summary").innerText.replace(/\s+/g, " ").trim();
      return text !== last && text;
    }, last, { timeout: 0 });
    last = await summary.jsonValue();
    say({ summary: last });
  }
}

async function hide() {
  const { page, seen } = await open({});
  await page.goto(url);
  await shows(page);
  const pretend = (hidden) => page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  await page.waitForResponse((answer) => answer.url().endsWith("/v1/page"));
  await pretend(true);
  const before = seen.requests.length;
  await page.waitForTimeout(5000);
  const asked = seen.requests.length - before;
  await pretend(false);
  await page.waitForResponse((answer) => answer.url().endsWith("/v1/page"));
  say({ asked, past: seen.requests.filter((request) => request.includes("/v1/history")).length });
}

async function login(token, picture) {
  const { page, seen } = await open({ colorScheme: "dark" });
  await page.goto(url);
  await page.waitForSelector("#login:not([hidden])");
  await page.screenshot({ path: picture });
  const found = await faults(page);
  const focus = await page.evaluate(() => document.activeElement.id);
  await page.keyboard.type("wrong-wrong-wrong-wrong");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector("#refused").textContent);
  const refused = await page.textContent("#refused");
  await page.keyboard.type(token);
  await page.keyboard.press("Enter");
  await shows(page);
  await page.reload();
  await shows(page);
  const linked = await open({});
  await linked.page.goto(`${url}#token=${token}`);
  await shows(linked.page);
  const hash = await linked.page.evaluate(() => location.href);
  const stored = await linked.page.evaluate(() => [localStorage.length, document.cookie]);
  say({ axe: found.violations, focus, refused, hash, stored, requests: [...seen.requests, ...linked.seen.requests] });
}

await { look: () => look(...more), watch, hide, login: () => login(...more) }[mode]();
await browser.close();
