// The WebSocket to the server, for messages both ways. It reconnects by itself.

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 4000;

export class Connection {
  #socket = null;
  #pauseMs = FIRST_PAUSE_MS;
  #receivers;
  #changed;
  #received;

  // receivers: {type: message => …}. changed(there) is called when the connection opens or closes, and received() after each
  // message and each change.
  constructor(receivers, { changed, received }) {
    this.#receivers = receivers;
    this.#changed = (there) => {
      changed(there);
      received();
    };
    this.#received = received;
    addEventListener("online", () => this.#retryNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.#retryNow());
    // A page that the user has left holds no key, even if the browser keeps it in its cache.
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

  // Close the connection, as a broken network does. Another one is opened soon.
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
