import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { NavLink, Outlet, useLocation, useParams } from "react-router";
import { asApiError } from "@/api/errors";
import { appQuery } from "@/api/queries";
import type { App } from "@/api/types";
import { ExternalButton } from "@/components/button";
import { Copy } from "@/components/copy";
import { Empty, ErrorNotice, PageHead, Skeleton, useTitle } from "@/components/page";
import { Badge } from "@/components/status";
import { appStatus, viewOf } from "@/lib/status";
import { QuickActions } from "./actions";
import { PendingChanges } from "./pending";
import { Power } from "./power";

const tabs = [
  { to: "", label: "Overview" },
  { to: "deployments", label: "Deployments" },
  { to: "releases", label: "Releases" },
  { to: "logs", label: "Logs" },
  { to: "terminal", label: "Terminal" },
  { to: "environment", label: "Environment" },
  { to: "domains", label: "Domains" },
  { to: "activity", label: "Activity" },
  { to: "traffic", label: "Traffic" },
  { to: "routing", label: "Routing" },
  { to: "settings", label: "Settings" },
];

export function Component() {
  const { app: slug = "" } = useParams();
  const app = useQuery(appQuery(slug));
  const { pathname } = useLocation();
  const bar = useRef<HTMLElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a narrow screen shows the tab of the page
  useEffect(() => {
    const tab = bar.current?.querySelector<HTMLElement>("[aria-current=page]");
    if (bar.current && tab) bar.current.scrollLeft = tab.offsetLeft - bar.current.clientWidth / 3;
  }, [pathname]);
  const view = app.data && viewOf(appStatus, app.data.status);
  useTitle(slug, view && (view.tone === "busy" || view.tone === "bad") ? view.tone : undefined);

  if (app.isError && asApiError(app.error).status === 404) {
    return (
      <div className="page">
        <Empty
          icon="apps"
          title={`There is no app “${slug}”`}
          text="It may have been deleted, or you may not be allowed to see it."
        />
      </div>
    );
  }
  return (
    <div className={/\/(logs|terminal)$/.test(pathname) ? "page logs" : "page"}>
      <PageHead
        title={
          <>
            {slug} {view ? <Badge view={view} /> : <Skeleton width={80} />}
          </>
        }
        text={app.data ? <Address app={app.data} /> : <Skeleton width={220} />}
        actions={
          app.data && (
            <>
              <QuickActions app={app.data} />
              <Power app={app.data} />
              {app.data.release && (
                <ExternalButton kind="primary" href={app.data.url}>
                  Open
                </ExternalButton>
              )}
            </>
          )
        }
      />
      <nav className="tabs" aria-label="App" ref={bar}>
        {tabs.map(({ to, label }) => (
          <NavLink key={to} to={`/apps/${slug}${to && `/${to}`}`} end={to === ""}>
            {label}
          </NavLink>
        ))}
      </nav>
      {app.isError && <ErrorNotice error={app.error} retry={app.refetch} />}
      {app.data && <PendingChanges app={app.data} />}
      {app.data && <Outlet context={app.data} />}
    </div>
  );
}

function Address({ app }: { app: App }) {
  return (
    <span className="hostname">
      <a className="truncate" href={app.url} target="_blank" rel="noreferrer">
        {app.hostname}
      </a>
      <Copy text={app.url} label="Copy address" />
    </span>
  );
}
