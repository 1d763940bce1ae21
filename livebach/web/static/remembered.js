// What a person has chosen on this page, kept by the browser for the next time.

const PREFIX = "livebach.";

export const remembered = (name, otherwise) => localStorage.getItem(PREFIX + name) ?? otherwise;
export const remember = (name, value) => localStorage.setItem(PREFIX + name, value);
