import { createContext, type ReactNode, useCallback, useContext, useMemo, useRef, useState } from "react";
import { Link } from "react-router";
import { asApiError } from "@/api/errors";
import { Button } from "./button";
import { Copy } from "./copy";
import { StatusMark } from "./status";

interface Toast {
  id: number;
  tone: "ok" | "bad";
  title: string;
  text?: string | undefined;
  link?: { to: string; label: string } | undefined;
  requestId?: string | undefined;
}

interface Toaster {
  done: (title: string, link?: Toast["link"]) => void;
  /** Stays until closed. */
  failed: (title: string, error: unknown) => void;
}

const ToastContext = createContext<Toaster | undefined>(undefined);
const SHOWN_MS = 5_000;
const AT_MOST = 4;

export function useToast(): Toaster {
  const toaster = useContext(ToastContext);
  if (!toaster) throw new Error("useToast needs a ToastProvider above it");
  return toaster;
}

export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([]);
  const next = useRef(1);
  const close = useCallback((id: number) => setToasts((all) => all.filter((toast) => toast.id !== id)), []);
  const toaster = useMemo<Toaster>(() => {
    const add = (toast: Omit<Toast, "id">) => {
      const id = next.current++;
      setToasts((all) => [...all.slice(1 - AT_MOST), { ...toast, id }]);
      return id;
    };
    return {
      done(title, link) {
        const id = add({ tone: "ok", title, link });
        setTimeout(() => close(id), SHOWN_MS);
      },
      failed(title, cause) {
        const error = asApiError(cause);
        add({
          tone: "bad",
          title,
          text: [error.message, error.hint].filter(Boolean).join(" "),
          requestId: error.requestId,
        });
      },
    };
  }, [close]);

  return (
    <ToastContext value={toaster}>
      {children}
      <div className="toasts">
        {toasts.map((toast) => (
          <div key={toast.id} className="toast" role={toast.tone === "bad" ? "alert" : "status"}>
            <StatusMark tone={toast.tone} />
            <div className="toast-body">
              <strong>{toast.title}</strong>
              {toast.text && <span className="muted">{toast.text}</span>}
              {toast.requestId && (
                <span className="row faint small">
                  Request <code>{toast.requestId.slice(0, 13)}</code>
                  <Copy text={toast.requestId} label="Copy request id" />
                </span>
              )}
              {toast.link && (
                <Link className="link" to={toast.link.to} onClick={() => close(toast.id)}>
                  {toast.link.label}
                </Link>
              )}
            </div>
            <Button kind="ghost" small icon="close" aria-label="Dismiss" onClick={() => close(toast.id)} />
          </div>
        ))}
      </div>
    </ToastContext>
  );
}
