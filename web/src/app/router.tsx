import { createBrowserRouter, Outlet, type RouteObject } from "react-router";
import { ToastProvider } from "@/components/toast";
import { CrashPage, NotFoundPage } from "./boundary";
import { Frame } from "./frame";
import { SessionGuard } from "./guards";

function Root() {
  return (
    <ToastProvider>
      <Outlet />
    </ToastProvider>
  );
}

function Nothing() {
  return null;
}

const appTabs: RouteObject[] = [
  { index: true, lazy: () => import("@/features/apps/overview") },
  { path: "deployments", lazy: () => import("@/features/deployments/list") },
  { path: "releases", lazy: () => import("@/features/releases/list") },
  { path: "logs", lazy: () => import("@/features/logs/page") },
  { path: "terminal", lazy: () => import("@/features/terminal/page") },
  { path: "environment", lazy: () => import("@/features/env/page") },
  { path: "domains", lazy: () => import("@/features/domains/page") },
  { path: "activity", lazy: () => import("@/features/activity/page") },
  { path: "traffic", lazy: () => import("@/features/traffic/page") },
  { path: "routing", lazy: () => import("@/features/routing/page") },
  { path: "settings", lazy: () => import("@/features/apps/settings") },
];

const pages: RouteObject[] = [
  { index: true, lazy: () => import("@/features/overview/page") },
  { path: "apps", lazy: () => import("@/features/apps/list") },
  { path: "apps/new", lazy: () => import("@/features/apps/new") },
  { path: "apps/:app", lazy: () => import("@/features/apps/layout"), children: appTabs },
  { path: "apps/:app/deployments/:id", lazy: () => import("@/features/deployments/page") },
  { path: "projects", lazy: () => import("@/features/projects/page") },
  { path: "queue", lazy: () => import("@/features/queue/page") },
  { path: "nodes", lazy: () => import("@/features/nodes/list") },
  { path: "nodes/:node", lazy: () => import("@/features/nodes/page") },
  { path: "network", lazy: () => import("@/features/network/page") },
  { path: "doctor", lazy: () => import("@/features/doctor/page") },
  { path: "certificates", lazy: () => import("@/features/certificates/list") },
  { path: "certificates/:host", lazy: () => import("@/features/certificates/page") },
  { path: "notices", lazy: () => import("@/features/notices/page") },
  { path: "routes", lazy: () => import("@/features/routes/page") },
  { path: "audit", lazy: () => import("@/features/audit/page") },
  { path: "settings", lazy: () => import("@/features/settings/page") },
  { path: "*", Component: NotFoundPage },
];

export const routes: RouteObject[] = [
  {
    Component: Root,
    ErrorBoundary: CrashPage,
    HydrateFallback: Nothing,
    children: [
      { path: "login", lazy: () => import("@/features/session/login") },
      { path: "setup", lazy: () => import("@/features/session/setup") },
      {
        Component: SessionGuard,
        children: [{ Component: Frame, children: [{ ErrorBoundary: CrashPage, children: pages }] }],
      },
    ],
  },
];

export const router = createBrowserRouter(routes);
