// What is known of one lesson: its events, taken in one by one. No page, no clock of its own; what
// draws it looks here once a frame. Everything is bounded, however long the lesson.

const MOST_NOTES = 60_000;
const MOST_MARKS = 60_000; // beats
const MOST_SPANS = 20_000; // of floor and state
const MOST_ENTRIES = 4000;
const MOST_INCIDENTS = 100;
const MOST_RESETS = 1000;
const FPS_KEPT = 180;

/** Rows of numbers that grow; of too many the oldest tenth goes. */
export class Rows {
  constructor(width, most) {
    this.width = width;
    this.most = most;
    this.length = 0;
    this.dropped = 0;
    this.data = new Float64Array(width * 256);
  }

  push(...values) {
    if (this.length === this.most) {
      const gone = Math.ceil(this.most / 10);
      this.data.copyWithin(0, gone * this.width, this.length * this.width);
      this.length -= gone;
      this.dropped += gone;
    }
    if ((this.length + 1) * this.width > this.data.length) {
      const larger = new Float64Array(this.data.length * 2);
      larger.set(this.data);
      this.data = larger;
    }
    this.data.set(values, this.length * this.width);
    this.length += 1;
  }

  at(row, column) {
    return this.data[row * this.width + column];
  }

  set(row, column, value) {
    this.data[row * this.width + column] = value;
  }

