// The live roll: the notes of both players over time, with bars and beats. It is drawn only while something moves.

import { isBlack, nameOf } from "./keys.js";

const KEPT_S = 30;
const REMEMBERED = 15;
const PX_A_SECOND = 105;
const LOWEST_SHOWN = 40, HIGHEST_SHOWN = 88; // the range grows with the notes
const LEFT_PX = 34, TOP_PX = 22;

export class Roll {
  #canvas;
  #pen;
  #now;
  #notes = []; // {who, key, velocity, from, to}: times in s of the server's clock; `to` is null while it sounds
  #lines = []; // {at, bar} — bar: its number, or null for a beat
  #drawing = false;
  #low = LOWEST_SHOWN;
  #high = HIGHEST_SHOWN;
  #colours = {};
  #until = 0;
  struck = { you: 0, own: 0 }; // notes since the page was opened
  keys = { you: [], own: [] }; // the last of them
  velocities = { you: [], own: [] };

  // now: a function that gives the time that is at the right edge, in s of the server's clock.
  constructor(canvas, now) {
    this.#canvas = canvas;
    this.#pen = canvas.getContext("2d");
    this.#now = now;
    new ResizeObserver(() => this.#resized()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#resized());
  }

  strike(who, key, velocity, at) {
    this.end(who, key, at);
    this.struck[who] += 1;
    this.keys[who] = [...this.keys[who].slice(-REMEMBERED), key];
    this.velocities[who] = [...this.velocities[who].slice(-REMEMBERED), velocity];
    this.#notes.push({ who, key, velocity, from: at, to: null });
    this.#low = Math.min(this.#low, key - 2);
    this.#high = Math.max(this.#high, key + 2);
    this.#wake();
  }

  end(who, key, at) {
    for (const note of this.#notes) if (note.to === null && note.who === who && note.key === key) note.to = at;
  }

  // End the notes that a player no longer holds.
  holds(who, keys, at) {
    for (const note of this.#notes) {
      if (note.to === null && note.who === who && !keys.includes(note.key)) note.to = Math.max(at, note.from);
    }
  }

  // A beat; with a number, a bar begins on it.
  line(at, bar) {
    if (this.#lines.some((line) => Math.abs(line.at - at) < 0.02)) return;
    this.#lines.push({ at, bar });
    this.#wake();
  }

  clear() {
    this.#notes = [];
    this.#lines = [];
    this.#wake();
  }

  #resized() {
    const scale = devicePixelRatio || 1;
    this.#canvas.width = Math.round(this.#canvas.clientWidth * scale);
    this.#canvas.height = Math.round(this.#canvas.clientHeight * scale);
    const style = getComputedStyle(this.#canvas);
    for (const name of ["you", "own", "faint", "line", "ink", "stripe", "paper"]) {
      this.#colours[name] = style.getPropertyValue(`--${name}`).trim();
    }
    this.#font = `11px ${style.fontFamily}`;
    this.#wake();
  }

  #font = "11px sans-serif";

  #wake() {
    this.#until = performance.now() + KEPT_S * 1000;
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => this.#frame());
  }

  #frame() {
    this.#draw();
    this.#drawing = performance.now() < this.#until && (this.#notes.length > 0 || this.#lines.length > 0);
    if (this.#drawing) requestAnimationFrame(() => this.#frame());
  }

  #draw() {
    const pen = this.#pen, scale = devicePixelRatio || 1;
    const width = this.#canvas.width / scale, height = this.#canvas.height / scale;
    const now = this.#now();
    const span = (width - LEFT_PX) / PX_A_SECOND;
    this.#notes = this.#notes.filter((note) => note.to === null || note.to > now - Math.max(span, 1) - 1);
    this.#lines = this.#lines.filter((line) => line.at > now - span - 1);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = this.#font;
    const row = (height - TOP_PX) / (this.#high - this.#low + 1);
    const y = (key) => TOP_PX + (this.#high - key) * row;
    const x = (at) => width - (now - at) * PX_A_SECOND;
    this.#rows(pen, width, y, row);
    this.#grid(pen, x, height);
    for (const note of this.#notes) this.#note(pen, note, x, y, row, now);
    this.#margin(pen, height, y, row);
  }

  #rows(pen, width, y, row) {
    for (let key = this.#low; key <= this.#high; key++) {
      if (isBlack(key)) {
        pen.fillStyle = this.#colours.stripe;
        pen.fillRect(0, y(key), width, row);
      }
      if (key % 12 === 0) {
        pen.fillStyle = this.#colours.line;
        pen.fillRect(0, Math.round(y(key) + row), width, 1);
      }
    }
  }

  #grid(pen, x, height) {
    for (const { at, bar } of this.#lines) {
      const place = Math.round(x(at));
      pen.fillStyle = bar === null ? this.#colours.line : this.#colours.faint;
      pen.fillRect(place, bar === null ? TOP_PX : 4, 1, height);
      if (bar !== null) {
        pen.fillStyle = this.#colours.ink;
        pen.textAlign = "left";
        pen.fillText(String(bar), place + 5, 14);
      }
    }
  }

  #note(pen, { who, key, velocity, from, to }, x, y, row, now) {
    const left = x(from), length = Math.max(3, x(to ?? now) - left - 1);
    const high = Math.max(3, row - 1);
    pen.globalAlpha = 0.55 + (0.45 * velocity) / 127;
    pen.fillStyle = this.#colours[who];
    pen.beginPath();
    pen.roundRect(left, y(key) + (row - high) / 2, length, high, Math.min(3, high / 2));
    pen.fill();
    pen.globalAlpha = 1;
  }

  // The names of the octaves, over the notes that leave to the left.
  #margin(pen, height, y, row) {
    pen.fillStyle = this.#colours.paper;
    pen.fillRect(0, 0, LEFT_PX - 6, height);
    pen.fillStyle = this.#colours.ink;
    pen.textAlign = "right";
    for (let key = this.#low; key <= this.#high; key++) {
      if (key % 12 === 0) pen.fillText(nameOf(key), LEFT_PX - 10, y(key) + row / 2 + 4);
    }
  }
}
