// A lesson with this browser's microphone, and watching one.

import { ApiError, get, post } from "./api.js";
import { MICROPHONE, play, publish } from "./webrtc.js";
import { byId, setText } from "./words.js";

const FLOOR_DB = -60;
const COMES_WITHIN = 15_000; // ms, for her first picture
const TRIES = 4; // of a session that runs, but does not answer

/** What this page sends to and gets from a lesson. */
export class Here {
  #incoming = null;
  #outgoing = null;
  #stream = null;
  #camera = null;
  #meter = null;
  #patience = 0;

  constructor() {
    this.session = null;
    byId("avatar").addEventListener("loadeddata", () => this.#seen());
    byId("watch").addEventListener("click", () => (this.#incoming ? this.unwatch() : this.watch(this.session)));
    byId("unmute").addEventListener("click", () => {
      byId("avatar").muted = false;
      byId("unmute").hidden = true;
    });
    byId("mute").addEventListener("click", () => this.#mute());
    byId("leave").addEventListener("click", () => this.leave());
    byId("connect-again").addEventListener("click", () => this.#connect(this.session, this.#stream));
  }

  /** Another lesson is shown. */
  async show(session, isOver) {
    if (session !== this.session) {
      await this.part();
      this.session = session;
    }
    byId("watch").hidden = isOver;
    if (isOver) await this.part();
  }

  /**
   * Begin a lesson that hears this microphone.
   *
   * @param {(text: string) => void} tell what is being done
   * @returns {Promise<string>} the session
   */
  async begin(persona, withCamera, tell) {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new ApiError("A browser lends its microphone to pages on this machine (localhost) or by HTTPS only.", 0);
    }
    tell("Your browser asks whether it may lend its microphone…");
    const stream = await microphone();
    let session;
    try {
      tell("The lesson begins…");
      const started = await post("/session/start", {
        rtmp_ingest_url: "whip:",
        rtmp_publish_url: "whep:",
        persona_id: persona,
      });
      session = started.session_id;
      if (!started.links.whip) throw new ApiError("This service speaks no WebRTC: pip install 'maestra[browser]'.", 0);
      await this.leave();
      this.session = session;
      this.#stream = stream;
      this.#hear(stream);
      if (withCamera) await this.#see();
    } catch (error) {
      stopTracks(stream);
      if (session) post("/session/stop", { session_id: session }).catch(() => {});
      throw error;
    }
    this.#connect(session, stream);
    return session;
  }

  async #connect(session, stream) {
    const state = byId("mine-state");
    byId("mine").hidden = false;
    byId("connect-again").hidden = true;
    setText(state, LOADING);
    try {
      const connection = await this.#publish(session, stream);
      if (this.#stream !== stream) return connection?.close();
      this.#outgoing = connection;
      const tell = (now) => setText(state, MIC_STATES[now] ?? now);
      connection.onstate = (now) => {
        tell(now);
        if (now === "failed") this.#reconnect(session, stream);
      };
      tell(connection.peer.connectionState);
      await this.watch(session);
    } catch (error) {
      if (this.#stream !== stream) return;
      setText(state, error.message);
      byId("connect-again").hidden = false;
    }
  }

  /** As `publish`, as often as the session asks for it: it may be long until one has begun. */
  async #publish(session, stream) {
    for (let tries = 1; this.#stream === stream; tries++) {
      try {
        return await publish(`/session/${session}/whip`, stream);
      } catch (error) {
        if (error.status !== 503 || error.retryAfter === null || this.#stream !== stream) throw error;
        const [isStarting, text] = await awaited(session);
        if (!isStarting && tries >= TRIES) throw error;
        setText(byId("mine-state"), text);
        await new Promise((resolve) => setTimeout(resolve, error.retryAfter * 1000));
      }
    }
    return null;
  }

  async #reconnect(session, stream) {
    await this.#outgoing?.close();
    this.#outgoing = null;
    if (this.#stream === stream && this.session === session) this.#connect(session, stream);
  }

  async watch(session) {
    const video = byId("avatar");
    const button = byId("watch");
    if (!session) return;
    await this.unwatch();
    button.disabled = true;
    setText(button, "Connecting…");
    try {
      const connection = await play(`/session/${session}/whep`, video);
      if (this.session !== session) return connection.close();
      this.#incoming = connection;
      connection.onstate = (now) => {
        if (now === "failed" && this.#incoming === connection) this.watch(session);
      };
      video.classList.add("waiting"); // her portrait stays until there is a picture
      video.hidden = false;
      this.#patience = setTimeout(() => {
        this.onproblem("Her picture and voice do not arrive: is UDP between this browser and the service let through?");
      }, COMES_WITHIN);
      await video.play().catch(() => {
        // Until somebody has clicked, a page may only play without sound.
        video.muted = true;
        byId("unmute").hidden = false;
        return video.play().catch(() => {});
      });
      setText(button, "Stop watching");
    } catch (error) {
      setText(button, "Watch and listen");
      byId("unmute").hidden = true;
      this.onproblem(error.message);
    } finally {
      button.disabled = false;
    }
  }

  onproblem() {}

  #seen() {
    byId("avatar").classList.remove("waiting");
    clearTimeout(this.#patience);
    this.onproblem("");
  }

  async unwatch() {
    const connection = this.#incoming;
    this.#incoming = null;
    clearTimeout(this.#patience);
    const video = byId("avatar");
    video.hidden = true;
    video.srcObject = null;
    video.muted = false;
    byId("unmute").hidden = true;
    setText(byId("watch"), "Watch and listen");
    await connection?.close();
  }

  /** Neither watch nor be heard any longer. */
  async part() {
    await Promise.all([this.unwatch(), this.leave()]);
  }

  /** Be heard no longer. */
  async leave() {
    byId("mine").hidden = true;
    byId("connect-again").hidden = true;
    byId("myself").hidden = true;
    byId("myself").srcObject = null;
    for (const stream of [this.#stream, this.#camera]) stopTracks(stream);
    this.#stream = this.#camera = null;
    this.#meter?.close();
    this.#meter = null;
    const connection = this.#outgoing;
    this.#outgoing = null;
    await connection?.close();
  }

  #mute() {
    const [track] = this.#stream?.getAudioTracks() ?? [];
    if (!track) return;
    track.enabled = !track.enabled;
    byId("mute").setAttribute("aria-pressed", String(!track.enabled));
    setText(byId("mute"), track.enabled ? "Mute me" : "Muted");
  }

  /** Show how loud the microphone is: whether anything is heard at all is the first question. */
  #hear(stream) {
    const audio = new AudioContext();
    const analyser = audio.createAnalyser();
    analyser.fftSize = 1024;
    audio.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const meter = byId("mic-level");
    const timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      let sum = 0;
      for (const sample of samples) sum += sample * sample;
      meter.value = Math.max(FLOOR_DB, 10 * Math.log10(sum / samples.length + 1e-9));
    }, 80);
    this.#meter = {
      close() {
        clearInterval(timer);
        audio.close().catch(() => {});
      },
    };
  }

  async #see() {
    try {
      this.#camera = await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 320 } });
      byId("myself").srcObject = this.#camera;
      byId("myself").hidden = false;
    } catch {
      this.onproblem("The camera cannot be used; the lesson goes on without it.");
    }
  }
}

const LOADING = "Her ears, her mind and her voice are being loaded; that takes a while.";

/** Whether the session is still beginning, and what is waited for. */
async function awaited(session) {
  const { state, ended } = await get(`/session/${session}`);
  if (state === "ended") throw new ApiError(ended?.text || "The lesson has ended.", 409);
  if (state !== "starting") return [false, "What takes in your microphone is not ready yet; trying again…"];
  const { limited_by: limit } = await get("/sessions");
  return [true, limit === "measuring" ? "The machine is being measured, once; the lesson begins after that." : LOADING];
}

const MIC_STATES = {
  new: "Connecting…",
  connecting: "Connecting…",
  connected: "She hears you. Play, then say “Teacher, comment”.",
  disconnected: "The connection falters…",
  failed: "The connection is lost; trying again…",
  closed: "",
};

async function microphone() {
  try {
    return await navigator.mediaDevices.getUserMedia(MICROPHONE);
  } catch (error) {
    const text = {
      NotAllowedError: "The browser may not use the microphone: allow it beside the address, and begin again.",
      NotFoundError: "This machine has no microphone that the browser can use.",
      NotReadableError: "Another program has the microphone.",
    }[error.name];
    throw new ApiError(text ?? `The microphone cannot be used: ${error.message}`, 0);
  }
}

function stopTracks(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