  /** The first row whose `column` is not below `value`; rows are in that order. */
  find(value, column = 0) {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.at(middle, column) < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export const NOTE = { ONSET: 0, OFFSET: 1, MIDI: 2, CENTS: 3, HZ: 4, DB: 5, CONFIDENCE: 6 };
export const FLOOR_ORDER = ["silence", "speech", "playing", "singing", "both", "own_voice", "other"];
export const STATE_ORDER = ["passive_listening", "active_listening", "responding", "speaking", "ended"];

const PORTS = ["floor", "vad", "asr", "music", "brain", "voice", "face"];

export class Lesson {
  constructor(id) {
    this.id = id;
    this.version = 0; // goes up with every batch
    this.started = null;
    this.ended = null;
    this.t = 0;
    this.offset = -Infinity; // media seconds minus ours
    this.notes = new Rows(7, MOST_NOTES);
    this.beats = new Rows(3, MOST_MARKS); // at, confidence, bpm (NaN: none)
    this.floors = new Rows(2, MOST_SPANS); // since, label
    this.states = new Rows(2, MOST_SPANS); // since, state
    this.wakes = [];
    this.takes = [];
    this.floor = "silence";
    this.state = "passive_listening";
    this.path = []; // the last changes: { t, from, to, cause }
    this.edges = new Map(); // how often each was taken
    this.deadline = null;
    this.window = 10;
    this.entries = []; // what was said: see below
    this.entriesDropped = 0;
    this.utterances = new Map();
    this.replies = new Map();
    this.backends = new Map(); // port → { serving, first, fallbacks, failures }
    this.incidents = [];
    this.incidentCount = 0;
    this.fps = [];
    this.totals = { underruns: 0, held: 0, late: 0, queued: 0, offset: null };
    this.resets = []; // when what was played was forgotten; what began before counts no more
    this.noteCount = 0;
    this.recentBpm = null;
    this.face = null;
    this.fresh = { finals: [], replies: [], state: false }; // to be read aloud
    this.states.push(0, 0);
    this.floors.push(0, 0);
  }

  /** Take in records, of which the first may be long past. `now`: our clock, in seconds. */
  apply(records, now) {
    for (const record of records) {
      const take = TAKERS[record.type];
      if (typeof record.t === "number") this.t = Math.max(this.t, record.t);
      try {
        take?.(this, record);
      } catch (error) {
        // One record that is not as it should be does not cost the others.
        console.error(error);
        this.incident(record, "warning", `console: a record ${record.type} could not be read`);
      }
    }
    this.offset = Math.max(this.offset, this.t - now);
    this.version += 1;
  }

  /** So many events were no longer kept when we came. */
  lose(count) {
    this.add({ kind: "remark", t: this.t, text: `${count} events before this are no longer kept` });
    this.version += 1;
  }

  /** Media time now, as far as can be told: it goes on between events, but not without them. */
  now(now) {
    if (this.ended) return this.t;
    return Math.min(now + this.offset, this.t + 2.5);
  }

  /** Since when what is played counts. */
  get since() {
    return this.resets.at(-1) ?? 0;
  }

  get persona() {
    return this.started?.persona ?? null;
  }

  /** Who has the floor, as one word; the state knows better when she speaks. */
  get holder() {
    return this.state === "speaking" && this.floor === "silence" ? "own_voice" : this.floor;
  }

  add(entry) {
    entry.version = 0;
    entry.number = this.entries.length + this.entriesDropped;
    this.entries.push(entry);
    if (this.entries.length > MOST_ENTRIES) {
      const gone = MOST_ENTRIES / 10;
      this.entries.splice(0, gone);
      this.entriesDropped += gone;
      const first = this.entries[0].number;
      for (const map of [this.utterances, this.replies]) {
        for (const [key, kept] of map) if (kept.number < first) map.delete(key);
      }
    }
    return entry;
  }

  reply(record) {
    let entry = this.replies.get(record.epoch);
    if (!entry) {
      entry = this.add({
        kind: "reply",
        t: record.t,
        epoch: record.epoch,
        asked: null,
        question: "",
        clauses: [],
        observations: [],
        spoken: [],
        latency: null,
        began: null,
        stopped: null,
        resumed: 0,
        words: null,
      });
      this.replies.set(record.epoch, entry);
    }
    entry.version += 1;
    return entry;
  }

  incident(record, kind, text) {
    this.incidentCount += 1;
    this.incidents.push({ t: record.t, kind, text });
    if (this.incidents.length > MOST_INCIDENTS) this.incidents.shift();
  }

  backend(name) {
    const port = short(name);
    if (!this.backends.has(port)) {
      this.backends.set(port, { serving: "", first: "", fallbacks: [], failures: 0 });
    }
    return this.backends.get(port);
  }
}

/** A port as `session_started` names it: what follows says "senses.asr" for "asr". */
const short = (port) => port.replace(/^senses\./, "");

const TAKERS = {
  session_started(lesson, record) {
    lesson.started = record;
    for (const port of PORTS) {
      const first = record.backends?.[port];
      if (first === undefined) continue;
      const fallbacks = record.fallbacks?.[port] ?? [];
      lesson.backends.set(port, { serving: first, first, fallbacks, failures: 0 });
    }
  },

  floor(lesson, record) {
    lesson.floor = record.label;
    // Two changes may be known in the other order than they were.
    const last = lesson.floors.at(lesson.floors.length - 1, 0);
    lesson.floors.push(Math.max(last, record.since), FLOOR_ORDER.indexOf(record.label));
  },

  transcript(lesson, record) {
    let entry = lesson.utterances.get(record.utterance);
    if (!entry) {
      if (!record.text) return;
      entry = lesson.add({ kind: "utterance", t: record.start, text: "", final: false, wake: null });
      lesson.utterances.set(record.utterance, entry);
    }
    Object.assign(entry, { text: record.text, final: record.final, end: record.end });
    entry.version += 1;
    if (record.final && record.text) lesson.fresh.finals.push(record.text);
  },

  wake(lesson, record) {
    lesson.wakes.push(record.start);
    if (lesson.wakes.length > 2000) lesson.wakes.shift();
    for (let index = lesson.entries.length - 1; index >= 0; index--) {
      const entry = lesson.entries[index];
      if (entry.kind === "utterance" && entry.t <= record.start + 0.001) {
        entry.wake = { phrase: record.phrase, score: record.score };
        entry.version += 1;
        return;
      }
    }
  },

  note(lesson, r) {
    const missing = Number.NaN;
    const rows = lesson.notes;
    rows.push(r.onset, r.offset, r.midi, r.deviation_cents ?? missing, r.f0_hz ?? missing, r.loudness_db, r.confidence);
    // Nearly in order of onset; the few that are not step back to their place.
    for (let row = rows.length - 1; row > 0 && rows.at(row - 1, 0) > rows.at(row, 0); row--) {
      for (let column = 0; column < rows.width; column++) {
        const kept = rows.at(row, column);
        rows.set(row, column, rows.at(row - 1, column));
        rows.set(row - 1, column, kept);
      }
    }
    if (r.onset >= lesson.since) lesson.noteCount += 1; // a note is known only when it has ended
  },

  beat(lesson, record) {
    const rows = lesson.beats;
    // The pace of the last four beats: of one alone it would shake.
    let bpm = Number.NaN;
    const back = Math.min(4, rows.length);
    for (let steps = back; steps >= 1 && Number.isNaN(bpm); steps--) {
      const since = rows.at(rows.length - steps, 0);
      if (since < lesson.since) continue;
      const gaps = (record.at - since) / steps;
      const nearest = record.at - rows.at(rows.length - 1, 0);
      if (gaps > 0.2 && gaps < 2.2 && nearest < 2.2 * Math.max(0.25, gaps)) bpm = 60 / gaps;
      if (nearest >= 3) break;
    }
    rows.push(record.at, record.confidence, bpm);
    lesson.recentBpm = Number.isNaN(bpm) ? lesson.recentBpm : bpm;
  },

  take_started(lesson, record) {
    const take = { take: record.take, start: record.start, end: null, notes: null, instrument: null, forgotten: false };
    take.entry = lesson.add({ kind: "take", t: record.start, take });
    lesson.takes.push(take);
    if (lesson.takes.length > 2000) lesson.takes.shift();
  },

  take_ended(lesson, record) {
    const take = lesson.takes.findLast((one) => one.take === record.take);
    if (!take) return;
    Object.assign(take, { end: record.end, notes: record.notes, instrument: record.instrument ?? null });
    take.entry.version += 1;
  },

  state(lesson, record) {
    lesson.state = record.to;
    lesson.states.push(record.t, STATE_ORDER.indexOf(record.to));
    lesson.path.push({ t: record.t, from: record.from, to: record.to, cause: record.cause });
    if (lesson.path.length > 40) lesson.path.shift();
    const edge = `${record.from}>${record.to}`;
    lesson.edges.set(edge, (lesson.edges.get(edge) ?? 0) + 1);
    if (record.to !== "active_listening") lesson.deadline = null;
    lesson.fresh.state = true;
  },

  timer(lesson, record) {
    lesson.deadline = record.action === "started" ? record.deadline : null;
    if (record.action === "started") lesson.window = Math.max(0.1, record.deadline - record.t);
  },

  question(lesson, record) {
    Object.assign(lesson.reply(record), { asked: record.kind, question: record.text });
  },

  summary(lesson, record) {
    lesson.reply(record).observations = record.observations ?? [];
  },

  reply_text(lesson, record) {
    const entry = lesson.reply(record);
    entry.clauses.push({ text: record.text, brain: record.brain, figures: record.figures ?? [] });
    const brain = lesson.backend("brain");
    if (!brain.serving) brain.serving = record.brain;
  },

  spoken(lesson, record) {
    const entry = lesson.reply(record);
    if (entry.spoken.length < 20) entry.spoken.push({ voice: record.voice, ttfb: record.ttfb, rtf: record.rtf });
  },

  reply_started(lesson, record) {
    Object.assign(lesson.reply(record), { latency: record.latency, began: record.t });
  },

  resumed(lesson, record) {
    lesson.reply(record).resumed += 1;
  },

  reply_stopped(lesson, record) {
    const entry = lesson.reply(record);
    entry.stopped = { t: record.silence_at, cause: record.cause, heard: record.heard_text };
    lesson.fresh.replies.push(record.heard_text);
  },

  slice(lesson, record) {
    lesson.fps.push(record.fps);
    if (lesson.fps.length > FPS_KEPT) lesson.fps.shift();
    lesson.totals.underruns += record.underruns;
    lesson.totals.held += record.held;
    lesson.totals.late += record.late;
    lesson.totals.queued = record.queued;
    if (record.av_offset !== null) lesson.totals.offset = record.av_offset;
  },

  adapter_failed(lesson, record) {
    lesson.backend(record.port).failures += 1;
    lesson.incident(record, "failed", `${short(record.port)}, ${record.adapter}: ${record.text}`);
  },

  adapter_switched(lesson, record) {
    lesson.backend(record.port).serving = record.to;
    lesson.incident(record, "switched", `${short(record.port)}: ${record.to} instead of ${record.from}`);
  },

  connection_restored(lesson, record) {
    lesson.incident(record, "restored", `${record.port} is back after ${record.after.toFixed(1)} s`);
  },

  face_degraded(lesson, record) {
    lesson.face = record.level;
    lesson.incident(record, record.level === "full" ? "restored" : "warning", `face, ${record.face}: ${record.level} (${record.cause})`);
  },

  config_changed(lesson, record) {
    if (Object.keys(record.values ?? {}).length) {
      const words = Object.entries(record.values).map(([key, value]) => `${key.split(".").pop().replaceAll("_", " ")}: ${[].concat(value).join(", ")}`);
      lesson.add({ kind: "remark", t: record.t, text: `Changed: ${words.join("; ")}` });
    }
  },

  context_reset(lesson, record) {
    const what = record.performance ? "What was said and played is forgotten" : "What was said is forgotten";
    lesson.add({ kind: "remark", t: record.t, text: what });
    if (!record.performance) return;
    lesson.resets.push(record.t);
    if (lesson.resets.length > MOST_RESETS) lesson.resets.shift();
    lesson.noteCount = 0;
    lesson.recentBpm = null;
    for (const take of lesson.takes) {
      if (take.forgotten) continue;
      take.forgotten = true;
      take.end ??= record.t; // nobody will say when it ended
      take.entry.version += 1;
    }
  },

  warning(lesson, record) {
    lesson.incident(record, record.source === "licence" ? "notice" : "warning", `${record.source}: ${record.text}`);
  },

  session_ended(lesson, record) {
    lesson.ended = record;
    lesson.state = "ended";
    lesson.add({ kind: "remark", t: record.t, text: `The lesson has ended${record.text ? `: ${record.text}` : ""}` });
  },
};
