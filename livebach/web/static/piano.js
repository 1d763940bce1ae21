// The piano on the page. It has as many keys as fit, and is played by mouse, by touch, or by the computer's keyboard.

import { HIGHEST, LOWEST, isBlack, nameOf, spokenOf, whitesBelow } from "./keys.js";

const WHITE_PX = { fine: 24, coarse: 38 }; // the narrowest white key, for a mouse and for a finger
const SOFTEST = 35, LOUDEST = 115;
const BY_KEY = 80; // the velocity of a key struck by Enter or Space
const WHITES = whitesBelow(HIGHEST + 1);

export class Piano {
  #root;
  #strike;
  #release;
  #buttons = new Map(); // key -> button
  #pointers = new Map(); // pointer -> key
  #pressed = new Map(); // key -> the number of fingers on it
  #lit = { you: new Set(), own: new Set() };
  #low = 60;
  #high = 76;
  #ranged;

  // strike(key, velocity) and release(key) are called for keys that are played here, ranged(low, high) when others are shown.
  constructor(root, { strike, release, ranged }) {
    this.#root = root;
    this.#strike = strike;
    this.#release = release;
    this.#ranged = ranged;
    root.addEventListener("pointerdown", (event) => this.#down(event));
    root.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) root.addEventListener(name, (event) => this.#up(event));
    root.addEventListener("contextmenu", (event) => event.preventDefault());
    root.addEventListener("keydown", (event) => this.#typed(event));
    root.addEventListener("keyup", (event) => this.#typedUp(event));
    root.addEventListener("focusout", () => this.#letGoOfTyped());
    new ResizeObserver(() => this.#fit()).observe(root);
  }

  // Show which keys a player holds.
  light(who, keys) {
    const before = this.#lit[who];
    this.#lit[who] = new Set(keys);
    for (const key of new Set([...before, ...keys])) this.#paint(key);
  }

  // Show other keys: so many octaves higher.
  shift(octaves) {
    const room = this.#high - this.#low;
    this.#low = Math.max(LOWEST, Math.min(HIGHEST - room, this.#low + 12 * octaves));
    this.#fit();
  }

  // Show the octave of a key.
  reveal(key) {
    while (key < this.#low && this.#low > LOWEST) this.shift(-1);
    while (key > this.#high && this.#high < HIGHEST) this.shift(1);
  }

  // Release all keys that are held here.
  letGo() {
    for (const key of [...this.#pressed.keys()]) {
      this.#pressed.set(key, 1);
      this.#released(key);
    }
    this.#pointers.clear();
    this.#typedKey = null;
  }

  // --- the keys that are shown --------------------------------------------------------------------------------------

  #fit() {
    if (!this.#root.clientWidth) return; // not laid out
    const coarse = matchMedia("(pointer: coarse)").matches;
    const whites = Math.max(7, Math.floor(this.#root.clientWidth / (coarse ? WHITE_PX.coarse : WHITE_PX.fine)));
    let [low, high] = [LOWEST, HIGHEST];
    if (whites < WHITES) {
      low = Math.min(this.#low, HIGHEST);
      while (isBlack(low)) low--;
      const first = Math.min(whitesBelow(low), WHITES - whites);
      low = this.#whiteAt(first);
      high = this.#whiteAt(first + whites - 1);
    }
    if (this.#buttons.size && low === this.#shownLow && high === this.#shownHigh) return;
    [this.#low, this.#high] = [low, high];
    [this.#shownLow, this.#shownHigh] = [low, high];
    this.letGo();
    this.#build();
    this.#ranged(low, high);
  }

  #shownLow = null;
  #shownHigh = null;

  #whiteAt(place) {
    let key = LOWEST;
    for (let count = 0; key <= HIGHEST; key++) if (!isBlack(key) && count++ === place) return key;
    return HIGHEST;
  }

  #build() {
    const first = whitesBelow(this.#low), count = whitesBelow(this.#high + 1) - first;
    this.#buttons.clear();
    const buttons = [];
    for (let key = this.#low; key <= this.#high; key++) {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.key = key;
      button.className = isBlack(key) ? "key black" : "key white";
      button.setAttribute("aria-label", spokenOf(key));
      button.tabIndex = -1;
      const place = whitesBelow(key) - first;
      button.style.left = `${((isBlack(key) ? place - 0.31 : place) / count) * 100}%`;
      button.style.width = `${((isBlack(key) ? 0.62 : 1) / count) * 100}%`;
      if (key % 12 === 0) button.append(Object.assign(document.createElement("span"), { textContent: nameOf(key) }));
      this.#buttons.set(key, button);
      buttons.push(button);
    }
    this.#root.replaceChildren(...buttons);
    const focused = this.#buttons.get(60) ?? buttons[0];
    focused.tabIndex = 0;
    for (const key of this.#buttons.keys()) this.#paint(key);
  }

  #paint(key) {
    const button = this.#buttons.get(key);
    if (!button) return;
    button.classList.toggle("you", this.#lit.you.has(key) || this.#pressed.has(key));
    button.classList.toggle("own", this.#lit.own.has(key));
  }

  // --- what is played here ------------------------------------------------------------------------------------------

  #pressedKey(key, velocity) {
    const count = this.#pressed.get(key) ?? 0;
    this.#pressed.set(key, count + 1);
    if (count === 0) this.#strike(key, velocity);
    this.#paint(key);
  }

  #released(key) {
    const count = this.#pressed.get(key) ?? 0;
    if (count > 1) this.#pressed.set(key, count - 1);
    else if (count === 1) {
      this.#pressed.delete(key);
      this.#release(key);
    }
    this.#paint(key);
  }

  #under(event) {
    const element = document.elementFromPoint(event.clientX, event.clientY);
    const button = element?.closest?.(".key");
    return button && this.#root.contains(button) ? button : null;
  }

  // A key is louder near its front edge.
  #velocity(button, event) {
    const box = button.getBoundingClientRect();
    const part = Math.max(0, Math.min(1, (event.clientY - box.top) / box.height));
    return Math.round(SOFTEST + (LOUDEST - SOFTEST) * part);
  }

  #down(event) {
    const button = this.#under(event);
    if (!button || (event.pointerType === "mouse" && event.button !== 0)) return;
    event.preventDefault();
    this.#root.setPointerCapture(event.pointerId);
    const key = Number(button.dataset.key);
    this.#pointers.set(event.pointerId, key);
    this.#pressedKey(key, this.#velocity(button, event));
  }

  // A finger or a pressed mouse that slides plays the keys on its way.
  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (before === undefined) return;
    const button = this.#under(event);
    const key = button ? Number(button.dataset.key) : null;
    if (key === before || key === null) return;
    this.#pointers.set(event.pointerId, key);
    this.#pressedKey(key, this.#velocity(button, event));
    this.#released(before);
  }

  #up(event) {
    const key = this.#pointers.get(event.pointerId);
    if (key === undefined) return;
    this.#pointers.delete(event.pointerId);
    this.#released(key);
  }

  // --- by the keyboard: the arrows move from key to key, Space and Enter strike -------------------------------------

  #typedKey = null;

  #typed(event) {
    const key = Number(event.target.dataset?.key);
    if (!key || event.ctrlKey || event.metaKey || event.altKey) return;
    const to = { ArrowLeft: key - 1, ArrowRight: key + 1, ArrowDown: key - 12, ArrowUp: key + 12, Home: this.#low, End: this.#high };
    if (event.key in to) {
      event.preventDefault();
      this.#focus(event.target, to[event.key]);
    } else if ((event.key === " " || event.key === "Enter") && !event.repeat) {
      event.preventDefault();
      this.#letGoOfTyped();
      this.#typedKey = key;
      this.#pressedKey(key, BY_KEY);
    } else if (event.key === " " || event.key === "Enter") event.preventDefault();
  }

  #typedUp(event) {
    if (event.key === " " || event.key === "Enter") {
      event.preventDefault();
      this.#letGoOfTyped();
    }
  }

  #letGoOfTyped() {
    if (this.#typedKey !== null) this.#released(this.#typedKey);
    this.#typedKey = null;
  }

  #focus(from, wanted) {
    const key = Math.max(LOWEST, Math.min(HIGHEST, wanted));
    this.#letGoOfTyped();
    this.reveal(key);
    const button = this.#buttons.get(key);
    if (!button) return;
    for (const other of this.#buttons.values()) other.tabIndex = -1;
    button.tabIndex = 0;
    button.focus();
  }
}
