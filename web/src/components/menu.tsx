import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef, useState } from "react";
import { Icon, type IconName } from "./icon";

export interface MenuItem {
  label: string;
  icon?: IconName;
  danger?: boolean;
  checked?: boolean;
  onSelect: () => void;
}

interface Props {
  label: string;
  trigger: ReactNode;
  triggerClass: string;
  head?: ReactNode;
  items: MenuItem[];
}

/** Menu button as in the ARIA practices: arrows, Home, End and Escape; a click elsewhere closes. */
export function Menu({ label, trigger, triggerClass, head, items }: Props) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const id = useId();

  useEffect(() => {
    if (!open) return;
    const options = () => root.current?.querySelectorAll<HTMLElement>(".menu-item");
    options()?.[0]?.focus();
    const outside = (event: PointerEvent) => {
      if (!root.current?.contains(event.target as globalThis.Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", outside);
    return () => document.removeEventListener("pointerdown", outside);
  }, [open]);

  const close = () => {
    setOpen(false);
    root.current?.querySelector("button")?.focus();
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (!open) return;
    const options = [...(root.current?.querySelectorAll<HTMLElement>(".menu-item") ?? [])];
    const at = options.indexOf(document.activeElement as HTMLElement);
    const moves: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1 + options.length,
      Home: 0,
      End: -1,
    };
    const to = moves[event.key];
    if (to !== undefined) {
      event.preventDefault();
      options.at(to === -1 ? -1 : to % options.length)?.focus();
    }
    if (event.key === "Escape") close();
    if (event.key === "Tab") setOpen(false);
  };

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: keys bubble from the button and the items
    <div className="menu" ref={root} onKeyDown={onKeyDown}>
      <button
        type="button"
        className={triggerClass}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        aria-label={label}
        onClick={() => setOpen(!open)}
      >
        {trigger}
      </button>
      {open && (
        <div className="menu-list" role="menu" id={id} aria-label={label}>
          {head && <div className="menu-head">{head}</div>}
          {items.map((item) => (
            // biome-ignore lint/a11y/useAriaPropsSupportedByRole: set only for radio items
            <button
              key={item.label}
              type="button"
              role={item.checked === undefined ? "menuitem" : "menuitemradio"}
              aria-checked={item.checked}
              tabIndex={-1}
              className={item.danger ? "menu-item danger" : "menu-item"}
              onClick={() => {
                close();
                item.onSelect();
              }}
            >
              {item.icon && <Icon name={item.icon} />}
              {item.label}
              {item.checked && (
                <span style={{ marginLeft: "auto" }}>
                  <Icon name="check" size={14} />
                </span>
              )}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
