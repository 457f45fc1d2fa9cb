export interface Segment {
  text: string;
  className: string;
}

interface Style {
  fg: string;
  bg: string;
  marks: Set<string>;
}

const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
const MARKS: Record<number, string> = { 1: "bold", 2: "dim", 3: "italic", 4: "underline" };
const ESCAPE =
  /\u001b(?:\[([0-9;:]*)m|\[[0-9;?<=>]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;
// biome-ignore lint/complexity/useRegexLiterals: clearer with escapes beside each other
const CONTROLS = new RegExp("[\\u0000-\\u0008\\u000b-\\u001f\\u007f]", "g");

/** Splits a log line into styled pieces; what is no colour (cursor movement, titles) is dropped. */
export function parseAnsi(line: string): Segment[] {
  if (!line.includes("\u001b")) return [{ text: clean(line), className: "" }];
  const style: Style = { fg: "", bg: "", marks: new Set() };
  const segments: Segment[] = [];
  let start = 0;
  const push = (text: string) => {
    const cleaned = clean(text);
    if (cleaned) segments.push({ text: cleaned, className: className(style) });
  };
  for (const match of line.matchAll(ESCAPE)) {
    push(line.slice(start, match.index));
    start = match.index + match[0].length;
    if (match[0].endsWith("m") && match[1] !== undefined) apply(style, match[1]);
  }
  push(line.slice(start));
  return segments;
}

export const stripAnsi = (line: string) => clean(line.replace(ESCAPE, ""));

/** A carriage return overwrites the line, as progress bars do: only what came last stays. */
function clean(text: string): string {
  const last = text.replace(/\r+$/, "").split("\r").at(-1) ?? "";
  return last.replace(CONTROLS, "");
}

function className({ fg, bg, marks }: Style): string {
  return [fg && `ansi-${fg}`, bg && `ansi-bg-${bg}`, ...[...marks].map((mark) => `ansi-${mark}`)]
    .filter(Boolean)
    .join(" ");
}

function apply(style: Style, parameters: string) {
  const codes = parameters.split(/[;:]/).map(Number);
  for (let i = 0; i < codes.length; i += 1) {
    const code = codes[i] ?? 0;
    const mark = MARKS[code];
    if (mark) style.marks.add(mark);
    else if (code === 0) Object.assign(style, { fg: "", bg: "", marks: new Set<string>() });
    else if (code === 22) for (const name of ["bold", "dim"]) style.marks.delete(name);
    else if (code === 23) style.marks.delete("italic");
    else if (code === 24) style.marks.delete("underline");
    else if (code === 38 || code === 48) {
      const wide = codes[i + 1] === 5;
      if (wide) style[code === 38 ? "fg" : "bg"] = ofPalette(codes[i + 2] ?? 0);
      i += wide ? 2 : 4;
    } else colour(style, code);
  }
}

function colour(style: Style, code: number) {
  if (code >= 30 && code <= 37) style.fg = COLOURS[code - 30] ?? "";
  else if (code >= 90 && code <= 97) style.fg = `bright-${COLOURS[code - 90]}`;
  else if (code >= 40 && code <= 47) style.bg = COLOURS[code - 40] ?? "";
  else if (code >= 100 && code <= 107) style.bg = COLOURS[code - 100] ?? "";
  else if (code === 39) style.fg = "";
  else if (code === 49) style.bg = "";
}

/** The nearest of the sixteen: a theme has no room for 256 colours that are all readable. */
function ofPalette(index: number): string {
  if (index < 8) return COLOURS[index] ?? "";
  if (index < 16) return `bright-${COLOURS[index - 8]}`;
  if (index >= 232) return index < 244 ? "bright-black" : "white";
  const cube = index - 16;
  const bit = (value: number) => (value > 2 ? 1 : 0);
  const name = bit(Math.floor(cube / 36)) + bit(Math.floor(cube / 6) % 6) * 2 + bit(cube % 6) * 4;
  return name === 0 ? "bright-black" : (COLOURS[name] ?? "");
}
