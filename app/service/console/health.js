// How the input, the output and the backends fare.

import { byId, clock, h, setText } from "./words.js";

const STEADY = 24; // frames a second
const INCIDENTS = 30;

export class Health {
  #status = null;
  #drawn = "";

  /** What the service says of the session. */
  status(status) {
    this.#status = status;
    this.#connection("health-in", status.ingest);
    this.#connection("health-out", status.publish);
    this.#drawn = "";
  }

  #connection(id, { url, ok, text }) {
    const row = byId(id);
    row.dataset.ok = ok ? "yes" : "no";
    setText(row.querySelector(".where"), { "whip:": "a browser’s microphone", "whep:": "browsers only" }[url] ?? url);
    setText(row.querySelector(".what"), ok ? text || "well" : text || "not there");
  }

  render(lesson) {
    const state = `${lesson.id} ${lesson.version}`;
    if (state === this.#drawn) return;
    this.#drawn = state;
    const fps = lesson.fps.at(-1);
    setText(byId("fps-now"), fps === undefined ? "–" : fps.toFixed(fps >= 24.95 ? 0 : 1));
    const { underruns, held, late, queued, offset } = lesson.totals;
    const memory = this.#status?.memory;
    const counts = {
      "queued": `${queued.toFixed(2)} s`,
      "late": late,
      "repeated": held,
      "missing": underruns,
      "sound ahead": offset === null ? "–" : `${Math.round(1000 * offset)} ms`.replace("-", "−"),
      "memory": memory ? `${Math.round(memory / 2 ** 20)} MB` : "–",
    };
    const list = byId("counts");
    if (!list.children.length) {
      list.append(...Object.keys(counts).map((name) => h("div", {}, h("dt", {}, name), h("dd"))));
    }
    Object.values(counts).forEach((value, index) => setText(list.children[index].lastChild, String(value)));
    this.#backends(lesson);
    this.#incidents(lesson);
    this.#curve(lesson.fps);
  }

  #backends(lesson) {
    const list = byId("backends");
    const rows = [...lesson.backends].filter(([, one]) => one.serving);
    const key = JSON.stringify(rows);
    if (list.dataset.key === key) return;
    list.dataset.key = key;
    list.replaceChildren(
      ...rows.map(([port, { serving, first, fallbacks, failures }]) => {
        const how = serving !== first && first ? "stands in" : "";
        const failed = failures ? `failed ${failures}×` : "";
        const others = fallbacks.filter((name) => name !== serving);
        const after = others.length ? `then ${others.join(", ")}` : "";
        return h("li", { "data-ok": failures ? "no" : "yes" }, h("i", { class: "dot", "aria-hidden": "true" }), h("span", { class: "port" }, port), h("b", {}, serving), h("em", {}, [how, failed, after].filter(Boolean).join(" · ")));
      }),
    );
  }

  #incidents(lesson) {
    const box = byId("incidents");
    if (box.dataset.count === `${lesson.id}${lesson.incidentCount}`) return;
    box.dataset.count = `${lesson.id}${lesson.incidentCount}`;
    setText(byId("incident-count"), String(lesson.incidentCount));
    byId("incidents-box").hidden = !lesson.incidentCount;
    byId("incidents-box").classList.toggle("grave", lesson.incidents.some(({ kind }) => kind === "failed" || kind === "warning"));
    box.replaceChildren(
      ...lesson.incidents
        .slice(-INCIDENTS)
        .reverse()
        .map(({ t, kind, text }) => h("li", { class: kind }, h("time", { class: "num" }, clock(t)), h("span", {}, text))),
    );
  }

  #curve(fps) {
    const canvas = byId("fps");
    const box = canvas.getBoundingClientRect();
    if (!box.width) return;
    const ratio = Math.min(2, devicePixelRatio || 1);
    const [wide, high] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
    if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
    const context = canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    context.clearRect(0, 0, wide, high);
    const bar = wide / 60;
    fps.slice(-60).forEach((value, index, shown) => {
      context.fillStyle = style.getPropertyValue(value >= STEADY ? "--good" : "--bad");
      const tall = Math.max(1, (Math.min(25, value) / 25) * high);
      context.fillRect(wide - (shown.length - index) * bar, high - tall, Math.max(1, bar - ratio), tall);
    });
  }
}
