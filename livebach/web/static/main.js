// The page: puts its parts together, and passes messages between them.

import { Connection } from "./connection.js";
import { Controls, write } from "./controls.js";
import { nameOf } from "./keys.js";
import { Notes } from "./notes.js";
import { Piano } from "./piano.js";
import { Roll } from "./roll.js";
import { ServerClock } from "./clock.js";
import { Synth } from "./synth.js";
import { Typing } from "./typing.js";
import { WebMidi } from "./webmidi.js";

const STATES = { idle: "Play: livebach listens", listening: "livebach listens", playing: "livebach plays" };
const QUESTIONS = 6, QUESTION_MS = 40; // asked about the time when the connection is new
const PEDAL = 64;
const AGAIN_MS = 1500;
const RECENT_MS = 5000;
const TEXTS = 2; // messages that are shown
const $ = (id) => document.getElementById(id);
const remembered = (name, otherwise) => localStorage.getItem(`livebach.${name}`) ?? otherwise;
const remember = (name, value) => localStorage.setItem(`livebach.${name}`, value);

const clock = new ServerClock();
let hello = { delay_ms: 30, keyboard: true, sounds: true, channels: [1], dials: {} };
let role = { plays: false, taken: false };
let turn = null;
let ports = [];
let synth = null;
let preparing = false; // whether the sound is there, or on its way
const facts = { notes: "" };

// --- what is played here ---------------------------------------------------------------------------------------------

const held = new Map(); // key -> how many of this page's keyboards hold it

function strike(key, velocity) {
  const count = held.get(key) ?? 0;
  held.set(key, count + 1);
  if (count === 0) play([0x90, key, velocity]);
  mark();
}

function release(key) {
  const count = held.get(key) ?? 0;
  if (count > 1) held.set(key, count - 1);
  else if (held.delete(key)) play([0x80, key, 0]);
  mark();
}

// What the player strikes sounds at once, here, and is sent to livebach.
function play(data) {
  begin();
  if (!hello.keyboard || !connection.open) return;
  if (!role.plays && role.taken) {
    if ((data[0] & 0xf0) === 0x90) notice();
    return;
  }
  synth?.play(data, "you");
  connection.send("midi", { data });
}

// From a MIDI keyboard: its notes are shown like the others.
function heardMidi(data) {
  const [status, key, value] = data;
  const kind = status & 0xf0;
  if (kind === 0x90 && value > 0) strike(key, value);
  else if (kind === 0x80 || kind === 0x90) release(key);
  else play([0xb0, key, value]);
}

function letGo() {
  piano.letGo();
  typing.letGo();
  held.clear();
  pedal(false);
  synth?.silence("you");
  mark();
}

function mark() {
  const keys = hello.keyboard && role.plays ? [...held.keys()] : (turn?.player ?? []);
  piano.light("you", keys);
}

function pedal(down) {
  const button = $("pedal");
  if ((button.getAttribute("aria-pressed") === "true") === down) return;
  button.setAttribute("aria-pressed", String(down));
  play([0xb0, PEDAL, down ? 127 : 0]);
}

// --- sound -----------------------------------------------------------------------------------------------------------

// Browsers let a page sound only after a key or a click.
function begin() {
  $("welcome").hidden = true;
  if (synth?.context.state === "suspended") synth.context.resume();
}

async function prepareSound() {
  if (preparing || !hello.sounds) return;
  preparing = true;
  const answer = await fetch("/notes/manifest.json").catch(() => null);
  if (!answer?.ok) {
    preparing = false;
    setTimeout(prepareSound, AGAIN_MS);
    return;
  }
  const manifest = await answer.json();
  const context = new AudioContext({ latencyHint: "interactive", sampleRate: manifest.rate });
  const notes = new Notes(context, manifest);
  synth = new Synth(context, notes, manifest);
  const choose = async (name) => {
    synth.instrument = name;
    await notes.load(name, (part) => (facts.notes = part < 1 ? `${name}: ${Math.round(part * 100)} % rendered` : ""));
  };
  select("instrument", Object.keys(manifest.instruments), remembered("instrument", hello.instrument), choose);
  select("temperament", Object.keys(manifest.temperaments), remembered("temperament", hello.temperament), (name) => {
    synth.temperament = manifest.temperaments[name].cents;
  });
  select("pitch", ["440", "442", "432", "430", "415", "392", "465"], remembered("pitch", String(hello.pitch)), (hz) => {
    synth.pitch = Number(hz);
  });
  const volume = $("volume");
  volume.value = remembered("volume", volume.value);
  const setVolume = () => {
    synth.volume = volume.value / 100;
    remember("volume", volume.value);
    write(volume, volume.value);
  };
  volume.addEventListener("input", setVolume);
  setVolume();
  Object.assign(window.livebach, { synth, notes });
}

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

