// What was said, in order: the student's words as they are heard, her answers with where their time
// went and where their figures were measured. However long the lesson, only a stretch of it is on
// the page; "Earlier" and "Later" move it.

import { byId, clock, factName, h, quantity, wakeWords } from "./words.js";

const STRETCH = 60; // entries on the page
const MORE = 40;
const PARTS = [
  { key: "hearing", what: "end of the speech to its final words" },
  { key: "turn", what: "final words to the end of the turn" },
  { key: "brain", what: "question to first clause" },
  { key: "voice", what: "first clause to first sound" },
  { key: "face", what: "first sound to first picture" },
  { key: "playout", what: "start of playout to first slice" },
];
const GOALS = { wake: 2.0, follow_up: 1.5 }; // seconds
const STOPS = {
  speech: "You spoke; she stopped",
  music: "You played; she stopped",
  reset: "Forgotten in mid-answer",
  failed: "It could not be finished",
};

export class Talk {
  #list = byId("talk");
  #scroll = byId("talk-scroll");
  #rows = new Map(); // entry → { element, version }
  #from = 0; // numbers of the entries on the page
  #to = 0;
  #bottom = true;

  /** @param {Score} score where facts are shown */
  constructor(score) {
    this.score = score;
    this.lesson = null;
    this.teacher = "The teacher";
    this.fact = new FactBox(score);
    this.#scroll.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    byId("newest").addEventListener("click", () => this.toEnd());
    byId("earlier").addEventListener("click", () => this.#shift(-MORE));
    byId("later").addEventListener("click", () => this.#shift(MORE));
  }

  show(lesson) {
    this.lesson = lesson;
    this.#rows.clear();
    this.#list.replaceChildren();
    this.#from = this.#to = 0;
    this.#bottom = true;
  }

  /** She is called otherwise than was thought. */
  call(teacher) {
    if (teacher === this.teacher) return;
    this.teacher = teacher;
    for (const row of this.#rows.values()) row.version = -1;
    this.render();
  }

  toEnd() {
    this.#bottom = true;
    this.render();
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }

  #scrolled() {
    const box = this.#scroll;
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    const bottom = atEnd && this.#to === this.#count;
    if (bottom !== this.#bottom) {
      this.#bottom = bottom;
      this.#edges();
    }
    this.fact.hide();
  }

  get #count() {
    return this.lesson.entries.length + this.lesson.entriesDropped;
  }

  #shift(by) {
    const first = this.lesson.entriesDropped;
    if (by < 0) {
      this.#from = Math.max(first, this.#from + by);
      this.#to = Math.min(this.#to, this.#from + STRETCH + MORE);
    } else {
      this.#to = Math.min(this.#count, this.#to + by);
      this.#from = Math.max(this.#from, this.#to - STRETCH - MORE);
    }
    this.#bottom = false;
    const anchor = by < 0 ? this.#list.firstElementChild : this.#list.lastElementChild;
    const before = anchor?.getBoundingClientRect().top ?? 0;
    this.render();
    if (anchor?.isConnected) this.#scroll.scrollTop += anchor.getBoundingClientRect().top - before;
  }

