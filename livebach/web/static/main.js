// The page: puts its parts together, and passes messages between them.

import { Connection } from "./connection.js";
import { Controls } from "./controls.js";
import { HIGHEST, LOWEST, nameOf } from "./keys.js";
import { Piano } from "./piano.js";
import { Roll } from "./roll.js";
import { ServerClock } from "./clock.js";
import { Sound } from "./sound.js";
import { StatusView, put } from "./status.js";
import { Typing } from "./typing.js";
import { WebMidi } from "./webmidi.js";
import { remember, remembered } from "./remembered.js";

const QUESTIONS = 6, QUESTION_MS = 40; // questions about the time on a new connection
const PEDAL = 64, PERCUSSION = 9;
const $ = (id) => document.getElementById(id);

const clock = new ServerClock();
const sound = new Sound();
const status = new StatusView();
let hello = { delay_ms: 30, keyboard: true, sounds: true, channels: [1] };
let role = { plays: false, taken: false };
let turn = null; // livebach's last
let ports = [];

// --- what is played here ---------------------------------------------------------------------------------------------

const held = new Map(); // key -> how many of this page's keyboards hold it

function strike(key, velocity) {
  const count = held.get(key) ?? 0;
  held.set(key, count + 1);
  if (count === 0) play([0x90, key, velocity]);
  lightHeld();
}

function release(key) {
  const count = held.get(key) ?? 0;
  if (count > 1) held.set(key, count - 1);
  else if (held.delete(key)) play([0x80, key, 0]);
  lightHeld();
}

// The player's keys sound at once on this page, and are sent to livebach.
function play(data) {
  begin();
  if (!hello.keyboard || !connection.open) return;
  if (!role.plays && role.taken) {
    status.watch(true);
    return;
  }
  sound.play(data, "you");
  connection.send("midi", { data });
}

// Take a message of a MIDI keyboard. Its notes are shown like those of the other keyboards.
function heardMidi([kindAndChannel, key, value]) {
  const kind = kindAndChannel & 0xf0;
  if (kind === 0x90 && value > 0) strike(key, value);
  else if (kind === 0x80 || kind === 0x90) release(key);
  else play([0xb0, key, value]);
}

function letGo() {
  piano.letGo();
  typing.letGo();
  held.clear();
  pedal(false);
  sound.silence("you");
  lightHeld();
}

function lightHeld() {
  piano.light("you", hello.keyboard && role.plays ? [...held.keys()] : (turn?.player ?? []));
}

function pedal(down) {
  const button = $("pedal");
  if ((button.getAttribute("aria-pressed") === "true") === down) return;
  button.setAttribute("aria-pressed", String(down));
  play([0xb0, PEDAL, down ? 127 : 0]);
}

function begin() {
  $("welcome").hidden = true;
  sound.begin();
}

// --- what the server says --------------------------------------------------------------------------------------------

const receivers = {
  hello(message) {
    hello = message;
    controls.offer(hello.dials);
    $("welcome-hint").hidden = !hello.keyboard;
    if (hello.sounds) sound.prepare(hello);
  },
  role(message) {
    const lost = role.plays && !message.plays;
    role = message;
    if (lost) letGo();
    status.watch(hello.keyboard && role.taken && !role.plays);
  },
  ping() {
    ask();
  },
  clock({ sent, now }) {
    clock.add(sent, performance.now(), now);
  },
  midi({ data, due }) {
    const own = due !== null || hello.channels.includes(data[0] & 0x0f);
    sound.play(data, own ? "own" : "you", due === null ? null : clock.toPage(due) + hello.delay_ms);
  },
  turn(message) {
    turn = message;
    trace(message);
    controls.press(turn.on);
  },
  settings({ values }) {
    controls.show(values);
  },
  take({ kept }) {
    $("take").hidden = !kept;
  },
  ports(message) {
    ports = message.ports;
  },
  text({ text, level }) {
    status.tell(text, level);
  },
};

