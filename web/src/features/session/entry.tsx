import type { ReactNode } from "react";
import { Logo } from "@/components/icon";

/** Frame of the pages outside the dashboard. */
export function Entry({ title, text, children }: { title: string; text: string; children: ReactNode }) {
  return (
    <main className="entry">
      <div className="entry-box">
        <div className="entry-head">
          <Logo size={44} />
          <div className="stack tight">
            <h1>{title}</h1>
            <p>{text}</p>
          </div>
        </div>
        <div className="card">
          <div className="card-body">{children}</div>
        </div>
      </div>
    </main>
  );
}