  /** Bring the page up to the lesson. */
  render() {
    const lesson = this.lesson;
    if (!lesson) return;
    const count = this.#count;
    if (this.#bottom) {
      this.#to = count;
      this.#from = Math.max(lesson.entriesDropped, count - STRETCH);
    } else {
      this.#from = Math.max(this.#from, lesson.entriesDropped);
      if (this.#to - this.#from < STRETCH) this.#to = Math.min(count, this.#from + STRETCH);
    }
    const wanted = lesson.entries.slice(this.#from - lesson.entriesDropped, this.#to - lesson.entriesDropped);
    const keep = new Set(wanted);
    for (const [entry, row] of this.#rows) {
      if (keep.has(entry)) continue;
      row.element.remove();
      this.#rows.delete(entry);
    }
    let place = this.#list.firstElementChild;
    for (const entry of wanted) {
      let row = this.#rows.get(entry);
      if (!row) {
        row = { element: h("li"), version: -1 };
        this.#rows.set(entry, row);
      }
      if (row.version !== entry.version) {
        row.version = entry.version;
        this.#fill(row.element, entry);
      }
      if (row.element !== place) this.#list.insertBefore(row.element, place);
      else place = place.nextElementSibling;
    }
    this.fact.check();
    byId("talk-empty").hidden = count > 0;
    if (this.#bottom) this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#edges();
  }

  #edges() {
    byId("earlier").hidden = this.#from <= this.lesson.entriesDropped;
    byId("later").hidden = this.#to >= this.#count;
    byId("newest").hidden = this.#bottom;
  }

  #fill(element, entry) {
    const made = { utterance, reply, take, remark }[entry.kind];
    element.className = `entry ${entry.kind}`;
    element.dataset.number = entry.number;
    // What has the focus keeps it, though it is made anew.
    const held = element.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    element.replaceChildren(...made(entry, this));
    if (held) element.querySelector(`[data-key="${held}"]`)?.focus();
  }
}

const time = (t) => h("time", { class: "num" }, clock(t));

function utterance(entry) {
  const said = h("p", { class: entry.final ? "said" : "said interim" });
  const marked = entry.wake ? wakeWords(entry.text, entry.wake.phrase) : null;
  if (marked) {
    said.append(entry.text.slice(0, marked[0]));
    said.append(h("mark", { title: `woke her: “${entry.wake.phrase}”, ${Math.round(entry.wake.score)} % alike` }, entry.text.slice(...marked)));
    said.append(entry.text.slice(marked[1]));
  } else {
    said.append(entry.text || "(nothing that could be understood)");
  }
  const wake = entry.wake && !marked ? h("span", { class: "tag" }, "woke her") : null;
  return [time(entry.t), h("div", {}, h("p", { class: "who" }, "You", wake), said)];
}

function take(entry, talk) {
  const { take: number, start, end, notes, instrument, forgotten } = entry.take;
  const parts = [end === null ? "you play" : `${clock(end - start)} long`];
  if (notes !== null) parts.push(`${notes} notes`);
  if (instrument) parts.push(instrument);
  if (forgotten) parts.push("before the reset");
  const show = () => talk.score.reveal(start, end ?? talk.lesson.t, `Take ${number}`);
  return [time(start), h("div", {}, h("button", { type: "button", class: "take-link", "data-key": "take", onclick: show }, h("b", {}, `Take ${number}`), ` ${parts.join(", ")}`))];
}

const remark = (entry) => [time(entry.t), h("div", {}, h("p", { class: "said" }, entry.text))];

function reply(entry, talk) {
  const body = h("div");
  const asked = { wake: "asked by the wake phrase", follow_up: "asked further" }[entry.asked] ?? "";
  body.append(h("p", { class: "who" }, talk.teacher, h("span", { class: "tag" }, asked)));
  body.append(spokenWords(entry, talk));
  if (entry.stopped && STOPS[entry.stopped.cause]) {
    body.append(h("p", { class: "stopped" }, `${STOPS[entry.stopped.cause]} at ${clock(entry.stopped.t)}.`));
  }
  if (entry.latency) body.append(latencyBar(entry));
  if (entry.observations.length) body.append(knowledge(entry, talk));
  return [time(entry.began ?? entry.t), body];
}

/** Her words; the figures can be asked where they come from, and what nobody heard is faint. */
function spokenWords(entry, talk) {
  const said = h("p", { class: "said" });
  const whole = entry.clauses.map((clause) => clause.text).join(" ");
  const stopped = entry.stopped && entry.stopped.cause !== "finished";
  const heard = stopped ? Math.min(whole.length, entry.stopped.heard.length) : whole.length;
  let quiet = null;
  let at = 0;
  const put = (text, figure) => {
    const cut = Math.max(0, Math.min(text.length, heard - at));
    for (const [part, isHeard] of [[text.slice(0, cut), true], [text.slice(cut), false]]) {
      if (!part) continue;
      if (!isHeard && !quiet) said.append((quiet = h("s", { class: "unheard" }, h("span", { class: "unseen" }, "not heard: "))));
      const target = isHeard ? said : quiet;
      if (figure && part === text) target.append(figureButton(text, figure, talk, at));
      else target.append(part);
    }
    at += text.length;
  };
  entry.clauses.forEach((clause, index) => {
    if (index) put(" ", null);
    let from = 0;
    for (const figure of clause.figures) {
      put(clause.text.slice(from, figure.at), null);
      put(figure.said, figure);
      from = figure.at + figure.said.length;
    }
    put(clause.text.slice(from), null);
  });
  return said;
}

function figureButton(text, figure, talk, key) {
  const button = h("button", { type: "button", class: "figure num", "data-key": `f${key}`, "aria-describedby": "fact" }, text);
  talk.fact.attach(button, {
    name: factName(figure.name, figure.detail),
    take: figure.take,
    fact: figure.fact,
  });
  return button;
}

function latencyBar(entry) {
  const { latency } = entry;
  const parts = PARTS.filter(({ key }) => latency[key] !== null && latency[key] !== undefined);
  const sum = parts.reduce((total, { key }) => total + latency[key], 0);
  const goal = GOALS[entry.asked] ?? 2.0;
  const scale = Math.max(sum, latency.total, goal) * 1.04;
  const words = parts.map(({ key }) => `${key} ${latency[key].toFixed(2)}`).join(", ");
  const bar = h("div", {
    class: "latency-bar",
    role: "img",
    "aria-label": `First word after ${latency.total.toFixed(2)} seconds: ${words}. It should be under ${goal.toFixed(1)}.`,
  });
  for (const { key, what } of parts) {
    const part = h("i", { class: `part ${key === "face" ? "face-part" : key}`, title: `${key}: ${latency[key].toFixed(3)} s (${what})` });
    part.style.width = `${(100 * latency[key]) / scale}%`;
    bar.append(part);
  }
  for (const [name, at, title] of [["goal", goal, `it should be under ${goal.toFixed(1)} s`], ["total", latency.total, "her first word"]]) {
    const mark = h("i", { class: name, title });
    mark.style.left = `${(100 * at) / scale}%`;
    bar.append(mark);
  }
  const legend = h("ul", { class: "latency-parts num", "aria-hidden": "true" });
  for (const { key } of parts.filter(({ key }) => latency[key] >= 0.005)) {
    legend.append(h("li", { class: key === "face" ? "face-part" : key }, `${key} ${latency[key].toFixed(2)}`));
  }
  if (sum > latency.total + 0.05) legend.append(h("li", { class: "ahead" }, "some of it while you spoke"));
  legend.append(h("li", { class: "wanted" }, `under ${goal.toFixed(1)} wanted`));
  return h("div", { class: "latency" }, h("strong", { class: "num" }, `${latency.total.toFixed(2)} s`), h("div", { class: "latency-body" }, bar, legend));
}

/** What she knew of the performance when she was asked. */
function knowledge(entry, talk) {
  const list = h("ul", { class: "known" });
  for (const one of entry.observations) {
    const facts = Object.entries(one.facts ?? {}).map(([name, fact]) => {
      const button = h("button", { type: "button", class: "figure num", "data-key": `${one.kind}${name}${one.take}`, "aria-describedby": "fact" }, quantity(fact));
      const placed = { start: one.start, end: one.end, ...withoutNull(fact) };
      talk.fact.attach(button, { name: factName(name), take: one.take, fact: placed });
      return h("span", { class: "known-fact" }, `${factName(name)} `, button);
    });
    list.append(h("li", {}, h("span", { class: "known-text" }, one.text), ...facts));
  }
  const count = entry.observations.length;
  const details = h("details", { class: "knew" }, h("summary", { "data-key": "knew" }, `What she had measured (${count})`), list);
  details.open = entry.open ?? false;
  details.addEventListener("toggle", () => (entry.open = details.open));
  return details;
}

/** Some figures are of a stretch, some of an instant. */
const stretch = ({ start, end }) => (clock(start) === clock(end) ? `at ${clock(start)}` : `${clock(start)} to ${clock(end)}`);

const withoutNull = (object) => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null));

