// The WebSocket to the server: messages in and out, found again by itself when it is lost.

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 4000;

export class Connection {
  #socket = null;
  #pauseMs = FIRST_PAUSE_MS;
  #receivers;
  #changed;
  #received;

  // receivers: {type: message => …}. changed(there): the connection is there, or is not any more. received(): called after
  // each message and each change.
  constructor(receivers, { changed, received }) {
    this.#receivers = receivers;
    this.#changed = (there) => {
      changed(there);
      received();
    };
    this.#received = received;
    addEventListener("online", () => this.#retryNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.#retryNow());
    // A page that is left, perhaps into the browser's cache of pages, holds nothing.
    addEventListener("pagehide", () => this.#socket?.close());
    addEventListener("pageshow", (event) => event.persisted && this.#retryNow());
    this.#open();
  }

  get open() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  send(type, fields = {}) {
    if (this.open) this.#socket.send(JSON.stringify({ type, ...fields }));
  }

  // Give the connection up, as a network that breaks does; another one is opened soon.
  drop() {
    this.#socket?.close();
  }

  #open() {
    const socket = new WebSocket(`ws://${location.host}/live`);
    this.#socket = socket;
    socket.onopen = () => {
      this.#pauseMs = FIRST_PAUSE_MS;
      this.#changed(true);
    };
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      this.#receivers[message.type]?.(message);
      this.#received();
    };
    socket.onclose = () => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.#changed(false);
      setTimeout(() => this.#retryNow(), this.#pauseMs);
      this.#pauseMs = Math.min(LONGEST_PAUSE_MS, this.#pauseMs * 2);
    };
  }

  #retryNow() {
    if (this.#socket === null) this.#open();
  }
}
