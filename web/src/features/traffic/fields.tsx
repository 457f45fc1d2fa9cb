import { useEffect, useId, useRef, useState } from "react";
import type { FilterName, Filters } from "@/api/traffic";
import { Button } from "@/components/button";
import { Field, TextField } from "@/components/field";
import { problemsOf, same } from "./filters";

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const STATUSES = ["2xx", "3xx", "4xx", "5xx", "404", "429", "500", "502", "503", "504"];
/** After the last key of a word. */
const PAUSE_MS = 300;

interface Props {
  filters: Filters;
  onChange: (filters: Filters) => void;
  /** What the server says about them. */
  refused: Filters;
}

export function FilterFields({ filters, onChange, refused }: Props) {
  const [draft, setDraft] = useDraft(filters, onChange);
  const statuses = useId();
  const problems = { ...refused, ...problemsOf(draft) };
  const field = (name: FilterName) => ({
    value: draft[name] ?? "",
    onChange: (value: string) => setDraft({ ...draft, [name]: value }),
    error: problems[name],
    autoComplete: "off",
    spellCheck: false,
  });
  const method = field("method");
  return (
    <fieldset className="traffic-filters" aria-label="Filters">
      <TextField label="Status" placeholder="5xx or 404" list={statuses} {...field("status")} />
      <datalist id={statuses}>
        {STATUSES.map((status) => (
          <option key={status} value={status} />
        ))}
      </datalist>
      <Field label="Method" error={method.error}>
        {(control) => (
          <select
            className="select"
            value={method.value.toUpperCase()}
            onChange={({ target }) => method.onChange(target.value)}
            {...control}
          >
            <option value="">All</option>
            {METHODS.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        )}
      </Field>
      <TextField label="Path begins with" placeholder="/api" {...field("path")} />
      <TextField label="Host" placeholder="www.example.com" {...field("host")} />
      <TextField label="Client" placeholder="192.0.2.0/24" {...field("client")} />
      <TextField label="Slower than" suffix="ms" inputMode="numeric" {...field("slower_than_ms")} />
      {!same(draft, {}) && (
        <Button kind="ghost" small icon="close" onClick={() => setDraft({})}>
          Clear
        </Button>
      )}
    </fieldset>
  );
}

/** What is typed holds once it pauses and makes sense; what is chosen elsewhere takes its place. */
function useDraft(filters: Filters, onChange: (filters: Filters) => void) {
  const [draft, setDraft] = useState(filters);
  const held = useRef(filters);
  useEffect(() => {
    if (same(filters, held.current)) return;
    held.current = filters;
    setDraft(filters);
  }, [filters]);
  // What is chosen beside it during the pause must not be undone, so that not the function of its beginning is called.
  const change = useRef(onChange);
  useEffect(() => {
    change.current = onChange;
  });
  useEffect(() => {
    if (same(draft, held.current) || !same(problemsOf(draft), {})) return;
    const timer = setTimeout(() => {
      held.current = draft;
      change.current(draft);
    }, PAUSE_MS);
    return () => clearTimeout(timer);
  }, [draft]);
  return [draft, setDraft] as const;
}
