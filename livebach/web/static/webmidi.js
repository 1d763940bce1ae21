// MIDI keyboards by Web MIDI, in browsers that have it. Browsers require that the user asks for it.

const KINDS = new Set([0x80, 0x90, 0xb0]);

export class WebMidi {
  #access = null;
  #input = null;
  #heard;
  #changed;

  // heard(data) for each note and controller; changed(inputs) with [{id, name}] when keyboards come and go.
  constructor({ heard, changed }) {
    this.#heard = heard;
    this.#changed = changed;
  }

  static get supported() {
    return typeof navigator.requestMIDIAccess === "function";
  }

  // Ask for permission, once. Return false if it is refused.
  async ask() {
    if (this.#access) return true;
    try {
      this.#access = await navigator.requestMIDIAccess({ sysex: false });
    } catch {
      return false;
    }
    this.#access.onstatechange = () => this.#list();
    this.#list();
    return true;
  }

  get inputs() {
    return this.#access ? [...this.#access.inputs.values()].filter((input) => input.state !== "disconnected") : [];
  }

  // Listen to the keyboard of this id; to none if the id is "".
  choose(id) {
    if (this.#input) this.#input.onmidimessage = null;
    this.#input = this.inputs.find((input) => input.id === id) ?? null;
    if (this.#input) this.#input.onmidimessage = (event) => this.#message(event.data);
  }

  #list() {
    this.#changed(this.inputs.map(({ id, name }) => ({ id, name: name || "MIDI keyboard" })));
  }

  #message(data) {
    if (data?.length === 3 && KINDS.has(data[0] & 0xf0)) this.#heard([...data]);
  }
}
