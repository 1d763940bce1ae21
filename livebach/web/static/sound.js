// The sound of this page: the synth, and the lists that choose instrument, temperament, pitch and volume.

import { Notes } from "./notes.js";
import { Synth } from "./synth.js";
import { remember, remembered } from "./remembered.js";
import { write } from "./controls.js";

const PITCHES = ["440", "442", "432", "430", "415", "392", "465"];
const TITLES = {
  werckmeister3: "Werckmeister III",
  kirnberger3: "Kirnberger III",
  vallotti: "Vallotti",
  392: "392 Hz, French",
  415: "415 Hz, baroque",
  440: "440 Hz",
  442: "442 Hz",
  465: "465 Hz, choir",
};
const AGAIN_MS = 1500;

export class Sound {
  synth = null;
  notes = null;
  progress = ""; // a text about the notes that are still being fetched
  #preparing = false;

  // Make the synth, once, with these settings: {instrument, temperament, pitch}.
  async prepare(set) {
    if (this.#preparing) return;
    this.#preparing = true;
    const answer = await fetch("/notes/manifest.json").catch(() => null);
    if (!answer?.ok) {
      this.#preparing = false;
      setTimeout(() => this.prepare(set), AGAIN_MS);
      return;
    }
    const manifest = await answer.json();
    const context = new AudioContext({ latencyHint: "interactive", sampleRate: manifest.rate });
    this.notes = new Notes(context, manifest);
    this.synth = new Synth(context, this.notes, manifest);
    this.#lists(manifest, set);
    this.#volume(document.getElementById("volume"));
  }

  // Browsers let a page sound only after a key or a click.
  begin() {
    if (this.synth?.context.state === "suspended") this.synth.context.resume();
  }

  play(data, who, atMs = null) {
    if (this.synth?.context.state === "running" || who === "you") this.synth?.play(data, who, atMs);
  }

  silence(who = null) {
    this.synth?.silence(who);
  }

  #lists({ instruments, temperaments }, set) {
    choose("instrument", Object.keys(instruments), set.instrument, (name) => this.#take(name));
    choose("temperament", Object.keys(temperaments), set.temperament, (name) => {
      this.synth.temperament = temperaments[name].cents;
    });
    const pitch = remembered("pitch", String(set.pitch));
    choose("pitch", PITCHES.includes(pitch) ? PITCHES : [pitch, ...PITCHES], pitch, (hz) => {
      this.synth.pitch = Number(hz);
    });
  }

  #take(name) {
    this.synth.instrument = name;
    this.notes.load(name, (part) => {
      this.progress = part < 1 ? `${name}: ${Math.round(part * 100)} % rendered` : "";
    });
  }

  #volume(slider) {
    const set = () => {
      this.synth.volume = slider.value / 100;
      remember("volume", slider.value);
      write(slider, slider.value);
    };
    slider.value = remembered("volume", slider.value);
    slider.addEventListener("input", set);
    set();
  }
}

// Fill a list. It shows the choice that the browser remembers, else the setting. Act on that, and on each new choice.
function choose(id, names, set, act) {
  const list = document.getElementById(id), before = remembered(id, set);
  list.replaceChildren(...names.map((name) => new Option(TITLES[name] ?? name, name)));
  list.value = names.includes(before) ? before : names[0];
  list.addEventListener("change", () => {
    remember(id, list.value);
    act(list.value);
  });
  act(list.value);
}
