// The page's texts about the state: whose turn it is, the place in the bar, ports, deadlines, messages.

const STATES = { idle: "Play: livebach listens", listening: "livebach listens", playing: "livebach plays" };
const HEAVY = 0.5; // from this share of a tick on, the load is too high
const RECENT_MS = 5000;
const TEXTS = 2; // messages that are shown
const $ = (id) => document.getElementById(id);

export class StatusView {
  #facts = "";

  // connected: whether the server is connected; turn: livebach's last turn, or null; the others: as in main.js.
  show({ connected, turn, ports, plays, clock, sound }) {
    const state = connected ? (turn?.state ?? "idle") : "away";
    put($("state"), connected ? STATES[state] : "Looking for livebach …");
    $("state").dataset.state = state;
    const running = turn && turn.state !== "idle";
    put($("bar"), running ? turn.bar : "–");
    put($("beat"), running ? turn.beat : "–");
    put($("bpm"), turn ? Math.round(turn.bpm * 10) / 10 : "–");
    put($("metre-now"), turn?.metre ?? "–");
    this.#beats(turn?.metre ?? "4/4", running ? turn.beat : 0);
    this.#list([...portFacts(ports), ["", plays ? "this page plays" : "this page watches"], ...timeFacts(turn, clock, sound)]);
  }

  // Add a message.
  tell(text, level = "info") {
    const line = document.createElement("span");
    line.textContent = text.replaceAll("\n", "   ");
    line.className = level;
    $("texts").append(line);
    while ($("texts").childElementCount > TEXTS) $("texts").firstChild.remove();
  }

  // Show or hide the notice that another page plays.
  watch(on) {
    $("notice").hidden = !on;
  }

  #beats(metre, beat) {
    const [count, unit] = metre.split("/").map(Number);
    const many = unit === 8 && count % 3 === 0 ? count / 3 : count;
    const row = $("beats");
    while (row.childElementCount < many) row.append(document.createElement("i"));
    while (row.childElementCount > many) row.lastChild.remove();
    [...row.children].forEach((dot, place) => dot.classList.toggle("on", place === beat - 1));
  }

  #list(facts) {
    const text = JSON.stringify(facts);
    if (text === this.#facts) return;
    this.#facts = text;
    $("facts").replaceChildren(
      ...facts.map(([className, textContent]) => Object.assign(document.createElement("li"), { className, textContent })),
    );
  }
}

// A fact is a kind (good, bad, or none) and a sentence.
function portFacts(ports) {
  return ports.map(([name, there]) => (there ? ["good", name] : ["bad", `${name} is gone`]));
}

function timeFacts(turn, clock, { synth, progress }) {
  const facts = [];
  if (turn) {
    facts.push([turn.missed ? "bad" : "good", `deadlines missed: ${turn.missed}`]);
    facts.push([turn.load > HEAVY ? "bad" : "", `load ${Math.round((turn.load ?? 0) * 100)} %`]);
  }
  if (clock.known) facts.push(["", `clock ± ${clock.uncertaintyMs.toFixed(1)} ms`]);
  if (synth) {
    const recently = performance.now() - synth.lateAtMs < RECENT_MS;
    facts.push([recently ? "bad" : "", `notes late here: ${synth.late}`]);
  }
  if (progress) facts.push(["", progress]);
  return facts;
}

export function put(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}
