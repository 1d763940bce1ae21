// The choices that the browser remembers for the next visit.

const PREFIX = "livebach.";

export const remembered = (name, otherwise) => localStorage.getItem(PREFIX + name) ?? otherwise;
export const remember = (name, value) => localStorage.setItem(PREFIX + name, value);
