// The controls. Each sends a command, and shows the present setting, whoever has set it.

const WORDS = {
  mode: { continue: "in turns" },
  key: { null: "free", auto: "yours" },
  density: { follow: "yours", off: "free", 0: "0, least", 7: "7, most" },
  polyphony: { follow: "yours", off: "free", 0: "0, least", 7: "7, most" },
  register: { off: "free", 40: "40, low", 84: "84, high" },
};
const ORDER = { register: ["off"] }; // positions that come first in a list
const SETTLE_MS = 120; // the shortest time between two commands of a slider
const TRUST_MS = 600; // for so long a control shows the value that was chosen on this page

function worded(dial, position) {
  const name = dial === "key" ? position.replace("#", "♯").replace(/^([A-G])b/, "$1♭") : position;
  return WORDS[dial]?.[position] ?? name;
}

export class Controls {
  #command;
  #touched = new Map(); // control -> when it was moved here
  #waiting = new Map(); // control -> timer
  #values = {}; // the values that livebach has sent

  // command(name, value) is called for each command of the user's.
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

  // Fill the lists with the positions of the dials: {dial: positions}. A dial that livebach lacks is hidden.
  offer(dials) {
    for (const dial of this.#root.querySelectorAll("[data-dial]")) {
      const name = dial.dataset.dial, positions = dials[name];
      dial.disabled = !positions;
      dial.closest("label").hidden = !positions;
      if (!positions || dial.tagName !== "SELECT") continue;
      const first = ORDER[name] ?? [];
      const all = [...first, ...positions.filter((position) => !first.includes(position))];
      dial.replaceChildren(...all.map((position) => new Option(worded(name, position), position)));
    }
  }

  // Show what is set: {dial: value}. A control that was moved here just now shows it a little later.
  show(values) {
    this.#values = values;
    for (const dial of this.#root.querySelectorAll("[data-dial]")) {
      const value = values[dial.dataset.dial], sinceMs = performance.now() - (this.#touched.get(dial) ?? -Infinity);
      if (value !== undefined && sinceMs >= TRUST_MS) this.#set(dial, value);
    }
  }

  #set(dial, value) {
    if (dial.tagName === "SELECT" && ![...dial.options].some((option) => option.value === value)) {
      const option = new Option(worded(dial.dataset.dial, value), value);
      option.disabled = dial.dataset.dial === "style"; // a file: livebach alone may choose it
      dial.add(option);
    }
    dial.value = value;
    write(dial, value);
  }

  // Show which switches are on.
  press(on) {
    for (const button of this.#root.querySelectorAll("[data-switch]")) {
      button.setAttribute("aria-pressed", String(on.includes(button.dataset.switch)));
    }
  }

  #dial(dial) {
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
          setTimeout(() => this.show(this.#values), TRUST_MS + 50); // this value may have been refused, or changed elsewhere
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
