// Names, colours and places of piano keys, which are MIDI numbers.

export const LOWEST = 21, HIGHEST = 108;
const NAMES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];
const SPOKEN = ["C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B"];
const BLACK = new Set([1, 3, 6, 8, 10]);

export const isBlack = (key) => BLACK.has(key % 12);
export const nameOf = (key) => `${NAMES[key % 12]}${Math.floor(key / 12) - 1}`;
export const spokenOf = (key) => `${SPOKEN[key % 12]} ${Math.floor(key / 12) - 1}`;

// The number of white keys below a key: its place from left to right.
export function whitesBelow(key) {
  let count = 0;
  for (let at = LOWEST; at < key; at++) count += !isBlack(at);
  return count;
}
