// The music as it is measured, drawn like a score: one axis of time, and on it who had the floor,
// the notes on five lines and their spaces, the tempo, the level.
//
// Each frame draws only what is in view, found by bisection, and only when something has moved. The
// overview below holds the whole lesson; it is drawn once, and what comes is added.

import { NOTE, FLOOR_ORDER } from "./lesson.js";
import { cents, clock, noteName, setText } from "./words.js";

const GUTTER = 70; // px, for the names of lines
const AHEAD = 0.06; // of the width: room right of now
const SPANS = [8, 12, 20, 30, 45, 60, 90, 120, 180, 300, 600]; // seconds in view
const NARROW = 5; // px: a note that is drawn as a plain mark
const TUNED = 8; // cents that nobody hears
const FULL = 45; // cents at which a colour is full
const STAFF = [43, 47, 50, 53, 57, 64, 67, 71, 74, 77]; // the lines of the bass and treble staves
const FLOOR_COLOURS = {
  speech: "--speech",
  playing: "--playing",
  singing: "--playing",
  both: "--both",
  own_voice: "--teacher",
  other: "--noise",
};
const COLOURS = ["--ink", "--muted", "--line", "--line-strong", "--surface", "--accent", "--tune", "--sharp", "--flat", "--unsure", "--speech", "--playing", "--both", "--teacher", "--noise", "--tempo", "--level", "--band"];

export class Score {
  #canvas;
  #context;
  #overview;
  #overviewContext;
  #width = 0;
  #height = 0;
  #span = 30;
  #end = null; // right edge in media seconds; null: now
  #shown = 0; // where the right edge is drawn
  #drawn = ""; // what the last frame showed
  #low = 57;
  #high = 77;
  #tempoLow = 60;
  #tempoHigh = 120;
  #band = null;
  #back = null; // the view before something was revealed
  #note = -1;
  #hover = -1;
  #drag = null;
  #layout = null;
  #colours = {};
  #palette = [];
  #whole = { canvas: document.createElement("canvas"), notes: 0, until: 0, scale: 0, takes: 0, low: 36, high: 96, wakes: 0, states: 0 };
  #still = matchMedia("(prefers-reduced-motion: reduce)");

