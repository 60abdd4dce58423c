// What can be changed in mid-lesson, and how it ends.

import { post } from "./api.js";
import { byId, h, setText } from "./words.js";

const MORE = {
  silence_complete: ["A complete question ends after", "s of silence", 0.1, 5],
  silence_open: ["One that could go on, after", "s of silence", 0.1, 5],
  max_utterance: ["It is cut at", "s", 2, 300],
  speech_threshold: ["Speech interrupts her after", "s", 0.02, 5],
  music_threshold: ["Music, after", "s", 0.02, 5],
};

export class Controls {
  #effective = null;
  #dirty = false;

  constructor() {
    this.session = null;
    this.onconfig = () => {};
    this.onstop = async () => {};
    const more = byId("more-settings");
    for (const [name, [label, unit, least, most]] of Object.entries(MORE)) {
      const input = h("input", { id: name, type: "number", min: least, max: most, step: "any", inputmode: "decimal" });
      more.append(h("label", { for: name }, label), h("p", { class: "with-unit" }, input, h("span", {}, unit)));
    }
    byId("settings").addEventListener("input", () => {
      this.#dirty = true;
      setText(byId("settings-word"), "");
    });
    byId("settings").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#apply();
    });
    byId("reset").addEventListener("click", () => this.#reset());
    byId("stop").addEventListener("click", () => byId("sure").showModal());
    byId("sure-no").addEventListener("click", () => byId("sure").close());
    byId("sure-yes").addEventListener("click", () => this.#stop());
  }

  async show(session, isOver) {
    this.session = session;
    this.#effective = null;
    this.#dirty = false;
    for (const id of ["settings-word", "acts-word"]) say(id, "");
    this.enable(!isOver);
    if (!isOver) await this.read();
  }

  enable(can) {
    for (const element of document.querySelectorAll(".controls :is(input, textarea, button)")) element.disabled = !can;
  }

  /** What is in force: a change of nothing is answered with it. */
  async read() {
    const session = this.session;
    try {
      const answer = await post("/session/config", { session_id: session });
      if (this.session === session) this.#fill(answer.config);
    } catch (error) {
      if (this.session !== session) return;
      if (error.status === 503) setTimeout(() => this.session === session && this.read(), 3000);
      else say("settings-word", error.message, true);
    }
  }

  #fill(config) {
    this.#effective = config;
    this.onconfig(config);
    if (this.#dirty) return;
    byId("phrases").value = config.wake_phrases.join("\n");
    for (const radio of document.querySelectorAll("[name=strictness]")) radio.checked = radio.value === config.strictness;
    byId("window-seconds").value = config.window;
    for (const name of Object.keys(MORE)) byId(name).value = config[name];
  }

  #changes() {
    const now = this.#effective ?? {};
    const phrases = byId("phrases").value.split("\n").map((line) => line.trim()).filter(Boolean);
    const wanted = {
      wake_phrases: phrases,
      strictness: document.querySelector("[name=strictness]:checked")?.value,
      window: number("window-seconds"),
    };
    for (const name of Object.keys(MORE)) wanted[name] = number(name);
    return Object.fromEntries(
      Object.entries(wanted).filter(([name, value]) => value !== undefined && JSON.stringify(value) !== JSON.stringify(now[name])),
    );
  }

  async #apply() {
    const changes = this.#changes();
    if (!Object.keys(changes).length) return say("settings-word", "Nothing has changed.");
    await busy(byId("apply"), "settings-word", async () => {
      const answer = await post("/session/config", { session_id: this.session, ...changes });
      this.#dirty = false;
      this.#fill(answer.config);
      const { strictness, window, wake_phrases: phrases } = answer.config;
      say("settings-word", `In force: ${phrases.map((one) => `“${one}”`).join(", ")}; strictness ${strictness}; ${window} s.`);
    });
  }

  async #reset() {
    const performance = byId("reset-performance").checked;
    await busy(byId("reset"), "acts-word", async () => {
      const { cleared } = await post("/session/reset_context", { session_id: this.session, performance });
      const turns = `${cleared.turns} ${cleared.turns === 1 ? "turn" : "turns"}`;
      say("acts-word", `Forgotten: ${turns}${cleared.performance ? " and the performance" : ""}.`);
    });
  }

  async #stop() {
    byId("sure").close();
    await busy(byId("stop"), "acts-word", async () => {
      await this.onstop();
      await post("/session/stop", { session_id: this.session });
      say("acts-word", "It has ended.");
      this.enable(false);
    });
  }
}

const number = (id) => (byId(id).value === "" ? undefined : Number(byId(id).value));

export function say(id, text, isWrong = false) {
  const element = byId(id);
  setText(element, text);
  element.classList.toggle("wrong", isWrong);
}

/** Do it once, and say what was wrong with it. */
export async function busy(button, word, act) {
  if (button.getAttribute("aria-busy")) return;
  button.setAttribute("aria-busy", "true");
  try {
    await act();
  } catch (error) {
    say(word, error.message, true);
  } finally {
    button.removeAttribute("aria-busy");
  }
}
