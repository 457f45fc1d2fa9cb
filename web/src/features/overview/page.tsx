import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { appsQuery, nodesQuery, sessionQuery } from "@/api/queries";
import type { App, Node } from "@/api/types";
import { ButtonLink } from "@/components/button";
import { Card, ErrorNotice, PageHead, Skeleton, useTitle } from "@/components/page";
import { Status, StatusMark } from "@/components/status";
import { Time } from "@/components/time";
import {
  appStatus,
  certificateState,
  deploymentState,
  nodeStatus,
  type StatusView,
  viewOf,
} from "@/lib/status";

export function Component() {
  useTitle("Overview");
  const session = useQuery(sessionQuery);
  const apps = useQuery(appsQuery);
  const nodes = useQuery(nodesQuery);
  const failed = apps.error ?? nodes.error;
  const fresh =
    apps.data &&
    nodes.data &&
    (apps.data.length === 0 || !nodes.data.some(isWorker) || !nodes.data.some(isProxy));
  return (
    <div className="page">
      <PageHead
        title={session.data?.organization.name ?? "Overview"}
        text="What runs, and what needs a look."
        actions={
          <ButtonLink kind="primary" icon="plus" to="/apps/new">
            New app
          </ButtonLink>
        }
      />
      {failed && <ErrorNotice error={failed} retry={() => Promise.all([apps.refetch(), nodes.refetch()])} />}
      {fresh && <FirstSteps apps={apps.data} nodes={nodes.data} />}
      <div className="counters">
        <Counter
          title="Apps"
          to="/apps"
          views={apps.data?.map((app) => viewOf(appStatus, app.status))}
          good={(view) => view.tone === "ok"}
          word="running"
        />
        <Counter
          title="Nodes"
          to="/nodes"
          views={nodes.data?.map((node) => viewOf(nodeStatus, node.status))}
          good={(view) => view.tone === "ok"}
          word="online"
        />
        <Counter
          title="Certificates"
          to="/certificates"
          views={apps.data
            ?.filter((app) => app.release)
            .map((app) => viewOf(certificateState, app.certificate.state))}
          good={(view) => view.tone === "ok"}
          word="issued"
        />
      </div>
      <div className="columns">
        <Recent apps={apps.data} />
        <Attention apps={apps.data} nodes={nodes.data} />
      </div>
    </div>
  );
}

const isWorker = (node: Node) => node.roles.includes("worker");
const isProxy = (node: Node) => node.roles.includes("proxy");

interface CounterProps {
  title: string;
  to: string;
  views: StatusView[] | undefined;
  good: (view: StatusView) => boolean;
  word: string;
}

/** How many are well, out of how many, and what the others are. */
function Counter({ title, to, views, good, word }: CounterProps) {
  const parts = new Map<string, { view: StatusView; count: number }>();
  for (const view of views ?? []) {
    parts.set(view.label, { view, count: (parts.get(view.label)?.count ?? 0) + 1 });
  }
  return (
    <Link className="card counter" to={to}>
      <span>{title}</span>
      <span className="figure">
        {views ? (
          <>
            {views.filter(good).length}{" "}
            <small>
              of {views.length} {word}
            </small>
          </>
        ) : (
          <Skeleton width={90} />
        )}
      </span>
      <span className="parts">
        {[...parts.values()].map(({ view, count }) => (
          <Status
            key={view.label}
            view={{ tone: view.tone, label: `${count} ${view.label.toLowerCase()}` }}
          />
        ))}
        {views?.length === 0 && <span className="faint small">None yet</span>}
      </span>
    </Link>
  );
}

function FirstSteps({ apps, nodes }: { apps: App[]; nodes: Node[] }) {
  const steps = [
    { done: true, title: "Make the first account", text: "You are in.", to: "/settings", action: "Account" },
    {
      done: nodes.some(isWorker),
      title: "Add a worker",
      text: "A host that builds and runs your apps.",
      to: "/nodes",
      action: "Add node",
    },
    {
      done: nodes.some(isProxy),
      title: "Add a proxy",
      text: "A host that takes requests from the internet; the worker can be it.",
      to: "/nodes",
      action: "Add node",
    },
    {
      done: apps.length > 0,
      title: "Deploy an app",
      text: "An archive, a repository or an image.",
      to: "/apps/new",
      action: "New app",
    },
  ];
  const next = steps.findIndex((step) => !step.done);
  return (
    <Card title="First steps" flush>
      <ol className="steps">
        {steps.map((step, index) => (
          <li key={step.title} className={step.done ? "step done" : "step"}>
            <StatusMark tone={step.done ? "ok" : "idle"} />
            <div className="step-body">
              <strong>{step.title}</strong>
              <p>{step.text}</p>
            </div>
            {!step.done && (
              <ButtonLink small kind={index === next ? "primary" : "secondary"} to={step.to}>
                {step.action}
              </ButtonLink>
            )}
          </li>
        ))}
      </ol>
    </Card>
  );
}