function select(id, names, chosen, act) {
  const list = $(id);
  if (id === "pitch" && Number(chosen) > 0 && !names.includes(chosen)) names = [chosen, ...names];
  list.replaceChildren(...names.map((name) => new Option(TITLES[name] ?? name, name)));
  list.value = names.includes(chosen) ? chosen : names[0];
  list.addEventListener("change", () => {
    remember(id, list.value);
    act(list.value);
  });
  act(list.value);
}

// --- what the server says --------------------------------------------------------------------------------------------

const receivers = {
  hello(message) {
    hello = message;
    controls.offer(hello.dials);
    controls.show({ style: hello.style });
    document.body.classList.toggle("watching", !hello.keyboard);
    $("welcome-hint").hidden = !hello.keyboard;
    prepareSound();
  },
  role(message) {
    const lost = role.plays && !message.plays;
    role = message;
    if (lost) letGo();
    if (role.plays || !role.taken) $("notice").hidden = true;
    else if (hello.keyboard) notice();
    show();
  },
  ping() {
    ask();
  },
  clock({ sent, now }) {
    clock.add(sent, performance.now(), now);
    show();
  },
  midi({ data, due }) {
    if (synth?.context.state !== "running") return;
    const own = due !== null || hello.channels.includes(data[0] & 0x0f);
    synth.play(data, own ? "own" : "you", due === null ? null : clock.toPage(due) + hello.delay_ms);
  },
  turn(message) {
    turn = message;
    trace(message);
    show();
  },
  settings({ values }) {
    controls.show(values);
  },
  take({ kept }) {
    $("take").hidden = !kept;
  },
  ports(message) {
    ports = message.ports;
    show();
  },
  text({ text, level }) {
    const line = document.createElement("span");
    line.textContent = text.replaceAll("\n", "   ");
    line.className = level;
    $("texts").append(line);
    while ($("texts").childElementCount > TEXTS) $("texts").firstChild.remove();
  },
};

function ask() {
  connection.send("clock", { sent: performance.now() });
}

// Draw what happened in a turn of livebach's.
function trace({ at, heard, sent, player, own, mark: beat, metre }) {
  for (const [who, events] of [["you", heard], ["own", sent]]) {
    for (const [status, key, velocity] of events) {
      if ((status & 0xf0) === 0x90 && velocity > 0 && (status & 0x0f) !== 9) roll.strike(who, key, velocity, at);
      else roll.end(who, key, at);
    }
  }
  roll.holds("you", player, at);
  roll.holds("own", own, at);
  piano.light("own", own);
  mark();
  if (beat) {
    const [quarters, time] = beat;
    const [count, unit] = metre.split("/").map(Number);
    const bar = (count * 4) / unit;
    const within = ((quarters % bar) + bar) % bar;
    roll.line(time, within < 1e-6 ? Math.round(quarters / bar) + 1 : null);
  }
}

// --- what is shown ---------------------------------------------------------------------------------------------------


function show() {
  const state = connection.open ? (turn?.state ?? "idle") : "away";
  put($("state"), connection.open ? STATES[state] : "Looking for livebach …");
  $("state").dataset.state = state;
  const inBar = turn && turn.state !== "idle";
  put($("bar"), inBar ? turn.bar : "–");
  put($("beat"), inBar ? turn.beat : "–");
  put($("bpm"), turn ? Math.round(turn.bpm * 10) / 10 : "–");
  put($("metre-now"), turn?.metre ?? "–");
  beats(inBar ? turn : null);
  controls.press(turn?.mode.split(", ").slice(1) ?? []);
  showFacts();
}

