import { useEffect, useRef, useState } from "react";
import { Button } from "./button";
import { Icon } from "./icon";

const TICK_MS = 2_000;

export function useCopy(text: string) {
  const [done, setDone] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = async () => {
    if (!(await writeText(text))) return;
    setDone(true);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setDone(false), TICK_MS);
  };
  return { done, copy };
}

/** `navigator.clipboard` exists on secure origins only; a first run may be over plain HTTP on a private address. */
async function writeText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "visually-hidden";
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

export function Copy({ text, label }: { text: string; label: string }) {
  const { done, copy } = useCopy(text);
  return (
    <button
      type="button"
      className={done ? "copy done" : "copy"}
      onClick={copy}
      aria-label={done ? "Copied" : label}
      title={label}
    >
      <Icon name={done ? "check" : "copy"} size={14} />
      <span className="visually-hidden" role="status">
        {done ? "Copied" : ""}
      </span>
    </button>
  );
}

export function CopyButton({ text, children }: { text: string; children: string }) {
  const { done, copy } = useCopy(text);
  return (
    <Button small kind="ghost" icon={done ? "check" : "terminal"} onClick={copy} title={text}>
      {done ? "Copied" : children}
    </Button>
  );
}

/** A command or value on its own ground, with a copy button. */
export function Code({ text, prompt, wrap }: { text: string; prompt?: boolean; wrap?: boolean }) {
  return (
    <div className={wrap ? "code wrap" : "code"}>
      <pre>
        {prompt && <span className="prompt">$ </span>}
        {text}
      </pre>
      <Copy text={text} label="Copy" />
    </div>
  );
}
