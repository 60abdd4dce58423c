// The console: which lesson is shown, and who draws what of it. Once a frame at most.

import { get, post } from "./api.js";
import { Chart } from "./chart.js";
import { busy, Controls, say } from "./controls.js";
import { Feed } from "./feed.js";
import { Health } from "./health.js";
import { Lesson } from "./lesson.js";
import { Score } from "./score.js";
import { Talk } from "./talk.js";
import { Here } from "./tryit.js";
import { byId, clock, floorWords, h, setText, stateName } from "./words.js";

const LIST_EVERY = 8000; // ms
const STATUS_EVERY = 4000;
const WORDS_EVERY = 1500;

const score = new Score({
  canvas: byId("score"),
  overview: byId("overview"),
  tip: byId("note-tip"),
  words: byId("score-words"),
  zoom: byId("zoom"),
  live: byId("live"),
});
const talk = new Talk(score);
const chart = new Chart();
const health = new Health();
const controls = new Controls();
const here = new Here();
const page = {
  lesson: null,
  feed: null,
  sessions: [],
  personas: new Map(),
  chosen: null, // the session that is shown
  over: null, // the session of which nothing new is to be known
  loading: false, // its models, so far
  out: false, // the service could not be reached
  rendered: -1,
  saidAt: 0,
  caughtUp: false,
};

const seconds = () => performance.now() / 1000;

// --- coming in ------------------------------------------------------------------

function view(name) {
  document.body.dataset.view = name;
  byId("locked").hidden = name !== "locked";
  byId("front").hidden = name !== "front";
  byId("lesson").hidden = name !== "lesson";
  byId("new-lesson").hidden = name === "locked" || name === "front";
}

const code = (text) => text.trim().split("enter=").pop();

async function begin() {
  const given = location.hash.startsWith("#enter=") ? code(location.hash) : null;
  if (given) {
    // It is in no history and on no screen from here on.
    history.replaceState(null, "", location.pathname);
    await post("/console/enter", { code: given }).catch((error) => alarm(error.message));
  }
  await refresh();
  setInterval(() => document.hidden || refresh(), LIST_EVERY);
  setInterval(() => document.hidden || status(), STATUS_EVERY);
}

byId("enter").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await post("/console/enter", { code: code(byId("code").value) });
    byId("code").value = "";
    alarm("");
    await refresh();
  } catch (error) {
    alarm(error.message);
  }
});

function alarm(text) {
  const element = byId("alert");
  setText(element, text);
  element.hidden = !text;
}
here.onproblem = alarm;

// --- which lesson ---------------------------------------------------------------

async function refresh() {
  let listed;
  try {
    listed = await get("/sessions");
    if (!page.personas.size) {
      for (const one of await get("/personas")) page.personas.set(one.persona_id, one.name);
      fillPersonas();
    }
  } catch (error) {
    if (error.status === 401) locked();
    else {
      page.out = true;
      alarm(error.message);
    }
    return;
  }
  if (page.out) {
    page.out = false;
    alarm("");
  }
  page.sessions = listed.sessions;
  fillPicker();
  const present = page.sessions.filter((one) => one.state !== "ended");
  const chosen = page.sessions.find((one) => one.session_id === page.chosen);
  if (!chosen && page.sessions.length) choose((present.at(-1) ?? page.sessions.at(-1)).session_id);
  else if (!page.sessions.length) view("front");
  else view("lesson");
}

function locked() {
  page.feed?.stop();
  page.feed = null;
  page.chosen = null;
  view("locked");
}

function fillPersonas() {
  byId("persona").replaceChildren(...[...page.personas].map(([id, name]) => h("option", { value: id }, name)));
  const mary = [...page.personas.keys()].find((id) => id.includes("mary"));
  if (mary) byId("persona").value = mary;
  byId("front-portrait").src = `/console/portrait/${byId("persona").value}`;
}