function put(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

function beats(now) {
  const [count, unit] = (turn?.metre ?? "4/4").split("/").map(Number);
  const many = unit === 8 && count % 3 === 0 ? count / 3 : count;
  const row = $("beats");
  while (row.childElementCount < many) row.append(document.createElement("i"));
  while (row.childElementCount > many) row.lastChild.remove();
  [...row.children].forEach((dot, place) => dot.classList.toggle("on", now !== null && place === now.beat - 1));
}

function showFacts() {
  const list = [
    ...ports.map(([name, there]) => [there ? "good" : "bad", there ? name : `${name} is gone`]),
    ["", role.plays && hello.keyboard ? "this page plays" : "this page watches"],
  ];
  if (turn) {
    list.push([turn.missed ? "bad" : "good", `deadlines missed: ${turn.missed}`]);
    list.push([turn.load > 0.5 ? "bad" : "", `load ${Math.round((turn.load ?? 0) * 100)} %`]);
  }
  if (clock.known) list.push(["", `clock ± ${clock.uncertaintyMs.toFixed(1)} ms`]);
  if (synth) {
    const recently = performance.now() - synth.lateAtMs < RECENT_MS;
    list.push([recently ? "bad" : "", `notes late here: ${synth.late}`]);
  }
  if (facts.notes) list.push(["", facts.notes]);
  const text = JSON.stringify(list);
  if (showFacts.shown === text) return;
  showFacts.shown = text;
  $("facts").replaceChildren(
    ...list.map(([kind, sentence]) => Object.assign(document.createElement("li"), { className: kind, textContent: sentence })),
  );
}

function notice() {
  $("notice-text").textContent = "Another page plays. This one watches, and steers.";
  $("notice-act").hidden = false;
  $("notice").hidden = false;
}

// --- putting it together ---------------------------------------------------------------------------------------------

const roll = new Roll($("roll"), () => (clock.known ? (performance.now() - clock.toPage(0)) / 1000 : 0) - hello.delay_ms / 1000);
const piano = new Piano($("piano"), {
  strike,
  release,
  ranged: (low, high) => {
    $("range").textContent = `${nameOf(low)} to ${nameOf(high)}`;
    $("lower").disabled = low <= 21;
    $("higher").disabled = high >= 108;
  },
});
const typing = new Typing({ strike, release, moved: (key) => {
  put($("octave"), nameOf(key));
  piano.reveal(key);
} });
const connection = new Connection(receivers, (there) => {
  if (there) {
    clock.forget();
    for (let n = 0; n < QUESTIONS; n++) setTimeout(ask, n * QUESTION_MS);
  } else {
    held.clear();
    synth?.silence();
    role = { plays: false, taken: false };
    turn = turn && { ...turn, state: "idle", own: [], player: [] };
    piano.light("own", []);
    mark();
  }
  show();
});
const controls = new Controls(document.body, (name, value) => connection.send("command", { name, value }));

const midi = new WebMidi({
  heard: heardMidi,
  changed: (inputs) => {
    const list = $("midi-input"), before = remembered("midi", "");
    list.replaceChildren(new Option("none", ""), ...inputs.map(({ id, name }) => new Option(name, id)));
    list.value = inputs.some(({ id }) => id === before) ? before : (inputs[0]?.id ?? "");
    midi.choose(list.value);
  },
});

async function askForMidi() {
  if (!WebMidi.supported) return;
  if (!(await midi.ask())) put($("texts"), "The browser does not let this page use MIDI keyboards.");
}

if (!WebMidi.supported) $("midi-input").disabled = true;
$("midi-input").addEventListener("pointerdown", askForMidi);
$("midi-input").addEventListener("keydown", askForMidi);
$("midi-input").addEventListener("change", (event) => {
  remember("midi", event.target.value);
  midi.choose(event.target.value);
});
navigator.permissions?.query({ name: "midi" }).then(
  (permission) => permission.state === "granted" && askForMidi(),
  () => {},
);

$("begin").addEventListener("click", begin);
$("notice-act").addEventListener("click", () => connection.send("play"));
$("lower").addEventListener("click", () => piano.shift(-1));
$("higher").addEventListener("click", () => piano.shift(1));
$("pedal").addEventListener("click", () => pedal($("pedal").getAttribute("aria-pressed") !== "true"));
$("typing").addEventListener("change", (event) => {
  typing.on = event.target.checked;
  if (!typing.on) typing.letGo();
});
$("settings").addEventListener("submit", (event) => event.preventDefault());
addEventListener("pagehide", letGo);
window.livebach = { clock, connection, roll }; // for whoever looks into the page, or measures it
show();
