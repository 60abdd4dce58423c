// A browser's side of WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): the microphone goes to a
// session, the teacher's picture and voice come from it. See docs/how-to/browser.md.
//
// Offers are sent without candidates of our own: the service answers with its addresses, we knock
// there, and it sees where we are. So no STUN server is asked, and no address is made known.

/** What to ask getUserMedia for: one voice or instrument, without the teacher's own echo. */
export const MICROPHONE = Object.freeze({
  audio: { echoCancellation: true, noiseSuppression: false, autoGainControl: false, channelCount: 1 },
});

/** Milliseconds that a session may take to hear of a connection's end. */
const TOLD_WITHIN = 1000;

/** A session refused, or could not be reached. `status` is the HTTP status, 0 if there was none;
 * `retryAfter` is in how many seconds to try again, null if nothing was said of that. */
export class StreamError extends Error {
  constructor(message, status, retryAfter = null) {
    super(message);
    this.name = "StreamError";
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/**
 * Send the sound of `stream` (from getUserMedia) to the session.
 *
 * @param {string} url the session's link `whip`
 * @param {MediaStream} stream whose sound is sent; its pictures are not
 * @param {Object} headers of the requests, such as Authorization
 * @returns {Promise<Connection>}
 * @throws {StreamError} the session refuses
 */
export async function publish(url, stream, headers = {}) {
  return connect(url, headers, () => {
    const peer = new RTCPeerConnection();
    for (const track of stream.getAudioTracks()) {
      peer.addTransceiver(track, { direction: "sendonly", streams: [stream] });
    }
    return peer;
  });
}

/**
 * Show the teacher in `video`, and be heard there. Whether it may sound before somebody has clicked
 * is the browser's to say: if `video.play()` is refused, mute it or ask for a click.
 *
 * @param {string} url the session's link `whep`
 * @param {HTMLVideoElement} video
 * @param {Object} headers of the requests, such as Authorization
 * @returns {Promise<Connection>}
 * @throws {StreamError} the session refuses
 */
export async function play(url, video, headers = {}) {
  return connect(url, headers, () => {
    const peer = new RTCPeerConnection();
    const stream = new MediaStream();
    for (const kind of ["video", "audio"]) {
      const { receiver } = peer.addTransceiver(kind, { direction: "recvonly" });
      // As soon as it can be played: this is a conversation.
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      stream.addTrack(receiver.track);
    }
    video.srcObject = stream;
    return peer;
  });
}

const TRIES = 6;
const BEGINS_WITHIN = 700; // ms; it takes a few

async function connect(url, headers, makePeer) {
  for (let tries = 1; ; tries++) {
    const connection = new Connection(makePeer(), headers);
    try {
      await negotiate(connection, url, headers);
    } catch (error) {
      await connection.close();
      throw error;
    }
    if (tries === TRIES || (await begins(connection.peer))) return connection;
    // On a machine without any network Chromium finds its own addresses four times out of five.
    await connection.close();
  }
}

async function negotiate(connection, url, headers) {
  const { peer } = connection;
  await peer.setLocalDescription();
  const answer = await ask(url, {
    method: "POST",
    headers: { ...headers, "Content-Type": "application/sdp" },
    body: peer.localDescription.sdp,
  });
  connection.resource = new URL(answer.headers.get("Location"), answer.url).href;
  await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
}

/** Whether `peer` knocks at the addresses of the answer, or has reason not to. */
function begins(peer) {
  if (peer.connectionState !== "new") return Promise.resolve(true);
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, BEGINS_WITHIN, false);
    peer.addEventListener("connectionstatechange", () => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}

async function ask(url, request) {
  let answer;
  try {
    answer = await fetch(url, { credentials: "same-origin", ...request });
  } catch {
    throw new StreamError("The service cannot be reached.", 0);
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    const wait = Number.parseFloat(answer.headers.get("Retry-After") ?? "");
    throw new StreamError(
      problem.detail || `The service answers ${answer.status}.`,
      answer.status,
      Number.isNaN(wait) ? null : wait,
    );
  }
  return answer;
}

/** One connection to a session. `onstate(state)`: connecting, connected, disconnected, failed or
 * closed, as RTCPeerConnection says it. A connection that has failed is to be closed, and another
 * one made. */
export class Connection {
  #headers;

  constructor(peer, headers) {
    this.peer = peer;
    this.resource = null;
    this.onstate = null;
    this.#headers = headers;
    this.leave = this.leave.bind(this);
    peer.addEventListener("connectionstatechange", () => this.onstate?.(peer.connectionState));
    // A page that goes says so: else the session would wait for it.
    addEventListener("pagehide", this.leave);
  }

  /** Tell the session that this connection is over, without waiting for its answer. */
  leave() {
    const resource = this.resource;
    if (resource === null) return Promise.resolve();
    this.resource = null;
    const request = { method: "DELETE", headers: this.#headers, keepalive: true };
    return ask(resource, request).catch(() => {}); // a session that is over has forgotten it
  }

  /** End it, there and here: the session is told first, or it would notice by itself and know
   * nothing of a connection that is to be ended. It is not waited for long. */
  async close() {
    removeEventListener("pagehide", this.leave);
    await Promise.race([this.leave(), new Promise((resolve) => setTimeout(resolve, TOLD_WITHIN))]);
    this.peer.close();
    this.onstate?.("closed");
  }
}
