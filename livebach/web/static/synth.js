// Plays notes by Web Audio. Each player has notes of its own. A note begins and ends at a given time of this page.

import { LOWEST } from "./notes.js";

const PEDAL = 64, ALL_SOUND_OFF = 120, ALL_NOTES_OFF = 123;
const PERCUSSION = 9;
const QUICK_S = 0.03; // the decay of a note that is cut off: short, but without a click
const SIDE = { you: -0.12, own: 0.12 };
const MOST_VOICES = 40;
const DECAY = Math.log(1000); // time constants in a decay by 60 dB
const HEARD_LATE_S = 0.005;
const LEFT_OVER_S = 0.05; // the audio clock fell behind by this much: the audio had stopped, and the clocks are compared anew

export class Synth {
  late = 0; // the number of notes that came audibly late
  lateAtMs = -Infinity; // when the last of them came
  temperament = new Array(12).fill(0); // cents beside equal temperament, from C on
  pitch = 440;
  #notes;
  #manifest;
  #name = null;
  #voices = []; // in the order in which they began
  #pedals = new Set(); // "player channel"
  #aheadS = -Infinity; // the audio clock's lead on the page's
  #volume;
  #room;

  constructor(context, notes, manifest) {
    this.context = context;
    this.#notes = notes;
    this.#manifest = manifest;
    this.#volume = context.createGain();
    this.#room = context.createGain();
    this.output = context.createDynamicsCompressor(); // the last node: a compressor, so that no chord clips
    for (const [name, value] of Object.entries({ threshold: -8, ratio: 14, knee: 6, attack: 0.002, release: 0.2 })) {
      this.output[name].value = value;
    }
    notes.room().then((buffer) => {
      const reverb = context.createConvolver();
      reverb.normalize = false;
      reverb.buffer = buffer;
      this.#room.connect(reverb).connect(this.#volume);
    });
    this.#volume.connect(this.output).connect(context.destination);
  }

  get instrument() {
    return this.#name;
  }

  set instrument(name) {
    this.#name = name;
  }

  set volume(value) {
    this.#volume.gain.setTargetAtTime(2.5 * value ** 2, this.context.currentTime, 0.02);
  }

  get sounding() {
    return this.#voices.length;
  }

  // Play one MIDI message at a time in ms of performance.now(); without a time, now.
  play(data, who, atMs = null) {
    const [status, first, second] = data;
    const kind = status & 0xf0, channel = status & 0x0f;
    if (channel === PERCUSSION) return;
    const when = this.#when(atMs, kind === 0x90 && second > 0);
    if (kind === 0x90 && second > 0) this.#on(who, channel, first, second, when);
    else if (kind === 0x80 || kind === 0x90) this.#off(who, channel, first, when, atMs === null);
    else if (kind === 0xb0) this.#control(who, channel, first, second, when);
  }

  // End the notes of one player, or all notes, at once.
  silence(who = null) {
    const now = this.context.currentTime;
    for (const voice of this.#voices) if (who === null || voice.who === who) this.#end(voice, now, QUICK_S);
    this.#pedals = new Set([...this.#pedals].filter((place) => who !== null && !place.startsWith(who)));
  }

  // The audio clock moves in blocks, so its largest lead is the true one. The lead decays slowly, because clocks drift.
  #when(atMs, isOnset) {
    const now = this.context.currentTime;
    const lead = now - performance.now() / 1000;
    this.#aheadS = Math.abs(lead - this.#aheadS) > LEFT_OVER_S ? lead : Math.max(lead, this.#aheadS - 1e-6);
    if (atMs === null) return now;
    const when = atMs / 1000 + this.#aheadS;
    if (when < now - HEARD_LATE_S && isOnset) {
      this.late += 1;
      this.lateAtMs = performance.now();
    }
    return Math.max(now, when);
  }

