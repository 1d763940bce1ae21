// The notes of the built-in instruments. The server renders some keys of each. A key in between is played from the nearest
// one, at the exact speed for its pitch.

export const LOWEST = 21;
const KEY_OF_A = 69;
const HEAD_BYTES = 8;
const AGAIN_MS = 1500;
const MIDDLE = 62; // keys near this one are fetched first

export class Notes {
  #context;
  #manifest;
  #loaded = new Map(); // instrument -> Map of rendered key -> {layer: {buffer, loop}}
  #loading = new Set();

  // manifest: see livebach/web/notes.py
  constructor(context, manifest) {
    this.#context = context;
    this.#manifest = manifest;
  }

  // Whether all notes of an instrument have been fetched.
  complete(name) {
    return this.#loaded.get(name)?.size === this.#manifest.instruments[name].keys.length;
  }

  // Fetch the notes of an instrument. progress is called with the share that has been fetched, 0 to 1.
  async load(name, progress = () => {}) {
    if (this.#loading.has(name)) return;
    this.#loading.add(name);
    const { keys, layers } = this.#manifest.instruments[name];
    const loaded = this.#loaded.get(name) ?? new Map();
    this.#loaded.set(name, loaded);
    for (const key of [...keys].sort((a, b) => Math.abs(a - MIDDLE) - Math.abs(b - MIDDLE))) {
      if (loaded.has(key)) continue;
      const buffers = await Promise.all(layers.map((layer) => this.#layer(`/notes/${name}/${key}/${layer}`)));
      loaded.set(key, Object.fromEntries(layers.map((layer, place) => [layer, buffers[place]])));
      progress(loaded.size / keys.length);
    }
  }

  // The impulse response of a small room, left and right.
  async room() {
    const samples = new Float32Array(await this.#fetch("/notes/room"));
    const length = samples.length / 2;
    const buffer = this.#context.createBuffer(2, length, this.#manifest.rate);
    for (const side of [0, 1]) buffer.copyToChannel(samples.subarray(side * length, (side + 1) * length), side);
    return buffer;
  }

  // A layer: a head with the scale and the start of the loop, then samples of 16 bits.
  async #layer(path) {
    const data = await this.#fetch(path);
    const head = new DataView(data);
    const scale = head.getFloat32(0, true), loop = head.getInt32(4, true);
    const stored = new Int16Array(data, HEAD_BYTES);
    const buffer = this.#context.createBuffer(1, stored.length, this.#manifest.rate);
    const samples = buffer.getChannelData(0);
    for (let at = 0; at < stored.length; at++) samples[at] = stored[at] * scale;
    return { buffer, loop: loop < 0 ? null : loop / this.#manifest.rate };
  }

  // While the server is away, ask again and again.
  async #fetch(path) {
    for (;;) {
      const answer = await fetch(path).catch(() => null);
      if (answer?.ok) return answer.arrayBuffer();
      await new Promise((done) => setTimeout(done, AGAIN_MS));
    }
  }

  // Find the nearest key that has been fetched. Return its layers, and the speed at which they have the pitch of this key:
  // that of equal temperament with this A, plus some cents. Return null if no key has been fetched.
  find(name, key, pitchOfA, cents) {
    const loaded = this.#loaded.get(name);
    if (!loaded?.size) return null;
    const near = [...loaded.keys()].reduce((best, at) => (Math.abs(at - key) < Math.abs(best - key) ? at : best));
    const wanted = pitchOfA * 2 ** ((key - KEY_OF_A) / 12 + cents / 1200);
    const rendered = this.#manifest.pitch * 2 ** ((near - KEY_OF_A) / 12);
    return { key: near, layers: loaded.get(near), rate: wanted / rendered };
  }
}