function ask() {
  connection.send("clock", { sent: performance.now() });
}

// Draw a turn of livebach's.
function trace({ at, heard, sent, player, own, mark }) {
  for (const [who, events] of [["you", heard], ["own", sent]]) {
    for (const [kindAndChannel, key, velocity] of events) {
      const struck = (kindAndChannel & 0xf0) === 0x90 && velocity > 0;
      if (struck && (kindAndChannel & 0x0f) !== PERCUSSION) roll.strike(who, key, velocity, at);
      else roll.end(who, key, at);
    }
  }
  roll.holds("you", player, at);
  roll.holds("own", own, at);
  piano.light("own", own);
  lightHeld();
  if (mark) roll.line(...mark);
}

function show() {
  const plays = role.plays && hello.keyboard;
  status.show({ connected: connection.open, turn, ports, plays, clock, sound });
}

// --- the parts -------------------------------------------------------------------------------------------------------

// The time at the right edge of the roll: what sounds now.
function shownS() {
  return (clock.known ? (performance.now() - clock.toPage(0)) / 1000 : 0) - hello.delay_ms / 1000;
}

const roll = new Roll($("roll"), shownS);
const piano = new Piano($("piano"), {
  strike,
  release,
  ranged(low, high) {
    put($("range"), `${nameOf(low)} to ${nameOf(high)}`);
    $("lower").disabled = low <= LOWEST;
    $("higher").disabled = high >= HIGHEST;
  },
});
const typing = new Typing({
  strike,
  release,
  moved(key) {
    put($("octave"), nameOf(key));
    piano.reveal(key);
  },
});
const connection = new Connection(receivers, {
  changed(there) {
    clock.forget();
    if (there) {
      for (let n = 0; n < QUESTIONS; n++) setTimeout(ask, n * QUESTION_MS);
      return;
    }
    held.clear();
    sound.silence();
    role = { plays: false, taken: false };
    turn = turn && { ...turn, state: "idle", own: [], player: [] };
    piano.light("own", []);
    lightHeld();
  },
  received: show,
});
const controls = new Controls(document.body, (name, value) => connection.send("command", { name, value }));
const midi = new WebMidi({
  heard: heardMidi,
  changed(inputs) {
    const list = $("midi-input"), before = remembered("midi", "");
    list.replaceChildren(new Option("none", ""), ...inputs.map(({ id, name }) => new Option(name, id)));
    list.value = inputs.some(({ id }) => id === before) ? before : (inputs[0]?.id ?? "");
    midi.choose(list.value);
  },
});

async function askForMidi() {
  if (!(await midi.ask())) status.tell("The browser does not let this page use MIDI keyboards.", "warning");
}

if (WebMidi.supported) {
  $("midi-input").addEventListener("pointerdown", askForMidi);
  $("midi-input").addEventListener("keydown", askForMidi);
  const asked = navigator.permissions?.query({ name: "midi" }).catch(() => null);
  asked?.then((permission) => permission?.state === "granted" && askForMidi());
} else $("midi-input").disabled = true;
$("midi-input").addEventListener("change", ({ target }) => {
  remember("midi", target.value);
  midi.choose(target.value);
});
$("begin").addEventListener("click", begin);
$("notice-act").addEventListener("click", () => connection.send("play"));
$("lower").addEventListener("click", () => piano.shift(-1));
$("higher").addEventListener("click", () => piano.shift(1));
$("pedal").addEventListener("click", () => pedal($("pedal").getAttribute("aria-pressed") !== "true"));
$("typing").addEventListener("change", ({ target }) => {
  typing.on = target.checked;
  if (!typing.on) typing.letGo();
});
$("settings").addEventListener("submit", (event) => event.preventDefault());
addEventListener("pagehide", letGo);
window.livebach = { clock, connection, roll, sound }; // for tests and measurements
show();