  #on(who, channel, key, velocity, when) {
    const found = this.#name && this.#notes.find(this.#name, key, this.pitch, this.temperament[key % 12]);
    if (!found) return;
    for (const voice of this.#of(who, channel, key)) this.#end(voice, when, QUICK_S);
    if (this.#voices.length >= MOST_VOICES) this.#end(this.#voices[0], when, QUICK_S);
    const voice = this.#voice(found, who, channel, key, velocity, when);
    this.#voices.push(voice);
  }

  #voice(found, who, channel, key, velocity, when) {
    const instrument = this.#manifest.instruments[this.#name];
    const place = this.context.createStereoPanner();
    place.pan.value = Math.max(-1, Math.min(1, SIDE[who] + (instrument.spread * (key - 64.5)) / 43.5));
    place.connect(this.#volume);
    const toRoom = this.context.createGain();
    toRoom.gain.value = instrument.room;
    toRoom.connect(this.#room);
    const voice = { who, channel, key, velocity, found, instrument, begins: when, down: true };
    Object.assign(voice, { outputs: [place, toRoom], gains: [], sources: [] });
    for (const layer of instrument.layers) {
      if (layer !== "release") this.#layer(voice, layer, when);
    }
    voice.sources[0].onended = () => {
      this.#voices = this.#voices.filter((other) => other !== voice);
      setTimeout(() => voice.outputs.forEach((node) => node.disconnect()), 300); // the release noise sounds a little longer
    };
    return voice;
  }

  // Begin a layer of a note.
  #layer({ found, velocity, instrument, outputs, gains, sources }, layer, when) {
    const source = this.context.createBufferSource();
    const { buffer, loop } = found.layers[layer];
    source.buffer = buffer;
    source.playbackRate.value = found.rate;
    if (loop !== null) Object.assign(source, { loop: true, loopStart: loop, loopEnd: buffer.duration });
    const gain = this.context.createGain();
    gain.gain.value = instrument.gains[layer][velocity];
    source.connect(gain);
    for (const node of outputs) gain.connect(node);
    source.start(when);
    if (layer !== "release") {
      sources.push(source);
      gains.push(gain);
    }
  }

  #of(who, channel, key) {
    return this.#voices.filter((voice) => voice.who === who && voice.channel === channel && voice.key === key);
  }

  // atOnce: also end the notes that have not begun.
  #off(who, channel, key, when, atOnce) {
    for (const voice of this.#of(who, channel, key)) {
      if (!voice.down) continue;
      voice.down = false;
      if (this.#pedals.has(`${who} ${channel}`)) voice.held = true;
      else this.#damp(voice, atOnce ? when : Math.max(when, voice.begins));
    }
  }

  #damp(voice, when) {
    const { instrument, key } = voice;
    voice.held = false;
    if (key >= instrument.undamped) return;
    if (instrument.layers.includes("release") && when >= voice.begins) this.#layer(voice, "release", when);
    this.#end(voice, when, instrument.release_s[Math.max(0, Math.min(87, key - LOWEST))]);
  }

  #control(who, channel, control, value, when) {
    const place = `${who} ${channel}`;
    // The two messages that silence a channel concern all notes of the player.
    const all = control === ALL_SOUND_OFF || control === ALL_NOTES_OFF;
    const here = this.#voices.filter((voice) => voice.channel === channel && (all || voice.who === who));
    if (control === PEDAL && value >= 64) {
      this.#pedals.add(place);
      return;
    }
    if (control === PEDAL || control === ALL_SOUND_OFF) this.#pedals.delete(place);
    if (control === PEDAL) for (const voice of here) if (voice.held) this.#damp(voice, when);
    if (control === ALL_SOUND_OFF) for (const voice of here) this.#end(voice, when, QUICK_S);
    if (control === ALL_NOTES_OFF) for (const voice of here) this.#off(voice.who, channel, voice.key, when, true);
  }

  // Let a note decay from this time on, by 60 dB in these seconds. A note that has not begun never begins.
  #end(voice, when, seconds) {
    if (voice.ends !== undefined && voice.ends <= when) return;
    voice.ends = when;
    voice.down = voice.held = false;
    for (const [place, source] of voice.sources.entries()) {
      const { gain } = voice.gains[place];
      if (when < voice.begins) gain.setValueAtTime(0, voice.begins);
      else gain.setTargetAtTime(0, when, seconds / DECAY);
      source.stop(when < voice.begins ? voice.begins : when + seconds);
    }
  }
}
