// The controls: each gives one of livebach's commands, and shows what is set, whoever set it.

const MAJOR = ["C", "G", "D", "A", "E", "B", "F#", "C#", "F", "Bb", "Eb", "Ab", "Db"];
const MINOR = ["a", "e", "b", "f#", "c#", "g#", "d", "g", "c", "f", "bb", "eb"];
const METRES = ["2/4", "3/4", "4/4", "3/8", "6/8", "9/8", "12/8", "2/2", "3/2"];
const LEVELS = [["follow", "yours"], ["off", "free"], ["0", "0, least"], ...plain(1, 6), ["7", "7, most"]];
const REGISTERS = [["off", "free"], ["40", "40, low"], ...plain(44, 60, 4), ...plain(64, 80, 4), ["84", "84, high"]];
const KEYS = [
  ["null", "free"],
  ["auto", "yours"],
  ...MAJOR.map((name) => [`${name} major`, `${signed(name)} major`]),
  ...MINOR.map((name) => [`${name} minor`, `${signed(name)} minor`]),
];
const OPTIONS = { density: LEVELS, polyphony: LEVELS, register: REGISTERS, key: KEYS, metre: METRES.map((name) => [name, name]) };
const SETTLE_MS = 120; // a slider that is moved sends no more often than that
const TRUST_MS = 600; // so long a control shows what was chosen here, until the player has answered

function plain(from, to, step = 1) {
  const out = [];
  for (let value = from; value <= to; value += step) out.push([String(value), String(value)]);
  return out;
}

function signed(name) {
  return name.replace("#", "♯").replace(/(?<=.)b/, "♭");
}

export class Controls {
  #command;
  #touched = new Map(); // control -> when it was moved here
  #waiting = new Map(); // control -> timer

  // command(name, value) is called for what is asked for here.
  constructor(root, command) {
    this.#command = command;
    for (const dial of root.querySelectorAll("[data-dial]")) this.#dial(dial);
    for (const button of root.querySelectorAll("[data-act]")) {
      button.addEventListener("click", () => command(button.dataset.act, ""));
    }
    for (const button of root.querySelectorAll("[data-switch]")) {
      button.addEventListener("click", () => {
        command(button.dataset.switch, button.getAttribute("aria-pressed") === "true" ? "off" : "on");
      });
    }
    this.#root = root;
  }

  #root;

  // Leave out the dials that this livebach does not have.
  offer(dials) {
    for (const dial of this.#root.querySelectorAll("[data-dial]")) {
      const missing = !dials.includes(dial.dataset.dial);
      dial.disabled = missing;
      dial.closest("label").hidden = missing;
    }
  }

  // Show what is set: {dial: value}.
  show(values) {
    for (const dial of this.#root.querySelectorAll("[data-dial]")) {
      const value = values[dial.dataset.dial];
      if (value === undefined || performance.now() - (this.#touched.get(dial) ?? -Infinity) < TRUST_MS) continue;
      if (dial.tagName === "SELECT" && ![...dial.options].some((option) => option.value === value)) {
        dial.add(new Option(value, value));
      }
      dial.value = value;
      write(dial, value);
    }
  }

  // Show which switches are on.
  press(on) {
    for (const button of this.#root.querySelectorAll("[data-switch]")) {
      button.setAttribute("aria-pressed", String(on.includes(button.dataset.switch)));
    }
  }

  #dial(dial) {
    for (const [value, text] of OPTIONS[dial.dataset.dial] ?? []) dial.add(new Option(text, value));
    dial.addEventListener("input", () => {
      this.#touched.set(dial, performance.now());
      write(dial, dial.value);
      if (this.#waiting.has(dial)) return;
      this.#waiting.set(
        dial,
        setTimeout(() => {
          this.#waiting.delete(dial);
          this.#touched.set(dial, performance.now());
          this.#command(dial.dataset.dial, dial.value);
        }, SETTLE_MS),
      );
    });
  }
}

// Write a slider's value beside its name.
export function write(control, value) {
  const output = control.closest("label")?.querySelector("output");
  const text = [Number.isNaN(Number(value)) ? value : String(Math.round(Number(value) * 100) / 100), control.dataset.unit]
    .filter(Boolean)
    .join(control.dataset.unit === "%" ? "" : " ");
  if (output) output.textContent = text;
  if (control.type === "range") control.setAttribute("aria-valuetext", text);
}
