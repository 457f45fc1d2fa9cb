import { useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";
import { appsQuery } from "@/api/queries";
import type { App } from "@/api/types";
import { ButtonLink } from "@/components/button";
import { Copy } from "@/components/copy";
import { SearchField } from "@/components/field";
import { Card, Empty, ErrorNotice, PageHead, TableSkeleton, useTitle } from "@/components/page";
import { Status } from "@/components/status";
import { Time } from "@/components/time";
import { cli } from "@/lib/cli";
import { appStatus, deploymentState, viewOf } from "@/lib/status";
import { Tombstones } from "./deletion";

export function Component() {
  useTitle("Apps");
  const apps = useQuery(appsQuery);
  return (
    <div className="page">
      <PageHead
        title="Apps"
        text="Everything that runs on your nodes."
        actions={
          <ButtonLink kind="primary" icon="plus" to="/apps/new">
            New app
          </ButtonLink>
        }
      />
      {apps.isError && <ErrorNotice error={apps.error} retry={apps.refetch} />}
      <Tombstones />
      {apps.isPending && (
        <Card flush>
          <TableSkeleton columns={[150, 90, 220, 40, 110]} />
        </Card>
      )}
      {apps.data && (apps.data.length === 0 ? <NoApps /> : <Apps apps={apps.data} />)}
    </div>
  );
}

function NoApps() {
  return (
    <Card>
      <Empty
        icon="apps"
        title="No apps yet"
        text="Give an app a name and its code; it gets an address with HTTPS."
        action={
          <ButtonLink kind="primary" icon="plus" to="/apps/new">
            New app
          </ButtonLink>
        }
        command={cli.createApp("")}
      />
    </Card>
  );
}

function Apps({ apps }: { apps: App[] }) {
  const [filter, setFilter] = useSearchParams();
  const text = filter.get("q") ?? "";
  const status = filter.get("status") ?? "";
  const project = filter.get("project") ?? "";
  const set = (name: string, value: string) =>
    setFilter(
      (old) => {
        const next = new URLSearchParams(old);
        if (value) next.set(name, value);
        else next.delete(name);
        return next;
      },
      { replace: true },
    );
  const shown = apps.filter(
    (app) =>
      (!status || app.status === status) &&
      (!project || app.project.slug === project) &&
      `${app.slug} ${app.hostname}`.includes(text.toLowerCase()),
  );
  return (
    <>
      <div className="toolbar">
        <SearchField label="Find an app" value={text} onChange={(value) => set("q", value)} />
        <select
          className="select"
          style={{ width: 160 }}
          aria-label="Status"
          value={status}
          onChange={(event) => set("status", event.target.value)}
        >
          <option value="">Every status</option>
          {Object.entries(appStatus).map(([value, { label }]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
        <ProjectFilter apps={apps} value={project} onChange={(value) => set("project", value)} />
      </div>
      <Card flush>
        {shown.length === 0 ? (
          <Empty icon="search" title="No app matches" text="Try another name, status or project." />
        ) : (
          <AppTable apps={shown} />
        )}
      </Card>
    </>
  );
}

interface FilterProps {
  apps: App[];
  value: string;
  onChange: (project: string) => void;
}

/** Only where there is something to choose. */
function ProjectFilter({ apps, value, onChange }: FilterProps) {
  const slugs = new Set(apps.map((app) => app.project.slug));
  if (value) slugs.add(value);
  if (slugs.size < 2) return null;
  return (
    <select
      className="select"
      style={{ width: 160 }}
      aria-label="Project"
      value={value}
      onChange={(event) => onChange(event.target.value)}
    >
      <option value="">Every project</option>
      {[...slugs].sort().map((slug) => (
        <option key={slug}>{slug}</option>
      ))}
    </select>
  );
}

function AppTable({ apps }: { apps: App[] }) {
  return (
    <div className="table-wrap">
      <table className="table">
        <thead>
          <tr>
            <th>App</th>
            <th>Status</th>
            <th className="hide-small">Address</th>
            <th className="hide-small">Release</th>
            <th className="hide-small">Instances</th>
            <th className="hide-small">Last deployment</th>
          </tr>
        </thead>
        <tbody>
          {apps.map((app) => (
            <AppRow key={app.id} app={app} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function AppRow({ app }: { app: App }) {
  const { deployment, instances } = app;
  return (
    <tr className="linked">
      <td>
        <Link className="row-link" to={`/apps/${app.slug}`}>
          {app.slug}
        </Link>
        <span className="sub">{app.project.slug}</span>
      </td>
      <td>
        <Status view={viewOf(appStatus, app.status)} />
      </td>
      <td className="hide-small">
        <span className="hostname">
          <a className="truncate muted" href={app.url} target="_blank" rel="noreferrer">
            {app.hostname}
          </a>
          <Copy text={app.url} label="Copy address" />
        </span>
      </td>
      <td className="hide-small num">
        {app.release ? `v${app.release.number}` : <span className="faint">–</span>}
      </td>
      <td className="hide-small num">
        {instances.healthy}
        <span className="faint">/{instances.wanted}</span>
      </td>
      <td className="hide-small">
        {deployment ? (
          <Link className="small" to={`/apps/${app.slug}/deployments/${deployment.id}`}>
            {viewOf(deploymentState, deployment.state).label}
            <span className="sub">
              <Time at={deployment.finished_at ?? deployment.created_at} />
            </span>
          </Link>
        ) : (
          <span className="faint">–</span>
        )}
      </td>
    </tr>
  );
}
