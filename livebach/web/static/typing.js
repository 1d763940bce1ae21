// The computer's keyboard as a piano: the row of A has the white keys from C on, the row above has the black ones.
// Keys are known by their place (event.code), so that every layout plays alike.

const PLACES = ["KeyA", "KeyW", "KeyS", "KeyE", "KeyD", "KeyF", "KeyT", "KeyG", "KeyY", "KeyH", "KeyU", "KeyJ", "KeyK",
  "KeyO", "KeyL", "KeyP", "Semicolon", "Quote"];
const VELOCITY = 76, WITH_SHIFT = 104;
const LOWEST_C = 24, HIGHEST_C = 84;

export class Typing {
  #down = new Map(); // code -> key
  #strike;
  #release;
  #moved;
  on = true;
  lowest = 60;

  // strike(key, velocity), release(key); moved(key) when the octave has changed.
  constructor({ strike, release, moved }) {
    this.#strike = strike;
    this.#release = release;
    this.#moved = moved;
    addEventListener("keydown", (event) => this.#pressed(event));
    addEventListener("keyup", (event) => this.#released(event.code));
    addEventListener("blur", () => this.letGo()); // another window gets the key-ups
  }

  letGo() {
    for (const code of [...this.#down.keys()]) this.#released(code);
  }

  #pressed(event) {
    if (!this.on || event.repeat || event.ctrlKey || event.metaKey || event.altKey || takesLetters(event.target)) return;
    const place = PLACES.indexOf(event.code);
    if (place >= 0 && !this.#down.has(event.code)) {
      event.preventDefault();
      const key = this.lowest + place;
      this.#down.set(event.code, key);
      this.#strike(key, event.shiftKey ? WITH_SHIFT : VELOCITY);
    } else if (event.code === "KeyZ" || event.code === "KeyX") {
      this.lowest = Math.max(LOWEST_C, Math.min(HIGHEST_C, this.lowest + (event.code === "KeyZ" ? -12 : 12)));
      this.#moved(this.lowest);
    }
  }

  #released(code) {
    const key = this.#down.get(code);
    if (key === undefined) return;
    this.#down.delete(code);
    this.#release(key);
  }
}

// Whether an element uses letters itself, as lists and text fields do.
function takesLetters(element) {
  return element instanceof HTMLSelectElement || element.matches?.("input:not([type=range], [type=checkbox]), textarea");
}
