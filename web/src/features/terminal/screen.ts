import "@xterm/xterm/css/xterm.css";
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import type { TerminalSize } from "@/api/types";

export interface Screen {
  size(): TerminalSize;
  write(data: Uint8Array, shown: () => void): void;
  focus(): void;
  dispose(): void;
}

interface Listener {
  typed(text: string): void;
  resized(size: TerminalSize): void;
}

/** A terminal that fills `host` and has its colours. */
export function openScreen(host: HTMLElement, listener: Listener): Screen {
  const { color, backgroundColor, fontFamily } = getComputedStyle(host);
  const terminal = new Terminal({
    fontFamily,
    fontSize: 13,
    cursorBlink: true,
    scrollback: 5000,
    // The usual sixteen colours are made for a dark ground.
    minimumContrastRatio: 4.5,
    theme: { background: backgroundColor, foreground: color, cursor: color, cursorAccent: backgroundColor },
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  const styles = openWithinPolicy(host, () => terminal.open(host));
  fit.fit();
  terminal.onData(listener.typed);
  terminal.onResize(listener.resized);
  const watch = new ResizeObserver(() => fit.fit());
  watch.observe(host);
  return {
    size: () => ({ cols: terminal.cols, rows: terminal.rows }),
    write: (data, shown) => terminal.write(data, shown),
    focus: () => terminal.focus(),
    dispose() {
      watch.disconnect();
      styles.disconnect();
      terminal.dispose();
    },
  };
}

/**
 * The library writes its sizes and colours into style elements and attributes, which the policy `style-src 'self'`
 * forbids; a script may say the same by other means. In place of style elements the library gets hidden ones of another
 * kind, whose text goes into a style sheet of the document; an attribute `style` becomes a declaration.
 */
function openWithinPolicy(host: HTMLElement, open: () => void): { disconnect(): void } {
  const inert: HTMLElement[] = [];
  const create = document.createElement.bind(document);
  document.createElement = ((name: string, options?: ElementCreationOptions) => {
    if (name !== "style") return create(name, options);
    const element = create("data");
    element.hidden = true;
    inert.push(element);
    return element;
  }) as typeof document.createElement;
  try {
    open();
  } finally {
    // The prototype's is back.
    Reflect.deleteProperty(document, "createElement");
  }
  const setAttribute = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function (name, value) {
    if (name === "style" && this instanceof HTMLElement) this.style.cssText = value;
    else setAttribute.call(this, name, value);
  };
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);
  const copy = () => sheet.replaceSync(inert.map((style) => style.textContent).join("\n"));
  const changes = new MutationObserver(copy);
  for (const style of inert) changes.observe(style, { childList: true, characterData: true, subtree: true });
  copy();
  // The sizes of the first rows were taken without it.
  void host.offsetHeight;
  return {
    disconnect() {
      changes.disconnect();
      Element.prototype.setAttribute = setAttribute;
      document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet);
    },
  };
}
