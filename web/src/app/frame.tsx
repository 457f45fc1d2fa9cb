import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { Link, NavLink, Outlet, useMatch, useMatches, useNavigate, useParams } from "react-router";
import { useLiveState, useLiveUpdates } from "@/api/live";
import { useLogout } from "@/api/mutations";
import { appsQuery, nodesQuery, queueQuery, sessionQuery } from "@/api/queries";
import type { App } from "@/api/types";
import { Icon, type IconName, Logo } from "@/components/icon";
import { Menu } from "@/components/menu";
import { StatusMark } from "@/components/status";
import { useToast } from "@/components/toast";
import { type Theme, useTheme } from "@/lib/theme";
import { Bell } from "./bell";
import { Palette } from "./palette";

export function Frame() {
  useLiveUpdates();
  return (
    <div className="frame">
      <a className="skip" href="#content">
        Skip to content
      </a>
      <Sidebar />
      <div className="main">
        <TopBar />
        <Reconnecting />
        <main id="content" tabIndex={-1} className="main">
          <Outlet />
        </main>
      </div>
    </div>
  );
}

function Sidebar() {
  const apps = useQuery(appsQuery);
  const nodes = useQuery(nodesQuery);
  const queue = useQuery(queueQuery);
  return (
    <aside className="sidebar">
      <Link to="/" className="brand">
        <Logo />
        WiseHosting
      </Link>
      <nav aria-label="Main">
        <div className="nav">
          <NavItem to="/" icon="overview" label="Overview" />
          <NavItem to="/apps" icon="apps" label="Apps" count={apps.data?.length} />
          <NavItem to="/projects" icon="projects" label="Projects" />
          <NavItem to="/queue" icon="clock" label="Queue" count={queue.data?.length || undefined} />
          <NavItem to="/nodes" icon="nodes" label="Nodes" count={nodes.data?.length} />
          <NavItem to="/network" icon="network" label="Network" />
          <NavItem to="/doctor" icon="search" label="Doctor" />
          <NavItem to="/routes" icon="branch" label="Routes" />
        </div>
        <p className="nav-label">Organization</p>
        <div className="nav">
          <NavItem to="/certificates" icon="lock" label="Certificates" />
          <NavItem to="/audit" icon="audit" label="Audit" />
          <NavItem to="/settings" icon="settings" label="Settings" />
        </div>
      </nav>
      <p className="sidebar-foot">{location.host}</p>
    </aside>
  );
}

function NavItem({
  to,
  icon,
  label,
  count,
}: {
  to: string;
  icon: IconName;
  label: string;
  count?: number | undefined;
}) {
  const end = to === "/";
  const here = useMatch({ path: to, end }) !== null;
  const link = useRef<HTMLAnchorElement>(null);
  // On a phone they are a row that is wider than the screen.
  useEffect(() => {
    if (here) link.current?.scrollIntoView?.({ inline: "center", block: "nearest" });
  }, [here]);
  return (
    <NavLink ref={link} to={to} end={end}>
      <Icon name={icon} size={17} />
      {label}
      {count !== undefined && <span className="count num">{count}</span>}
    </NavLink>
  );
}

function TopBar() {
  return (
    <div className="topbar">
      <Link to="/" className="brand-small" aria-label="Overview">
        <Logo size={24} />
      </Link>
      <Crumbs />
      <Running />
      <Palette />
      <Bell />
      <ThemeMenu />
      <UserMenu />
    </div>
  );
}

const names: Record<string, string> = {
  apps: "Apps",
  new: "New app",
  projects: "Projects",
  queue: "Queue",
  nodes: "Nodes",
  network: "Network",
  certificates: "Certificates",
  notices: "Notices",
  doctor: "Doctor",
  routes: "Routes",
  audit: "Audit",
  settings: "Settings",
  deployments: "Deployments",
  releases: "Releases",
  logs: "Logs",
  environment: "Environment",
  domains: "Domains",
  terminal: "Terminal",
};

