// A session's events, as they happen: server-sent events, read by hand so that a refusal can be told
// from a broken line, and unknown types from none.
//
// Who comes back names the last event it saw, and none is given twice: not by the service, nor here.

import { refusal } from "./api.js";

const SILENCE = 40_000; // ms: the service says something every 15 s
const PATIENCE = [500, 1000, 2000, 4000, 8000]; // ms between tries

export class Feed {
  #url;
  #stopped = new AbortController();
  #last = 0;
  #ended = false;

  /**
   * @param {string} url the session's events
   * @param {(records: Object[], lost: number) => void} onrecords a batch, in order
   * @param {(link: "open"|"broken"|"over"|"refused", error?: Error) => void} onlink
   */
  constructor(url, onrecords, onlink) {
    this.#url = url;
    this.onrecords = onrecords;
    this.onlink = onlink;
    this.#run();
  }

  stop() {
    this.#stopped.abort();
  }

  async #run() {
    let tries = 0;
    while (!this.#stopped.signal.aborted) {
      const before = this.#last;
      try {
        if (await this.#read()) return;
      } catch (error) {
        if (this.#stopped.signal.aborted) return;
        if (error.status >= 400 && error.status < 500) {
          this.onlink("refused", error);
          return;
        }
      }
      if (this.#stopped.signal.aborted) return;
      this.onlink("broken");
      tries = this.#last > before ? 0 : tries + 1;
      const pause = PATIENCE[Math.min(tries, PATIENCE.length - 1)];
      await new Promise((done) => setTimeout(done, pause));
    }
  }

  /** Read until the line breaks; true if there is nothing more to come. */
  async #read() {
    const headers = this.#last ? { "Last-Event-ID": String(this.#last) } : {};
    const line = new AbortController();
    const stop = () => line.abort();
    this.#stopped.signal.addEventListener("abort", stop);
    let alarm = setTimeout(stop, SILENCE);
    try {
      const answer = await fetch(this.#url, {
        headers,
        credentials: "same-origin",
        cache: "no-store",
        signal: line.signal,
      });
      if (answer.status === 204) {
        this.onlink("over");
        return true;
      }
      if (!answer.ok) throw await refusal(answer);
      this.onlink("open");
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done && this.#ended) this.onlink("over");
        if (done) return this.#ended;
        clearTimeout(alarm);
        alarm = setTimeout(stop, SILENCE);
        rest = this.#take(rest + value);
      }
    } finally {
      clearTimeout(alarm);
      this.#stopped.signal.removeEventListener("abort", stop);
    }
  }

  #take(text) {
    const blocks = text.split("\n\n");
    const rest = blocks.pop();
    const records = [];
    let lost = 0;
    for (const block of blocks) {
      let id = null;
      let data = null;
      for (const line of block.split("\n")) {
        if (line.startsWith("id: ")) id = Number(line.slice(4));
        else if (line.startsWith("data: ")) data = line.slice(6);
      }
      if (id === null || data === null || id <= this.#last) continue;
      this.#last = id;
      const record = JSON.parse(data);
      if (record.type === undefined) lost += record.lost ?? 0;
      else records.push(record);
      this.#ended ||= record.type === "session_ended";
    }
    if (records.length || lost) this.onrecords(records, lost);
    return rest;
  }
}
