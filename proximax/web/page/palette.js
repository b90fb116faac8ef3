// Colours: of runs, which keep theirs while they are shown, and of the theme, which canvases have to ask for.

const LIGHT = ["#3b5bdb", "#e8590c", "#2b8a3e", "#c2255c", "#0c8599", "#7048e8", "#a07000", "#d6336c", "#5c7080", "#1864ab"];
const DARK = ["#748ffc", "#ffa94d", "#69db7c", "#f783ac", "#3bc9db", "#b197fc", "#ffd43b", "#ff8787", "#adb5bd", "#4dabf7"];
const slots = new Map(); // id -> number of the colour

/** Let go of the colours of runs that are no longer shown, and give new ones the lowest that are free. */
export function assignColours(ids) {
  for (const id of [...slots.keys()]) if (!ids.includes(id)) slots.delete(id);
  const taken = new Set(slots.values());
  for (const id of ids) {
    if (slots.has(id)) continue;
    let slot = 0;
    while (taken.has(slot)) slot++;
    taken.add(slot);
    slots.set(id, slot);
  }
}

export const isDark = () => getComputedStyle(document.documentElement).colorScheme === "dark"
  || (getComputedStyle(document.documentElement).colorScheme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);

/** The colour of a run that is shown; after the tenth, hues that turn by the golden angle. */
export function colourOf(id) {
  const slot = slots.get(id);
  if (slot === undefined) return "transparent";
  const palette = isDark() ? DARK : LIGHT;
  if (slot < palette.length) return palette[slot];
  return `hsl(${(slot * 137.5) % 360}, ${isDark() ? "70%, 68%" : "60%, 42%"})`;
}

/** A colour of the theme as a canvas takes it: `themeColour("--line")`. */
export function themeColour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

/** The same colour, less of it. */
export const faded = (colour, share) => `color-mix(in srgb, ${colour} ${Math.round(100 * share)}%, transparent)`;
