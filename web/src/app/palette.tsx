import { useQuery } from "@tanstack/react-query";
import { type KeyboardEvent, useEffect, useId, useMemo, useRef, useState } from "react";
import { useNavigate } from "react-router";
import { appsQuery, nodesQuery } from "@/api/queries";
import type { App, Node } from "@/api/types";
import { Icon, type IconName } from "@/components/icon";
import { matchesOf } from "@/lib/match";

export interface Place {
  label: string;
  hint: string;
  icon: IconName;
  to: string;
}

const pages: Place[] = [
  { label: "New app", hint: "Action", icon: "plus", to: "/apps/new" },
  { label: "Overview", hint: "Page", icon: "overview", to: "/" },
  { label: "Apps", hint: "Page", icon: "apps", to: "/apps" },
  { label: "Projects", hint: "Page", icon: "projects", to: "/projects" },
  { label: "Queue", hint: "Page", icon: "clock", to: "/queue" },
  { label: "Nodes", hint: "Page", icon: "nodes", to: "/nodes" },
  { label: "Network", hint: "Page", icon: "network", to: "/network" },
  { label: "Certificates", hint: "Page", icon: "lock", to: "/certificates" },
  { label: "Notices", hint: "Page", icon: "bell", to: "/notices" },
  { label: "Routes", hint: "Page", icon: "branch", to: "/routes" },
  { label: "Audit", hint: "Page", icon: "audit", to: "/audit" },
  { label: "Settings", hint: "Page", icon: "settings", to: "/settings" },
];

/** Everything that has an address, apps first; what one does with an app comes behind the apps. */
export function placesOf(apps: App[], nodes: Node[]): Place[] {
  return [
    ...apps.map(({ slug }): Place => ({ label: slug, hint: "App", icon: "box", to: `/apps/${slug}` })),
    ...nodes.map(({ name }): Place => ({ label: name, hint: "Node", icon: "nodes", to: `/nodes/${name}` })),
    ...pages,
    ...apps.flatMap(({ slug, deployment }): Place[] => [
      { label: `Logs of ${slug}`, hint: "Action", icon: "terminal", to: `/apps/${slug}/logs` },
      {
        label: `Deploy ${slug}`,
        hint: "Action",
        icon: "rocket",
        to: deployment ? `/apps/${slug}#deploy` : `/apps/new?app=${slug}`,
      },
      { label: `Environment of ${slug}`, hint: "Action", icon: "lock", to: `/apps/${slug}/environment` },
      { label: `Releases of ${slug}`, hint: "Action", icon: "rollback", to: `/apps/${slug}/releases` },
    ]),
  ];
}

const SHOWN = 9;

/** Opens on ⌘K or Ctrl K, and by its button. */
export function Palette() {
  const [open, setOpen] = useState(false);
  useEffect(() => {
    const onKey = (event: globalThis.KeyboardEvent) => {
      if (event.key.toLowerCase() !== "k" || !(event.metaKey || event.ctrlKey)) return;
      event.preventDefault();
      setOpen((was) => !was);
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
  return (
    <>
      <button type="button" className="button ghost palette-button" onClick={() => setOpen(true)}>
        <Icon name="search" />
        <span className="word">Go to…</span>
        <kbd className="word">{/Mac|iPhone|iPad/.test(navigator.userAgent) ? "⌘K" : "Ctrl K"}</kbd>
      </button>
      {open && <PaletteDialog onClose={() => setOpen(false)} />}
    </>
  );
}

function PaletteDialog({ onClose }: { onClose: () => void }) {
  const { data: apps = [] } = useQuery(appsQuery);
  const { data: nodes = [] } = useQuery(nodesQuery);
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const found = useMemo(
    () => matchesOf(placesOf(apps, nodes), text, (place) => place.label).slice(0, SHOWN),
    [apps, nodes, text],
  );
  const dialog = useRef<HTMLDialogElement>(null);
  const list = useId();
  const navigate = useNavigate();
  useEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  const choose = (place: Place | undefined) => {
    if (!place) return;
    onClose();
    navigate(place.to);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const moves: Record<string, number> = { ArrowDown: 1, ArrowUp: -1 };
    const move = moves[event.key];
    if (move === undefined && event.key !== "Enter") return;
    event.preventDefault();
    if (event.key === "Enter") choose(found[at]);
    else if (found.length > 0) setAt((at + (move ?? 0) + found.length) % found.length);
  };
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape is the keyboard's way, the click is on the backdrop
    <dialog
      ref={dialog}
      className="dialog palette"
      aria-label="Go to"
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === dialog.current && onClose()}
    >
      <input
        className="palette-input"
        role="combobox"
        aria-label="An app, a node, a page or an action"
        aria-expanded="true"
        aria-controls={list}
        aria-activedescendant={found[at] ? `${list}-${at}` : undefined}
        placeholder="An app, a node, a page, an action…"
        autoComplete="off"
        spellCheck={false}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setAt(0);
        }}
        onKeyDown={onKeyDown}
      />
      <div className="palette-list" role="listbox" id={list} aria-label="Places">
        {found.map((place, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: keys are handled by the field, which keeps the focus
          <div
            key={place.to + place.label}
            id={`${list}-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === at}
            className="palette-item"
            onMouseMove={() => setAt(index)}
            onClick={() => choose(place)}
          >
            <Icon name={place.icon} />
            <span className="truncate">{place.label}</span>
            <span className="faint small">{place.hint}</span>
          </div>
        ))}
        {found.length === 0 && <p className="palette-none faint">Nothing has this name.</p>}
      </div>
    </dialog>
  );
}
