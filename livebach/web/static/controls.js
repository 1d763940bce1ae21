// The controls: each gives one of livebach's commands, and shows what is set, whoever set it.

const WORDS = {
  mode: { continue: "in turns" },
  key: { null: "free", auto: "yours" },
  density: { follow: "yours", off: "free", 0: "0, least", 7: "7, most" },
  polyphony: { follow: "yours", off: "free", 0: "0, least", 7: "7, most" },
  register: { off: "free", 40: "40, low", 84: "84, high" },
};
const ORDER = { register: ["off"] }; // positions that come first in a list
const SETTLE_MS = 120; // a slider that is moved sends no more often than that
const TRUST_MS = 600; // so long a control shows what was chosen here, until the player has answered

function worded(dial, position) {
  const name = dial === "key" ? position.replace("#", "♯").replace(/^([A-G])b/, "$1♭") : position;
  return WORDS[dial]?.[position] ?? name;
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

  // Offer the dials that this livebach has: {dial: positions}.
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

  // Show what is set: {dial: value}.
  show(values) {
    for (const dial of this.#root.querySelectorAll("[data-dial]")) {
      const value = values[dial.dataset.dial];
      if (value === undefined || performance.now() - (this.#touched.get(dial) ?? -Infinity) < TRUST_MS) continue;
      if (dial.tagName === "SELECT" && ![...dial.options].some((option) => option.value === value)) {
        dial.add(new Option(worded(dial.dataset.dial, value), value));
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