/** The one box that tells of the figure under the pointer or the focus. */
class FactBox {
  #box = byId("fact");
  #of = null;

  constructor(score) {
    this.score = score;
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.hide();
    });
    document.addEventListener("pointerdown", (event) => {
      if (this.#of && !this.#of.contains(event.target) && !this.#box.contains(event.target)) this.hide();
    });
  }

  attach(button, about) {
    button.addEventListener("pointerenter", () => this.#show(button, about));
    button.addEventListener("focus", () => this.#show(button, about));
    button.addEventListener("pointerleave", () => {
      if (document.activeElement !== button) this.hide();
    });
    button.addEventListener("blur", () => this.hide());
    button.addEventListener("click", () => {
      this.#show(button, about);
      byId("score").scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    });
  }

  #show(button, { name, take, fact }) {
    const isPlaced = fact.start !== null && fact.start !== undefined;
    const where = [take ? `take ${take}` : "all that was played", isPlaced ? stretch(fact) : null].filter(Boolean).join(", ");
    const sure = h("span", { class: "sure", "aria-hidden": "true" }, h("i"));
    sure.firstChild.style.width = `${Math.round(100 * fact.confidence)}%`;
    this.#box.replaceChildren(
      h("span", { class: "fact-name" }, name),
      h("strong", { class: "num" }, quantity(fact)),
      h("span", { class: "fact-where num" }, `measured in ${where}`),
      h("span", { class: "fact-sure" }, sure, `${Math.round(100 * fact.confidence)} % sure`),
    );
    this.#box.hidden = false;
    this.#of = button;
    const at = button.getBoundingClientRect();
    const [wide, high] = [this.#box.offsetWidth, this.#box.offsetHeight];
    const left = Math.max(8, Math.min(document.documentElement.clientWidth - wide - 8, at.left + at.width / 2 - wide / 2));
    const above = at.top - high - 10;
    this.#box.style.left = `${left}px`;
    this.#box.style.top = `${above > 8 ? above : at.bottom + 10}px`;
    if (isPlaced) this.score.reveal(fact.start, fact.end, `${name}: ${quantity(fact)}`);
  }

  /** What was pointed at may have been made anew. */
  check() {
    if (this.#of && !this.#of.isConnected) this.hide();
  }

  hide() {
    if (!this.#of) return;
    this.#of = null;
    this.#box.hidden = true;
    this.score.unreveal();
  }
}
