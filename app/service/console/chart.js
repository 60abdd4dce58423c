// The four states: the present one lit, the ways that were gone, and what led here.

import { byId, causeWords, clock, h, setText, stateName } from "./words.js";

const SHOWN = 6;

export class Chart {
  #drawn = "";
  #nodes = new Map();
  #edges = new Map();
  #window = byId("window");

  constructor() {
    for (const node of document.querySelectorAll("#chart .node")) this.#nodes.set(node.dataset.state, node);
    for (const edge of document.querySelectorAll("#chart [data-edge]")) this.#edges.set(edge.dataset.edge, edge);
  }

  render(lesson) {
    const last = lesson.path.at(-1);
    const state = `${lesson.id} ${lesson.state} ${lesson.path.length} ${last?.t}`;
    if (state === this.#drawn) return;
    this.#drawn = state;
    for (const [name, node] of this.#nodes) {
      node.classList.toggle("lit", name === lesson.state);
      node.classList.toggle("been", lesson.path.some((step) => step.to === name));
    }
    for (const [name, edge] of this.#edges) {
      const count = lesson.edges.get(name) ?? 0;
      edge.classList.toggle("gone", count > 0);
      edge.classList.toggle("last", last !== undefined && name === `${last.from}>${last.to}`);
      edge.style.strokeWidth = count ? `${Math.min(3.4, 1.3 + Math.log2(1 + count) * 0.4)}px` : "";
    }
    setText(byId("chart-title"), `${stateName(lesson.state)}; four states, this one is lit`);
    setText(byId("state-name"), stateName(lesson.state));
    byId("state-name").dataset.state = lesson.state;
    setText(byId("state-why"), last ? `since ${clock(last.t)}, ${causeWords(last.cause)}` : "from the beginning");
    byId("path").replaceChildren(
      ...lesson.path
        .slice(-SHOWN)
        .reverse()
        .map((step) => h("li", { "data-state": step.to }, h("time", { class: "num" }, clock(step.t)), h("i", { class: "dot", "aria-hidden": "true" }), h("span", {}, stateName(step.to)), h("em", {}, causeWords(step.cause)))),
    );
  }

  /** The window for further questions runs out. */
  frame(lesson, now) {
    const left = lesson.deadline === null ? 0 : Math.max(0, Math.min(1, (lesson.deadline - now) / lesson.window));
    const dash = `${(100 * left).toFixed(1)} 100`;
    if (this.dash !== dash) {
      this.dash = dash;
      this.#window.style.strokeDasharray = dash;
      this.#window.style.visibility = left > 0 ? "visible" : "hidden";
    }
  }
}
