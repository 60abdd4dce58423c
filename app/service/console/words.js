// Small things that every part of the console needs: elements, numbers, names.

/** An element: `h("p", { class: "x", onclick }, "text", child)`. No HTML is ever parsed. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Set text only where it differs: what did not change is not laid out again, nor read aloud. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Seconds as on a clock: 7:04, or 1:07:04. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const minutes = Math.floor(whole / 60) % 60;
  const hours = Math.floor(whole / 3600);
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

const NAMES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];

/** The name of a MIDI note: A4 is 69. */
export const noteName = (midi) => NAMES[((midi % 12) + 12) % 12] + (Math.floor(midi / 12) - 1);

/** Cents with their sign: +12, −7, 0. */
export function cents(value) {
  const whole = Math.round(value);
  return whole > 0 ? `+${whole}` : whole < 0 ? `−${-whole}` : "0";
}

const UNITS = {
  bpm: (v) => `${round(v, 1)} beats a minute`,
  cents: (v) => `${cents(v)} cents`,
  s: (v) => `${round(v, 2)} s`,
  db: (v) => `${round(v, 1)} dB`,
  percent: (v) => `${round(v, 1)} %`,
  ratio: (v) => `${round(v * 100, 1)} %`,
  count: (v) => `${round(v, 0)}`,
  midi: (v) => noteName(Math.round(v)),
  hz: (v) => `${round(v, 1)} Hz`,
};

const round = (value, digits) => String(Number(value.toFixed(digits))).replace("-", "−");

/** A fact's value with its unit, as people write it. */
export const quantity = (fact) => (UNITS[fact.unit] ?? ((v) => `${v} ${fact.unit}`))(fact.value);

/** `tempo_start_bpm` as words: "tempo start". */
export function factName(name, detail = "") {
  const words = name.replace(/_(bpm|hz|percent|cents|db)$/, "").replaceAll("_", " ");
  return detail ? `${words}, ${detail}` : words;
}

const STATES = {
  passive_listening: "Passive listening",
  active_listening: "Active listening",
  responding: "Responding",
  speaking: "Speaking",
  ended: "Ended",
};

export const stateName = (state) => STATES[state] ?? state;

const FLOOR_WORDS = {
  silence: "nobody",
  speech: "you, speaking",
  playing: "you, playing",
  singing: "you, singing",
  both: "you, speaking and playing",
  own_voice: "the teacher",
  other: "some noise",
};

export const floorWords = (label, teacher) =>
  label === "own_voice" ? teacher : FLOOR_WORDS[label] ?? label;

/** `wake_phrase_heard` as words. */
export const causeWords = (cause) => cause.replaceAll("_", " ");

const plain = (word) => word.toLowerCase().replace(/[^\p{L}\p{N}']/gu, "");

function distance(one, other) {
  let before = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let i = 1; i <= one.length; i++) {
    const row = [i];
    for (let j = 1; j <= other.length; j++) {
      const swap = before[j - 1] + (one[i - 1] === other[j - 1] ? 0 : 1);
      row.push(Math.min(swap, before[j] + 1, row[j - 1] + 1));
    }
    before = row;
  }
  return before[other.length];
}

/**
 * Where the words that woke her stand in `text`: [from, to) in characters, or null. The log tells
 * which phrase it was taken for, and recognisers misspell: the stretch that is most like it.
 */
export function wakeWords(text, phrase) {
  const words = [...text.matchAll(/\S+/g)].map((match) => [match[0], match.index]);
  const wanted = phrase.split(/\s+/).map(plain).filter(Boolean);
  const target = wanted.join("");
  let best = null;
  let least = Math.max(2, target.length * 0.6);
  for (let length = Math.max(1, wanted.length - 1); length <= wanted.length + 1; length++) {
    for (let at = 0; at + length <= words.length; at++) {
      const said = words.slice(at, at + length).map(([word]) => plain(word)).join("");
      const far = distance(said, target);
      if (far < least) {
        least = far;
        const [last, start] = words[at + length - 1];
        best = [words[at][1], start + last.replace(/[.,;:!?…]+$/, "").length];
      }
    }
  }
  return best;
}