const RECENT = 8;

function Recent({ apps }: { apps: App[] | undefined }) {
  const recent = apps
    ?.flatMap((app) => (app.deployment ? [{ app, deployment: app.deployment }] : []))
    .sort((a, b) => b.deployment.created_at.localeCompare(a.deployment.created_at))
    .slice(0, RECENT);
  return (
    <Card title="Latest deployments" flush>
      <table className="table">
        <tbody>
          {recent?.map(({ app, deployment }) => (
            <tr className="linked" key={deployment.id}>
              <td style={{ maxWidth: 0, width: "60%" }}>
                <Link className="row-link" to={`/apps/${app.slug}/deployments/${deployment.id}`}>
                  {app.slug} <span className="faint num">#{deployment.number}</span>
                </Link>
                <span className="sub truncate">{app.hostname}</span>
              </td>
              <td>
                <Status view={viewOf(deploymentState, deployment.state)} />
              </td>
              <td className="end">
                <Time at={deployment.finished_at ?? deployment.created_at} />
              </td>
            </tr>
          ))}
          {recent?.length === 0 && (
            <tr>
              <td className="faint">Nothing was deployed yet.</td>
            </tr>
          )}
          {!recent &&
            [200, 160, 180].map((width) => (
              <tr key={width}>
                <td>
                  <Skeleton width={width} />
                </td>
              </tr>
            ))}
        </tbody>
      </table>
    </Card>
  );
}

interface Issue {
  key: string;
  to: string;
  view: StatusView;
  text: string;
  at?: string | null | undefined;
}

function issuesOf(apps: App[], nodes: Node[]): Issue[] {
  const ofApps = apps.flatMap((app): Issue[] => {
    const issues: Issue[] = [];
    const to = `/apps/${app.slug}`;
    const view = viewOf(appStatus, app.status);
    if (view.tone === "warn" || view.tone === "bad") {
      const text = app.release
        ? `${app.instances.healthy} of ${app.instances.wanted} instances healthy`
        : "The first deployment failed";
      issues.push({
        key: app.id,
        to,
        view: { ...view, label: app.slug },
        text,
        at: app.instances.observed_at,
      });
    } else if (app.deployment?.state === "failed") {
      issues.push({
        key: app.deployment.id,
        to: `${to}/deployments/${app.deployment.id}`,
        view: { tone: "bad", label: app.slug },
        text: `Deployment #${app.deployment.number} failed`,
        at: app.deployment.finished_at,
      });
    }
    if (app.certificate.state === "failed") {
      issues.push({
        key: `${app.id} certificate`,
        to,
        view: { tone: "bad", label: app.slug },
        text: "No certificate could be had",
      });
    }
    return issues;
  });
  const ofNodes = nodes
    .filter((node) => node.status === "offline" || node.status === "unreachable")
    .map((node) => ({
      key: node.id,
      to: `/nodes/${node.name}`,
      view: { tone: "bad" as const, label: node.name },
      text: viewOf(nodeStatus, node.status).label,
      at: node.status_since,
    }));
  return [...ofNodes, ...ofApps];
}

function Attention({ apps, nodes }: { apps: App[] | undefined; nodes: Node[] | undefined }) {
  const issues = apps && nodes && issuesOf(apps, nodes);
  return (
    <Card title="Needs a look" flush>
      <table className="table">
        <tbody>
          {issues?.map((issue) => (
            <tr className="linked" key={issue.key}>
              <td>
                <Link className="row-link" to={issue.to}>
                  <Status view={issue.view} />
                </Link>
                <span className="sub" style={{ paddingLeft: 21 }}>
                  {issue.text}
                  {issue.at && (
                    <>
                      , <Time at={issue.at} />
                    </>
                  )}
                </span>
              </td>
            </tr>
          ))}
          {issues?.length === 0 && (
            <tr>
              <td className="muted">
                <span className="row">
                  <StatusMark tone="ok" /> Everything is as it should be.
                </span>
              </td>
            </tr>
          )}
          {!issues && (
            <tr>
              <td>
                <Skeleton width={180} />
              </td>
            </tr>
          )}
        </tbody>
      </table>
    </Card>
  );
}
