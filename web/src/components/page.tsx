import { type ReactNode, useEffect } from "react";
import type { ApiError } from "@/api/errors";
import { asApiError } from "@/api/errors";
import type { Tone } from "@/lib/status";
import { Button } from "./button";
import { Copy } from "./copy";
import { Icon, type IconName } from "./icon";
import { StatusMark } from "./status";
import { Words } from "./words";

/** The document's title, with a mark in front while something of this page runs or has failed. */
export function useTitle(title: string, tone?: Tone) {
  useEffect(() => {
    const mark = tone === "busy" ? "● " : tone === "bad" ? "✕ " : tone === "ok" ? "✓ " : "";
    document.title = `${mark}${title} · WiseHosting`;
  }, [title, tone]);
}

export function PageHead({
  title,
  text,
  actions,
}: {
  title: ReactNode;
  text?: ReactNode;
  actions?: ReactNode;
}) {
  return (
    <header className="page-head">
      <div className="titles">
        <h1>{title}</h1>
        {text && <div>{text}</div>}
      </div>
      {actions && <div className="row wrap actions">{actions}</div>}
    </header>
  );
}

interface CardProps {
  title?: ReactNode;
  text?: ReactNode;
  actions?: ReactNode;
  footer?: ReactNode;
  children: ReactNode;
  /** Tables bring their own padding. */
  flush?: boolean;
  className?: string;
}

export function Card({ title, text, actions, footer, children, flush, className }: CardProps) {
  return (
    <section className={className ? `card ${className}` : "card"}>
      {title && (
        <div className="card-head">
          <div>
            <h2>{title}</h2>
            {text && <p>{text}</p>}
          </div>
          {actions && <div className="row">{actions}</div>}
        </div>
      )}
      {flush ? children : <div className="card-body">{children}</div>}
      {footer && <div className="card-foot">{footer}</div>}
    </section>
  );
}

export function Notice({
  tone,
  title,
  children,
  action,
}: {
  tone: Tone;
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}) {
  return (
    <div className={`notice tone-${tone}`} role={tone === "bad" ? "alert" : "status"}>
      <StatusMark tone={tone} />
      <div className="notice-body">
        <strong>{title}</strong>
        {children && <div>{children}</div>}
      </div>
      {action}
    </div>
  );
}

interface EmptyProps {
  icon: IconName;
  title: string;
  text: string;
  action?: ReactNode;
  command?: string;
}

export function Empty({ icon, title, text, action, command }: EmptyProps) {
  return (
    <div className="empty">
      <div className="empty-art">
        <Icon name={icon} size={22} />
      </div>
      <div className="stack tight">
        <h2>{title}</h2>
        <p>{text}</p>
      </div>
      {action}
      {command && (
        <div className="empty-cli">
          or <code>{command}</code>
          <Copy text={command} label="Copy command" />
        </div>
      )}
    </div>
  );
}

export function ErrorNotice({ error, retry }: { error: unknown; retry?: () => void }) {
  const problem: ApiError = asApiError(error);
  return (
    <Notice
      tone="bad"
      title={problem.message}
      action={
        retry && (
          <Button small onClick={retry}>
            Try again
          </Button>
        )
      }
    >
      {problem.hint && (
        <p>
          <Words text={problem.hint} />
        </p>
      )}
      {problem.requestId && (
        <p className="row muted">
          Request <code>{problem.requestId}</code> <Copy text={problem.requestId} label="Copy request id" />
        </p>
      )}
    </Notice>
  );
}

export function Skeleton({ width }: { width: number | string }) {
  return <span className="skeleton" style={{ width }} />;
}

/** Shaped like the table that will take its place. */
export function TableSkeleton({ columns, rows = 4 }: { columns: number[]; rows?: number }) {
  return (
    <div className="table-wrap" role="status" aria-busy="true" aria-label="Loading">
      <table className="table">
        <tbody>
          {Array.from({ length: rows }, (_, row) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: rows of a skeleton have no identity
            <tr key={row}>
              {columns.map((width, column) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: columns of a skeleton have no identity
                <td key={column}>
                  <Skeleton width={width * (1 - ((row + column) % 3) * 0.14)} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Grows a list whose pages are fetched one after the other. */
export function MoreButton({
  query,
}: {
  query: { hasNextPage: boolean; isFetchingNextPage: boolean; fetchNextPage: () => unknown };
}) {
  if (!query.hasNextPage) return null;
  return (
    <div className="card-foot">
      <Button small busy={query.isFetchingNextPage} onClick={() => query.fetchNextPage()}>
        Show more
      </Button>
    </div>
  );
}