function fillPicker() {
  const select = byId("sessions");
  const options = page.sessions.toReversed().map((one) => {
    const name = page.personas.get(one.persona_id) ?? one.persona_id;
    const at = new Date(one.started_at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    return [one.session_id, `${name}, ${at}${one.state === "ended" ? ", ended" : one.state === "starting" ? ", begins" : ""}`];
  });
  const key = JSON.stringify(options);
  if (select.dataset.key !== key) {
    select.dataset.key = key;
    select.replaceChildren(...options.map(([id, text]) => h("option", { value: id }, text)));
  }
  if (page.chosen) select.value = page.chosen;
  byId("picker").hidden = page.sessions.length < 2;
}

byId("sessions").addEventListener("change", (event) => choose(event.target.value));

function choose(session) {
  page.chosen = session;
  page.feed?.stop();
  page.lesson = new Lesson(session);
  page.rendered = -1;
  page.caughtUp = page.loading = false;
  byId("sessions").value = session;
  view("lesson");
  score.show(page.lesson);
  talk.show(page.lesson);
  const isOver = page.sessions.find((one) => one.session_id === session)?.state === "ended";
  here.show(session, isOver);
  controls.show(session, isOver);
  linked("connecting");
  const lesson = page.lesson;
  page.feed = new Feed(
    `/session/${session}/events`,
    (records, lost) => {
      if (lost) lesson.lose(lost);
      lesson.apply(records, seconds());
      wake();
    },
    (link, error) => {
      if (lesson !== page.lesson) return;
      linked(link);
      if (link === "over") ended();
      if (link === "refused") error.status === 401 ? locked() : alarm(error.message);
    },
  );
  status();
}

controls.onstop = () => here.part();

function ended() {
  controls.enable(false);
  here.show(page.chosen, true);
}

const LINKS = { connecting: "connecting", open: "live", broken: "reconnecting", over: "ended", refused: "not to be had", none: "" };

function linked(link) {
  const pill = byId("link");
  pill.dataset.link = link;
  setText(pill, page.lesson?.ended ? "ended" : page.loading && link === "open" ? "loading" : LINKS[link]);
}

async function status() {
  const session = page.chosen;
  if (!session || page.over === session) return;
  try {
    const found = await get(`/session/${session}`);
    if (session !== page.chosen) return;
    if (found.state === "ended") page.over = session;
    health.status(found);
    teacher(found.persona_id);
    page.loading = found.state === "starting";
    linked(byId("link").dataset.link);
    wake();
  } catch (error) {
    if (error.status === 401) locked();
    else if (error.status === 0) {
      page.out = true;
      alarm(error.message);
    }
  }
}

function teacher(persona) {
  const name = page.personas.get(persona) ?? persona;
  score.teacher = name;
  talk.call(name);
  if (byId("teacher-name").textContent === name && byId("portrait").src) return;
  setText(byId("teacher-name"), name);
  byId("portrait").hidden = false;
  byId("portrait").src = `/console/portrait/${persona}`;
  byId("portrait").alt = `${name}, who teaches`;
  byId("avatar").setAttribute("aria-label", `${name}, live`);
}

byId("portrait").addEventListener("error", () => (byId("portrait").hidden = true)); // a persona of one's own

controls.onconfig = (config) => setText(byId("talk-phrase"), config.wake_phrases[0]);

// --- frames -----------------------------------------------------------------------

let waiting = false;

function wake() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(frame);
}

function frame() {
  waiting = false;
  const { lesson } = page;
  if (!lesson || document.body.dataset.view !== "lesson") return;
  const now = lesson.now(seconds());
  if (page.rendered !== lesson.version) {
    page.rendered = lesson.version;
    chart.render(lesson);
    talk.render();
    health.render(lesson);
    floor(lesson);
    announce(lesson);
    const chip = byId("state-chip");
    chip.dataset.state = lesson.state;
    setText(chip, stateName(lesson.state));
    if (lesson.ended) linked("over");
  }
  setText(byId("elapsed"), clock(now));
  chart.frame(lesson, now);
  score.frame(now);
  const at = performance.now();
  if (at - page.saidAt > WORDS_EVERY) {
    page.saidAt = at;
    setText(byId("score-now"), score.describe());
  }
  wake();
}