  constructor({ canvas, overview, tip, words, zoom, live }) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", { alpha: false });
    this.#overview = overview;
    this.#overviewContext = overview.getContext("2d", { alpha: false });
    this.tip = tip;
    this.words = words;
    this.zoomText = zoom;
    this.liveButton = live;
    this.lesson = null;
    this.recolour();
    new ResizeObserver(() => this.#resize()).observe(canvas);
    new ResizeObserver(() => this.#resize()).observe(overview);
    this.#listen();
    setText(this.zoomText, `${this.#span} s`);
  }

  show(lesson) {
    this.lesson = lesson;
    this.#end = this.#band = this.#back = null;
    this.#note = this.#hover = -1;
    Object.assign(this.#whole, { notes: 0, until: 0, scale: 0, takes: 0, wakes: 0 });
    this.#drawn = "";
    this.#markLive();
  }

  /** The theme has changed. */
  recolour() {
    const style = getComputedStyle(document.documentElement);
    for (const name of COLOURS) this.#colours[name] = style.getPropertyValue(name).trim();
    this.#palette = [];
    for (let step = -10; step <= 10; step++) {
      const share = Math.abs(step) / 10;
      const far = this.#colours[step < 0 ? "--flat" : "--sharp"];
      this.#palette.push(mix(this.#colours["--tune"], far, share));
    }
    this.#whole.scale = 0;
    this.#drawn = "";
  }

  /** Show where something was measured, and go there. */
  reveal(start, end, label) {
    // Who only looked goes back to where they were.
    this.#back ??= { end: this.#end, span: this.#span };
    this.#band = { start, end, label };
    const duration = end - start;
    if (duration > this.#span * 0.9) this.#setSpan(SPANS.find((span) => span * 0.9 >= duration) ?? SPANS.at(-1));
    const left = this.#right() - this.#view();
    if (start < left || end > this.#right()) {
      const latest = this.lesson.t + this.#view() * AHEAD;
      this.#end = Math.max(this.#view() - 1, Math.min(latest, end + (this.#view() - duration) / 2));
      this.#markLive();
    }
    this.#drawn = "";
  }

  unreveal() {
    if (!this.#back) return;
    this.#end = this.#back.end;
    if (this.#span !== this.#back.span) this.#setSpan(this.#back.span);
    this.#back = this.#band = null;
    this.#drawn = "";
    this.#markLive();
  }

  zoom(step) {
    const at = SPANS.findIndex((span) => span >= this.#span);
    const next = SPANS[Math.max(0, Math.min(SPANS.length - 1, at + step))];
    if (this.#end !== null) this.#end += (next - this.#span) / 2;
    this.#setSpan(next);
  }

  follow() {
    this.#end = this.#back = this.#band = null;
    this.#note = -1;
    this.#markLive();
  }

  /** One frame. `now` is media time. True if it drew. */
  frame(now) {
    const lesson = this.lesson;
    if (!lesson || !this.#width || !this.#height) return false;
    const aim = this.#end ?? now + this.#view() * AHEAD;
    const far = Math.abs(aim - this.#shown);
    // A drag and a long jump are at once; a short way is gone softly.
    const soft = this.#end !== null && !this.#drag && far < this.#view() && far > 0.01 && !this.#still.matches;
    this.#shown = soft ? this.#shown + (aim - this.#shown) * 0.25 : aim;
    const pixel = this.#view() / this.#width;
    // Over minutes nothing moves by a pixel for a while: four times a second are enough.
    const news = this.#span > 90 ? Math.floor(performance.now() / 250) : lesson.version;
    const state = [Math.round(this.#shown / pixel), news, this.#span, this.#width, this.#height, this.#hover, this.#note, this.#band?.start, this.#band?.label].join();
    if (state === this.#drawn) return false;
    this.#drawn = state;
    this.#draw(now);
    this.#drawOverview();
    return true;
  }

  /** What is to be seen, in words. */
  describe() {
    const lesson = this.lesson;
    if (!lesson) return "";
    if (this.#note >= 0) return this.#noteWords(this.#note);
    const rows = lesson.notes;
    if (!rows.length) return "No notes yet.";
    if (!lesson.noteCount) return "No notes since what was played was forgotten.";
    const take = lesson.takes.at(-1);
    const last = rows.length - 1;
    const parts = [
      `${lesson.noteCount} notes`,
      take ? `take ${take.take}` : null,
      lesson.recentBpm ? `${Math.round(lesson.recentBpm)} beats a minute` : null,
      `last ${this.#noteWords(last)}`,
    ];
    return parts.filter(Boolean).join(" · ");
  }

  #noteWords(row) {
    const rows = this.lesson.notes;
    const off = rows.at(row, NOTE.CENTS);
    const tuning = Number.isNaN(off) ? "" : `, ${cents(off)} cents`;
    return `${noteName(rows.at(row, NOTE.MIDI))}${tuning}, ${Math.round(rows.at(row, NOTE.DB))} dB`.replace("-", "−");
  }

  // --- where things are -------------------------------------------------------

  #view() {
    return this.#span;
  }

  #right() {
    return this.#shown || this.lesson?.t || 0;
  }

  #x(at) {
    return GUTTER + ((at - (this.#shown - this.#span)) / this.#span) * (this.#width - GUTTER);
  }

  #time(x) {
    return this.#shown - this.#span + ((x - GUTTER) / (this.#width - GUTTER)) * this.#span;
  }

  #setSpan(span) {
    this.#span = span;
    setText(this.zoomText, span < 60 ? `${span} s` : `${span / 60} min`.replace(".5", "½").replace("0½", "½"));
    this.#drawn = "";
  }

  #markLive() {
    this.liveButton.setAttribute("aria-pressed", String(this.#end === null));
  }

  #resize() {
    const ratio = Math.min(2, devicePixelRatio || 1);
    for (const canvas of [this.#canvas, this.#overview]) {
      const box = canvas.getBoundingClientRect();
      const [wide, high] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
      if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
    }
    this.ratio = ratio;
    this.#width = this.#canvas.width / ratio;
    this.#height = this.#canvas.height / ratio;
    const height = this.#height;
    const talk = 24;
    const tempo = Math.max(44, height * 0.17);
    const level = Math.max(34, height * 0.12);
    const pitchTop = 22 + talk + 8;
    const levelTop = height - level - 4;
    const tempoTop = levelTop - tempo - 14;
    this.#layout = {
      talk: [24, talk - 10],
      pitch: [pitchTop, tempoTop - pitchTop - 16],
      tempo: [tempoTop, tempo],
      level: [levelTop, level],
    };
    this.#whole.scale = 0;
    this.#drawn = "";
  }

  // --- drawing ----------------------------------------------------------------

  #draw(now) {
    const context = this.#context;
    const colour = this.#colours;
    const [width, height] = [this.#width, this.#height];
    const from = this.#shown - this.#span;
    const to = this.#shown;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.fillStyle = colour["--surface"];
    context.fillRect(0, 0, width, height);
    context.font = "11px Inter, system-ui, sans-serif";
    context.textBaseline = "middle";
    const rows = this.lesson.notes;
    // A note that began before the view may still sound: the longest is half a minute.
    const first = rows.find(from - 30);
    const last = rows.find(to);
    this.#fit(first, last, from);
    context.save();
    context.beginPath();
    context.rect(GUTTER, 0, width - GUTTER, height);
    context.clip();
    this.#drawTakes(from, to);
    this.#drawRuler(from, to);
    if (this.#band) this.#drawBand();
    this.#drawResets(from, to);
    this.#drawStaff();
    this.#drawBeats(from, to);
    this.#drawFloor(from, to, now);
    this.#drawNotes(first, last, from);
    this.#drawLevel(first, last, from);
    this.#drawTempo(from, to);
    if (this.#band) this.#nameBand();
    if (this.#end === null || now < to) {
      const x = this.#x(now);
      context.strokeStyle = colour["--accent"];
      context.globalAlpha = 0.75;
      line(context, x, 20, x, height - 2);
      context.globalAlpha = 1;
    }
    context.restore();
    this.#drawGutter();
  }

  /** Move the axes towards what is in view. */
  #fit(first, last, from) {
    const rows = this.lesson.notes;
    let low = Infinity;
    let high = -Infinity;
    for (let row = first; row < last; row++) {
      if (rows.at(row, NOTE.OFFSET) < from) continue;
      const midi = rows.at(row, NOTE.MIDI);
      if (midi < low) low = midi;
      if (midi > high) high = midi;
    }
    if (low <= high) {
      const room = Math.max(0, 16 - (high - low)) / 2;
      low = low - 2 - room;
      high = high + 2 + room;
      const step = this.#still.matches ? 1 : 0.16;
      this.#low += (low - this.#low) * step;
      this.#high += (high - this.#high) * step;
      if (Math.abs(low - this.#low) + Math.abs(high - this.#high) > 0.05) this.#drawn = "";
    }
    const beats = this.lesson.beats;
    let slow = Infinity;
    let fast = -Infinity;
    for (let row = beats.find(from); row < beats.length && beats.at(row, 0) < this.#shown; row++) {
      const bpm = beats.at(row, 2);
      if (bpm < slow) slow = bpm;
      if (bpm > fast) fast = bpm;
    }
    if (slow <= fast) {
      const room = Math.max(12, (fast - slow) * 0.25, 30 - (fast - slow)) / 2;
      this.#tempoLow += (slow - room - this.#tempoLow) * 0.16;
      this.#tempoHigh += (fast + room - this.#tempoHigh) * 0.16;
    }
  }

  #y(midi) {
    const [top, height] = this.#layout.pitch;
    return top + height - ((midi - this.#low) / (this.#high - this.#low)) * height;
  }

  #tempoY(bpm) {
    const [top, height] = this.#layout.tempo;
    return top + height - ((bpm - this.#tempoLow) / (this.#tempoHigh - this.#tempoLow)) * height;
  }

  #drawRuler(from, to) {
    const context = this.#context;
    const step = [1, 2, 5, 10, 15, 30, 60, 120].find((one) => (one / this.#span) * (this.#width - GUTTER) > 64) ?? 300;
    context.textAlign = "center";
    for (let at = Math.max(0, Math.ceil(from / step) * step); at <= to; at += step) {
      const x = this.#x(at);
      context.fillStyle = this.#colours["--muted"];
      context.fillText(clock(at), x, 9);
      context.strokeStyle = this.#colours["--line"];
      line(context, x, 17, x, this.#height);
    }
  }

  #drawTakes(from, to) {
    const context = this.#context;
    for (const take of this.lesson.takes) {
      const end = take.end ?? this.lesson.t;
      if (end < from || take.start > to) continue;
      const [left, right] = [this.#x(take.start), this.#x(end)];
      context.fillStyle = this.#colours["--band"];
      context.globalAlpha = take.forgotten ? 0.2 : 0.5;
      context.fillRect(left, 18, right - left, this.#height - 18);
      context.globalAlpha = 1;
      context.fillStyle = this.#colours["--muted"];
      context.textAlign = "left";
      const x = Math.max(left, GUTTER) + 6;
      const [top] = this.#layout.pitch;
      if (right - x > 44) context.fillText(`Take ${take.take}`, x, top - 5);
    }
  }

  /** Where what was played was forgotten: what is left of it counts no more. */
  #drawResets(from, to) {
    const context = this.#context;
    context.strokeStyle = this.#colours["--muted"];
    context.fillStyle = this.#colours["--muted"];
    context.textAlign = "left";
    for (const at of this.lesson.resets) {
      if (at < from || at > to) continue;
      const x = this.#x(at);
      context.setLineDash([4, 3]);
      line(context, x, 18, x, this.#height);
      context.setLineDash([]);
      context.fillText("forgotten until here", x + 6, this.#height - 8);
    }
  }

  #drawBand() {
    const context = this.#context;
    const { start, end } = this.#band;
    const [left, right] = [this.#x(start) - 2, this.#x(end) + 2]; // an instant is seen, too
    context.fillStyle = this.#colours["--accent"];
    context.globalAlpha = 0.13;
    context.fillRect(left, 18, right - left, this.#height);
    context.globalAlpha = 1;
    context.strokeStyle = this.#colours["--accent"];
    line(context, left, 18, left, this.#height);
    line(context, right, 18, right, this.#height);
  }

  #nameBand() {
    const context = this.#context;
    const { start, label } = this.#band;
    const left = this.#x(start) - 2;
    context.textAlign = "left";
    context.font = "600 11px Inter, system-ui, sans-serif";
    const wide = context.measureText(label).width;
    const x = Math.max(GUTTER + 6, Math.min(left + 6, this.#width - wide - 8));
    const y = this.#layout.pitch[0] + 18;
    context.fillStyle = this.#colours["--surface"];
    context.globalAlpha = 0.85;
    context.fillRect(x - 4, y - 9, wide + 8, 18);
    context.globalAlpha = 1;
    context.fillStyle = this.#colours["--accent"];
    context.fillText(label, x, y);
    context.font = "11px Inter, system-ui, sans-serif";
  }

  #drawStaff() {
    const context = this.#context;
    for (const midi of STAFF) {
      if (midi < this.#low || midi > this.#high) continue;
      const y = Math.round(this.#y(midi)) + 0.5;
      context.strokeStyle = this.#colours["--line-strong"];
      line(context, GUTTER, y, this.#width, y);
    }
  }

  #drawGutter() {
    const context = this.#context;
    const [pitchTop, pitchHeight] = this.#layout.pitch;
    context.textAlign = "right";
    context.fillStyle = this.#colours["--muted"];
    // The names of the Cs and, where there is room, of the staff's lines.
    const room = (pitchHeight / (this.#high - this.#low)) * 3;
    let before = Infinity;
    for (let midi = Math.ceil(this.#low); midi <= this.#high; midi++) {
      const isC = midi % 12 === 0;
      if (!isC && !(STAFF.includes(midi) && room > 12)) continue;
      const y = this.#y(midi);
      if (y < pitchTop - 2 || y > pitchTop + pitchHeight + 6 || before - y < 12) continue;
      before = y;
      context.fillText(noteName(midi), GUTTER - 8, y);
    }
    const [tempoTop, tempoHeight] = this.#layout.tempo;
    const range = this.#tempoHigh - this.#tempoLow;
    const step = [5, 10, 20, 50].find((one) => (one / range) * tempoHeight > 17) ?? 100;
    for (let bpm = Math.ceil((this.#tempoLow + range * 0.08) / step) * step; bpm < this.#tempoHigh - range * 0.08; bpm += step) {
      context.fillText(String(bpm), GUTTER - 8, this.#tempoY(bpm));
    }
    const [levelTop, levelHeight] = this.#layout.level;
    context.fillText("−6", GUTTER - 8, levelTop + 6);
    context.fillText("−50", GUTTER - 8, levelTop + levelHeight - 6);
    context.textAlign = "left";
    context.font = "italic 13px 'Iowan Old Style', Palatino, 'TeX Gyre Pagella', Georgia, serif";
    context.fillText("pitch", 2, pitchTop + 2);
    context.fillText("tempo", 2, tempoTop + 6);
    context.fillText("level", 2, levelTop + 6);
    context.fillText("floor", 2, this.#layout.talk[0] + 7);
    context.font = "11px Inter, system-ui, sans-serif";
    for (const top of [tempoTop - 7, levelTop - 7]) {
      context.strokeStyle = this.#colours["--line"];
      line(context, 0, top, this.#width, top);
    }
  }

  #drawBeats(from, to) {
    const context = this.#context;
    const beats = this.lesson.beats;
    if (this.#span > 90) return;
    const [top, height] = this.#layout.pitch;
    context.strokeStyle = this.#colours["--line-strong"];
    context.globalAlpha = 0.55;
    context.beginPath();
    for (let row = beats.find(from); row < beats.length && beats.at(row, 0) < to; row++) {
      const x = Math.round(this.#x(beats.at(row, 0))) + 0.5;
      context.moveTo(x, top + 14);
      context.lineTo(x, top + height + 8);
    }
    context.stroke();
    context.globalAlpha = 1;
  }

  #drawFloor(from, to, now) {
    const context = this.#context;
    const [top, height] = this.#layout.talk;
    const floors = this.lesson.floors;
    for (let row = Math.max(0, floors.find(from) - 1); row < floors.length; row++) {
      const since = floors.at(row, 0);
      if (since > to) break;
      const until = row + 1 < floors.length ? floors.at(row + 1, 0) : now;
      const name = FLOOR_COLOURS[FLOOR_ORDER[floors.at(row, 1)]];
      if (!name || until <= since) continue;
      context.fillStyle = this.#colours[name];
      round(context, this.#x(since), top, Math.max(1.5, this.#x(until) - this.#x(since)), height, 3);
    }
    // Her own speaking, from the first sound to the last.
    context.fillStyle = this.#colours["--teacher"];
    for (let index = this.lesson.entries.length - 1; index >= 0; index--) {
      const entry = this.lesson.entries[index];
      if (entry.kind !== "reply" || entry.began === null) continue;
      const until = entry.stopped ? entry.stopped.t : now;
      if (until < from) break;
      if (entry.began > to) continue;
      round(context, this.#x(entry.began), top, this.#x(until) - this.#x(entry.began), height, 3);
      const wide = this.#x(until) - this.#x(entry.began);
      if (wide > 60) {
        context.fillStyle = this.#colours["--surface"];
        context.textAlign = "left";
        context.fillText(this.teacher ?? "", Math.max(this.#x(entry.began), GUTTER) + 7, top + height / 2 + 0.5);
        context.fillStyle = this.#colours["--teacher"];
      }
    }
    for (const at of this.lesson.wakes) {
      if (at < from || at > to) continue;
      const x = this.#x(at);
      context.fillStyle = this.#colours["--accent"];
      context.beginPath();
      context.moveTo(x - 5, top - 7);
      context.lineTo(x + 5, top - 7);
      context.lineTo(x, top + 1);
      context.fill();
    }
  }

  #colourOf(off) {
    if (Number.isNaN(off)) return this.#colours["--unsure"];
    const beyond = Math.max(0, Math.abs(off) - TUNED) / (FULL - TUNED);
    return this.#palette[10 + Math.sign(off) * Math.round(10 * Math.min(1, beyond))];
  }

  #drawNotes(first, last, from) {
    const context = this.#context;
    const rows = this.lesson.notes;
    const semitone = Math.abs(this.#y(0) - this.#y(1));
    const thick = Math.max(4, Math.min(16, semitone * 0.86));
    context.textAlign = "center";
    const narrow = new Map(); // colour → one path of all its notes: thousands may be in view
    let before = null;
    for (let row = first; row < last; row++) {
      const offset = rows.at(row, NOTE.OFFSET);
      if (offset < from) continue;
      const onset = rows.at(row, NOTE.ONSET);
      const midi = rows.at(row, NOTE.MIDI);
      const off = rows.at(row, NOTE.CENTS);
      const [left, right] = [this.#x(onset), Math.max(this.#x(onset) + 2, this.#x(offset) - 1)];
      const y = this.#y(midi);
      if (right - left < NARROW && row !== this.#note && row !== this.#hover) {
        const colour = this.#colourOf(off);
        if (!narrow.has(colour)) narrow.set(colour, new Path2D());
        const exact = Number.isNaN(off) ? y : this.#y(midi + off / 100);
        narrow.get(colour).rect(left, exact - 1.75, right - left, 3.5);
        before = null;
        continue;
      }
      const exact = Number.isNaN(off) ? y : this.#y(midi + off / 100);
      const colour = this.#colourOf(off);
      const sure = 0.55 + 0.45 * rows.at(row, NOTE.CONFIDENCE);
      context.fillStyle = colour;
      context.globalAlpha = 0.3 * sure;
      round(context, left, y - thick / 2, right - left, thick, Math.min(4, thick / 2));
      context.globalAlpha = sure;
      // The line is where the pitch was; the box is where the note is.
      if (!Number.isNaN(off)) {
        round(context, left, exact - 1.6, right - left, 3.2, 1.6);
        if (before && onset - before[0] < 0.12 && this.#span <= 60) {
          context.strokeStyle = colour;
          context.globalAlpha = 0.35;
          line(context, before[1], before[2], left, exact);
        }
        before = [offset, right, exact];
      } else {
        round(context, left, y - thick / 2, right - left, thick, Math.min(4, thick / 2));
        before = null;
      }
      context.globalAlpha = 1;
      if (row === this.#note || row === this.#hover) {
        context.strokeStyle = this.#colours["--ink"];
        context.lineWidth = 1.5;
        context.strokeRect(left - 2.5, y - thick / 2 - 2.5, right - left + 5, thick + 5);
        context.lineWidth = 1;
      }
      if (right - left > 21) {
        context.fillStyle = this.#colours["--ink"];
        context.fillText(noteName(midi), (left + right) / 2, y - thick / 2 - 7);
        if (!Number.isNaN(off) && Math.abs(off) >= TUNED) {
          context.fillStyle = colour;
          context.fillText(cents(off), (left + right) / 2, y + thick / 2 + 8);
        }
      }
    }
    for (const [colour, path] of narrow) {
      context.fillStyle = colour;
      context.fill(path);
    }
  }

  #drawTempo(from, to) {
    const context = this.#context;
    const beats = this.lesson.beats;
    const y = (bpm) => this.#tempoY(bpm);
    context.strokeStyle = this.#colours["--tempo"];
    context.lineWidth = 1.8;
    context.lineJoin = "round";
    context.beginPath();
    let drawing = false;
    let lastX = 0;
    let lastBpm = Number.NaN;
    const start = Math.max(0, beats.find(from) - 1);
    for (let row = start; row < beats.length && beats.at(row, 0) < to + 2; row++) {
      const bpm = beats.at(row, 2);
      const x = this.#x(beats.at(row, 0));
      if (Number.isNaN(bpm)) {
        drawing = false;
        continue;
      }
      if (drawing) context.lineTo(x, y(bpm));
      else context.moveTo(x, y(bpm));
      drawing = true;
      [lastX, lastBpm] = [x, bpm];
    }
    context.stroke();
    context.lineWidth = 1;
    if (this.#span <= 60) {
      context.fillStyle = this.#colours["--tempo"];
      for (let row = start; row < beats.length && beats.at(row, 0) < to; row++) {
        const bpm = beats.at(row, 2);
        if (Number.isNaN(bpm)) continue;
        context.beginPath();
        context.arc(this.#x(beats.at(row, 0)), y(bpm), 2, 0, 7);
        context.fill();
      }
    }
    if (!Number.isNaN(lastBpm) && lastX > GUTTER && lastX < this.#width - 30) {
      context.fillStyle = this.#colours["--tempo"];
      context.textAlign = "left";
      context.font = "600 12px Inter, system-ui, sans-serif";
      context.fillText(String(Math.round(lastBpm)), lastX + 7, y(lastBpm));
      context.font = "11px Inter, system-ui, sans-serif";
    }
  }

  #drawLevel(first, last, from) {
    const context = this.#context;
    const rows = this.lesson.notes;
    const [top, height] = this.#layout.level;
    context.fillStyle = this.#colours["--level"];
    const narrow = new Path2D();
    for (let row = first; row < last; row++) {
      const offset = rows.at(row, NOTE.OFFSET);
      if (offset < from) continue;
      const share = Math.max(0.03, Math.min(1, (rows.at(row, NOTE.DB) + 50) / 44));
      const left = this.#x(rows.at(row, NOTE.ONSET));
      const wide = Math.max(1.5, this.#x(offset) - left - 1);
      if (wide < NARROW) {
        narrow.rect(left, top + height * (1 - share), wide, height * share);
        continue;
      }
      context.globalAlpha = 0.45 + 0.5 * share;
      round(context, left, top + height * (1 - share), wide, height * share, 2);
    }
    context.globalAlpha = 0.75;
    context.fill(narrow);
    context.globalAlpha = 1;
  }

  // --- the whole lesson --------------------------------------------------------

  #drawOverview() {
    const lesson = this.lesson;
    const context = this.#overviewContext;
    const [wide, high] = [this.#overview.width, this.#overview.height];
    if (!wide || !high) return;
    const whole = this.#whole;
    const kept = whole.canvas.getContext("2d", { alpha: false });
    if (!whole.scale || lesson.t * whole.scale > wide || whole.canvas.width !== wide || whole.dropped !== lesson.notes.dropped) {
      // Begin anew with room to grow by half.
      Object.assign(whole.canvas, { width: wide, height: high });
      Object.assign(whole, { notes: 0, dropped: lesson.notes.dropped });
      whole.scale = wide / Math.max(90, lesson.t * 1.5);
      if (lesson.ended) whole.scale = wide / Math.max(1, lesson.t);
      kept.fillStyle = this.#colours["--surface"];
      kept.fillRect(0, 0, wide, high);
    }
    const rows = lesson.notes;
    for (; whole.notes < rows.length; whole.notes++) {
      const row = whole.notes;
      const midi = rows.at(row, NOTE.MIDI);
      kept.fillStyle = this.#colourOf(rows.at(row, NOTE.CENTS));
      const y = high - 4 - ((Math.max(33, Math.min(96, midi)) - 33) / 63) * (high - 10);
      const x = rows.at(row, NOTE.ONSET) * whole.scale;
      kept.fillRect(x, y, Math.max(1.5, (rows.at(row, NOTE.OFFSET) - rows.at(row, NOTE.ONSET)) * whole.scale), 2 * this.ratio);
    }
    context.drawImage(whole.canvas, 0, 0);
    for (const at of lesson.wakes) {
      context.fillStyle = this.#colours["--accent"];
      context.fillRect(at * whole.scale, 0, 2 * this.ratio, 5 * this.ratio);
    }
    context.fillStyle = this.#colours["--muted"];
    for (const at of lesson.resets) context.fillRect(at * whole.scale, 0, this.ratio, high);
    const left = (this.#shown - this.#span) * whole.scale;
    const window = Math.max(6, this.#span * whole.scale);
    context.fillStyle = this.#colours["--accent"];
    context.globalAlpha = 0.12;
    context.fillRect(left, 0, window, high);
    context.globalAlpha = 0.8;
    context.strokeStyle = this.#colours["--accent"];
    context.lineWidth = this.ratio;
    context.strokeRect(left + 0.5, 0.5, window - 1, high - 1);
    context.globalAlpha = 1;
    this.#say();
  }

  #say() {
    const at = Math.round(Math.max(0, Math.min(this.#shown, this.lesson.t)));
    if (this.#said === at) return;
    this.#said = at;
    this.#overview.setAttribute("aria-valuemax", String(Math.round(this.lesson.t)));
    this.#overview.setAttribute("aria-valuenow", String(at));
    this.#overview.setAttribute("aria-valuetext", `${clock(at)} of ${clock(this.lesson.t)}`);
  }
  #said = -1;

  // --- hands and keys -----------------------------------------------------------

  #goTo(right) {
    this.#back = null;
    const limit = this.lesson.now(performance.now() / 1000) + this.#span * AHEAD;
    const least = Math.min(this.#span * 0.9, limit);
    this.#end = right >= limit - 0.01 ? null : Math.max(least, right);
    this.#markLive();
    this.#drawn = "";
  }

  #listen() {
    const canvas = this.#canvas;
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.lesson || event.button) return;
      canvas.setPointerCapture(event.pointerId);
      this.#drag = { x: event.clientX, right: this.#shown, moved: false };
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.lesson) return;
      if (this.#drag) {
        const by = ((event.clientX - this.#drag.x) / (this.#width - GUTTER)) * this.#span;
        if (Math.abs(event.clientX - this.#drag.x) > 3) this.#drag.moved = true;
        if (this.#drag.moved) this.#goTo(this.#drag.right - by);
        return;
      }
      this.#point(event);
    });
    const release = (event) => {
      if (this.#drag && !this.#drag.moved) this.#point(event);
      this.#drag = null;
    };
    canvas.addEventListener("pointerup", release);
    canvas.addEventListener("pointercancel", () => (this.#drag = null));
    canvas.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse") this.#unpoint(); // a finger leaves at once
    });
    canvas.addEventListener(
      "wheel",
      (event) => {
        if (!this.lesson) return;
        if (event.ctrlKey) {
          event.preventDefault();
          this.zoom(event.deltaY > 0 ? 1 : -1);
        } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) {
          event.preventDefault();
          const by = (event.deltaX || event.deltaY) / (this.#width - GUTTER);
          this.#goTo((this.#end ?? this.#shown) + by * this.#span);
        }
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => {
      this.#note = -1;
      this.#unpoint();
    });
    const overview = this.#overview;
    const jump = (event) => {
      if (!this.lesson || !this.#whole.scale) return;
      const box = overview.getBoundingClientRect();
      const at = ((event.clientX - box.left) * this.ratio) / this.#whole.scale;
      this.#goTo(at + this.#span / 2);
    };
    overview.addEventListener("pointerdown", (event) => {
      overview.setPointerCapture(event.pointerId);
      this.#drag = { moved: true };
      jump(event);
    });
    overview.addEventListener("pointermove", (event) => {
      if (overview.hasPointerCapture(event.pointerId)) jump(event);
    });
    for (const name of ["pointerup", "pointercancel"]) overview.addEventListener(name, () => (this.#drag = null));
    overview.addEventListener("keydown", (event) => this.#key(event, true));
  }

  #key(event, isOverview = false) {
    const lesson = this.lesson;
    if (!lesson || event.ctrlKey || event.metaKey || event.altKey) return;
    const right = this.#end ?? this.#shown;
    const page = this.#span * 0.9;
    const keys = {
      Home: () => this.#goTo(this.#span * 0.9),
      End: () => this.follow(),
      PageUp: () => this.#goTo(right - page),
      PageDown: () => this.#goTo(right + page),
      "+": () => this.zoom(-1),
      "=": () => this.zoom(-1),
      "-": () => this.zoom(1),
      ArrowLeft: () => (isOverview ? this.#goTo(right - this.#span / 6) : this.#step(-1)),
      ArrowRight: () => (isOverview ? this.#goTo(right + this.#span / 6) : this.#step(1)),
      Escape: () => {
        this.unreveal();
        this.#unpoint();
      },
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }

  /** From note to note, by keys. */
  #step(by) {
    const rows = this.lesson.notes;
    if (!rows.length) return;
    if (this.#note < 0) this.#note = Math.max(0, rows.find(this.#shown) - (by < 0 ? 0 : 1));
    this.#note = Math.max(0, Math.min(rows.length - 1, this.#note + by));
    const onset = rows.at(this.#note, NOTE.ONSET);
    if (onset < this.#shown - this.#span * 0.9 || onset > this.#shown - this.#span * 0.1) this.#goTo(onset + this.#span / 2);
    this.#drawn = "";
    this.words.setAttribute("aria-live", "polite");
    setText(this.words, `${clock(onset)}: ${this.#noteWords(this.#note)}`);
    this.#tipAt(this.#note);
  }

  #point(event) {
    const box = this.#canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const rows = this.lesson.notes;
    const at = this.#time(x);
    const [top, height] = this.#layout.pitch;
    let found = -1;
    let near = 14;
    if (x > GUTTER && y > top && y < top + height + 10) {
      for (let row = rows.find(at - 30); row < rows.length && rows.at(row, 0) <= at + 0.02; row++) {
        if (rows.at(row, NOTE.OFFSET) < at - 0.02) continue;
        const far = Math.abs(this.#y(rows.at(row, NOTE.MIDI)) - y);
        if (far < near) [found, near] = [row, far];
      }
    }
    if (found === this.#hover) return;
    this.#hover = found;
    if (found < 0) this.tip.hidden = true;
    else this.#tipAt(found);
  }

  #unpoint() {
    this.#hover = -1;
    this.tip.hidden = true;
    this.#drawn = "";
  }

  #tipAt(row) {
    const rows = this.lesson.notes;
    const off = rows.at(row, NOTE.CENTS);
    const hz = rows.at(row, NOTE.HZ);
    const lines = [
      `${noteName(rows.at(row, NOTE.MIDI))}${Number.isNaN(off) ? "" : `  ${cents(off)} cents`}`,
      `${Number.isNaN(hz) ? "" : `${hz.toFixed(1)} Hz · `}${rows.at(row, NOTE.DB).toFixed(0)} dB`.replace("-", "−"),
      `${clock(rows.at(row, NOTE.ONSET))} · ${(rows.at(row, NOTE.OFFSET) - rows.at(row, NOTE.ONSET)).toFixed(2)} s · ${Math.round(rows.at(row, NOTE.CONFIDENCE) * 100)} % sure`,
    ];
    this.tip.replaceChildren(...lines.map((text) => Object.assign(document.createElement("span"), { textContent: text })));
    this.tip.hidden = false;
    const x = this.#x((rows.at(row, NOTE.ONSET) + rows.at(row, NOTE.OFFSET)) / 2);
    const wide = this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(4, Math.min(this.#width - wide - 4, x - wide / 2))}px`;
    const y = this.#y(rows.at(row, NOTE.MIDI)) - 30 - this.tip.offsetHeight;
    this.tip.style.top = `${Math.max(2, y)}px`;
  }
}

function line(context, x1, y1, x2, y2) {
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}

function round(context, x, y, wide, high, radius) {
  if (wide <= 0) return;
  context.beginPath();
  context.roundRect(x, y, wide, high, Math.min(radius, wide / 2));
  context.fill();
}

/** Between two colours written as #rrggbb. */
function mix(one, other, share) {
  const parts = [1, 3, 5].map((at) => {
    const [from, to] = [one, other].map((text) => parseInt(text.slice(at, at + 2), 16));
    return Math.round(from + (to - from) * share);
  });
  return `rgb(${parts.join(" ")})`;
}