/** From the address: words of ours get their name, names of the user stay as they are. */
function Crumbs() {
  const { pathname } = useMatches().at(-1) ?? { pathname: "/" };
  const { id } = useParams();
  const parts = pathname.split("/").filter(Boolean);
  const crumbs = parts.map((part, index) => ({
    to: `/${parts.slice(0, index + 1).join("/")}`,
    label:
      part === id
        ? "Deployment"
        : index % 2 === 0 || part === "new"
          ? (names[part] ?? part)
          : decodeURIComponent(part),
  }));
  return (
    <nav aria-label="Breadcrumb" style={{ flex: 1, minWidth: 0 }}>
      <ol className="crumbs">
        {crumbs.length === 0 && <li aria-current="page">Overview</li>}
        {crumbs.map(({ to, label }, index) => (
          <li key={to} aria-current={index === crumbs.length - 1 ? "page" : undefined}>
            {index === crumbs.length - 1 ? (
              <span className="truncate">{label}</span>
            ) : (
              <Link to={to}>{label}</Link>
            )}
          </li>
        ))}
      </ol>
    </nav>
  );
}

/** How many deployments run now, with the way to them. */
function Running() {
  const { data = [] } = useQuery(appsQuery);
  const running = data.filter((app) => app.status === "deploying" && app.deployment);
  const only: App | undefined = running.length === 1 ? running[0] : undefined;
  if (running.length === 0) return null;
  const to = only?.deployment
    ? `/apps/${only.slug}/deployments/${only.deployment.id}`
    : "/apps?status=deploying";
  return (
    <Link className="running-pill" to={to} aria-label={`${running.length} running deployments`}>
      <StatusMark tone="busy" />
      {running.length} <span className="word">deploying</span>
    </Link>
  );
}

const themes: { theme: Theme; label: string; icon: IconName }[] = [
  { theme: "system", label: "As the system", icon: "system" },
  { theme: "light", label: "Light", icon: "sun" },
  { theme: "dark", label: "Dark", icon: "moon" },
];

function ThemeMenu() {
  const [theme, setTheme] = useTheme();
  const icon = themes.find((option) => option.theme === theme)?.icon ?? "system";
  return (
    <Menu
      label="Theme"
      triggerClass="button ghost icon"
      trigger={<Icon name={icon} />}
      items={themes.map((option) => ({
        label: option.label,
        icon: option.icon,
        checked: option.theme === theme,
        onSelect: () => setTheme(option.theme),
      }))}
    />
  );
}

function UserMenu() {
  const { data: session } = useQuery(sessionQuery);
  const logout = useLogout();
  const navigate = useNavigate();
  const toast = useToast();
  if (!session) return null;
  const { user, organization } = session;
  const leave = () =>
    logout.mutate(undefined, {
      onSuccess: () => navigate("/login"),
      onError: (error) => toast.failed("You are still signed in", error),
    });
  return (
    <Menu
      label="Account"
      triggerClass="menu-trigger"
      trigger={
        <>
          <span className="org">{organization.name}</span>
          <span className="avatar">{initials(user.name || user.email)}</span>
        </>
      }
      head={
        <>
          <strong>{user.name}</strong>
          <div className="muted">{user.email}</div>
          <div className="faint">
            {organization.name} · {organization.role}
          </div>
        </>
      }
      items={[
        { label: "Account", icon: "user", onSelect: () => navigate("/settings") },
        { label: "API tokens", icon: "key", onSelect: () => navigate("/settings#tokens") },
        { label: "Sign out", icon: "leave", onSelect: leave },
      ]}
    />
  );
}

function initials(name: string) {
  const words = name.split(/[\s@._-]+/).filter(Boolean);
  return (words.length > 1 ? `${words[0]?.[0]}${words[1]?.[0]}` : name.slice(0, 2)).toUpperCase();
}

function Reconnecting() {
  const state = useLiveState();
  if (state !== "reconnecting") return null;
  return (
    <div className="reconnecting" role="status">
      <StatusMark tone="warn" />
      Connection lost, trying again. What you see may be up to 10 s old.
    </div>
  );
}