function floor(lesson) {
  const element = byId("floor");
  if (element.dataset.floor === lesson.holder) return;
  element.dataset.floor = lesson.holder;
  setText(byId("floor-text"), floorWords(lesson.holder, byId("teacher-name").textContent));
}

/** For who does not see: what is new, but not what was there when the page came. */
function announce(lesson) {
  const { finals, replies, state } = lesson.fresh;
  lesson.fresh = { finals: [], replies: [], state: false };
  const isLive = page.caughtUp;
  page.caughtUp = true;
  if (!isLive) return;
  if (finals.length) setText(byId("say-transcript"), `You: ${finals.join(" ")}`);
  if (replies.length) setText(byId("say-reply"), `${talk.teacher}: ${replies.at(-1)}`);
  if (state) setText(byId("say-state"), stateName(lesson.state));
}

byId("zoom-in").addEventListener("click", () => score.zoom(-1));
byId("zoom-out").addEventListener("click", () => score.zoom(1));
byId("live").addEventListener("click", () => score.follow());

// --- a new lesson -------------------------------------------------------------------

function open(way) {
  say("start-word", "");
  for (const radio of document.querySelectorAll("[name=way]")) radio.checked = radio.value === way;
  showWay();
  byId("start").showModal();
}

function showWay() {
  const way = document.querySelector("[name=way]:checked").value;
  for (const part of document.querySelectorAll("div[data-way]")) part.hidden = part.dataset.way !== way;
}

byId("new-lesson").addEventListener("click", () => open("browser"));
byId("front-try").addEventListener("click", () => open("browser"));
byId("front-streams").addEventListener("click", () => open("streams"));
byId("start-cancel").addEventListener("click", () => byId("start").close());
document.querySelectorAll("[name=way]").forEach((radio) => radio.addEventListener("change", showWay));

byId("start-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const way = document.querySelector("[name=way]:checked").value;
  const persona = byId("persona").value || null;
  busy(byId("start-go"), "start-word", async () => {
    const tell = (text) => say("start-word", text);
    let session;
    if (way === "browser") session = await here.begin(persona, byId("camera").checked, tell);
    else {
      const streams = { rtmp_ingest_url: byId("ingest").value.trim(), rtmp_publish_url: byId("publish").value.trim() };
      session = (await post("/session/start", { ...streams, persona_id: persona })).session_id;
    }
    byId("start").close();
    page.chosen = session;
    const { sessions } = await get("/sessions");
    page.sessions = sessions;
    fillPicker();
    choose(session);
  });
});

// --- colours ----------------------------------------------------------------------

const THEMES = { auto: ["◐", "as the system has them"], light: ["☀", "light"], dark: ["☾", "dark"] };

function theme(name) {
  const chosen = name in THEMES ? name : "auto";
  document.documentElement.dataset.theme = chosen;
  const [sign, words] = THEMES[chosen];
  setText(byId("theme"), sign);
  byId("theme").setAttribute("aria-label", `Colours: ${words}`);
  byId("theme").title = `Colours: ${words}`;
  try {
    localStorage.setItem("maestra-theme", chosen);
  } catch {
    // Where nothing may be stored, the system's colours come back.
  }
  score.recolour();
  page.rendered = -1;
  wake();
}

byId("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  theme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => theme(document.documentElement.dataset.theme));

let stored = null;
try {
  stored = localStorage.getItem("maestra-theme");
} catch {
  // As above.
}
theme(stored ?? "auto");

addEventListener("hashchange", () => location.hash.startsWith("#enter=") && location.reload());
begin();
