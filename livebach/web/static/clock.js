// The server's clock, as seen from this page. The page asks for the time repeatedly. Of the last answers, the one with
// the shortest round trip counts (Cristian's algorithm): the delays of the others may lie on one way only.

const KEPT = 16;

export class ServerClock {
  #answers = [];

  // An answer: when the question was sent and came back (ms of this page), and the server's time in between (s).
  add(sentMs, cameMs, serverS) {
    const way = cameMs - sentMs;
    if (way < 0) return;
    this.#answers.push({ way, offset: (sentMs + cameMs) / 2 - serverS * 1000 });
    if (this.#answers.length > KEPT) this.#answers.shift();
  }

  get #best() {
    return this.#answers.reduce((best, answer) => (answer.way <= best.way ? answer : best));
  }

  get known() {
    return this.#answers.length > 0;
  }

  // The largest error in ms: half of the shortest round trip.
  get uncertaintyMs() {
    return this.known ? this.#best.way / 2 : Infinity;
  }

  // A time of the server's (s) as one of this page (ms, as performance.now() counts).
  toPage(serverS) {
    return serverS * 1000 + (this.known ? this.#best.offset : 0);
  }

  forget() {
    this.#answers = [];
  }
}
