// Elements and their text. Text is only ever set as text: whatever a run is called, it is shown and never obeyed.

/** An element: `el("p", {class: "note", text: "..."}, child, ...)`; other properties are attributes. */
export function el(tag, properties = {}, ...children) {
  const svg = ["svg", "rect", "line", "path", "text", "g", "title"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Change the text only where it differs, so that selections and screen readers are left alone. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Call `build` for new children when `value` has changed since the last time for this element. */
export function refresh(node, value, build) {
  const text = JSON.stringify(value);
  if (node.shown === text) return;
  node.shown = text;
  node.replaceChildren(...build(value));
}
