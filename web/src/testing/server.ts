import { HttpResponse, http } from "msw";
import { setupServer } from "msw/node";
import type { paths } from "@/api/schema.gen";
import type { Problem } from "@/api/types";
import { makeHealing, makePlacement, makeSeries, makeStorage } from "./data";

type Method = "get" | "post" | "put" | "patch" | "delete";

/** The body of an operation's success, as the schema says. */
type Success<P extends keyof paths, M extends Method> = paths[P][M] extends { responses: infer R }
  ? R extends Record<number, { content: { "application/json": infer B } }>
    ? B
    : {
        [S in keyof R]: S extends 200 | 201 | 202
          ? R[S] extends { content: { "application/json": infer B } }
            ? B
            : never
          : never;
      }[keyof R]
  : never;

const emptyStorage = makeStorage({
  containers: [],
  container_count: 0,
  volumes: [],
  volume_count: 0,
  images: null,
});

export const server = setupServer(
  http.get("*/api/v1/setup", () => HttpResponse.json({ needed: false })),
  http.get("*/api/v1/tombstones", () => HttpResponse.json({ items: [], next: null })),
  http.get("*/api/v1/nodes/:node/history", () => HttpResponse.json({ items: [], next: null })),
  http.get("*/api/v1/placement/nodes", () => HttpResponse.json({ items: [], next: null })),
  http.get("*/api/v1/moves", () => HttpResponse.json({ items: [], others: 0 })),
  http.get("*/api/v1/mesh", () =>
    HttpResponse.json({ nodes: [], links: [], links_left_out: 0, findings: [] }),
  ),
  http.get("*/api/v1/nodes/:node/numbers", () =>
    HttpResponse.json(makeSeries("1h", { now: null, points: [] })),
  ),
  http.get("*/api/v1/nodes/:node/instances", () => HttpResponse.json({ items: [], others: 0 })),
  http.get("*/api/v1/nodes/:node/healing", () => HttpResponse.json(makeHealing())),
  http.get("*/api/v1/nodes/:node/storage", () => HttpResponse.json(emptyStorage)),
  http.get("*/api/v1/nodes/:node/strays", () => HttpResponse.json({ items: [], next: null })),
  http.get("*/api/v1/nodes/:node/corrections", () => HttpResponse.json({ items: [], next: null })),
  http.get("*/api/v1/nodes/:node/gc", () => HttpResponse.json({ items: [], next: null })),
  http.get("*/api/v1/nodes/:node/placement", ({ params }) =>
    HttpResponse.json(makePlacement(String(params.node))),
  ),
  http.get("*/api/v1/projects/:project/network", ({ params }) =>
    HttpResponse.json({ project: params.project, apps: [], grants: [], egress: null }),
  ),
  http.get("*/api/v1/apps/:app/streams", () => HttpResponse.json({ items: [], ports: "30000-30999" })),
  http.get("*/api/v1/zones", () => HttpResponse.json({ items: [], next: null })),
);

/** Answers an operation; path and body are checked against the schema. Returns the requests that came. */
export function answer<P extends keyof paths, M extends Method>(
  method: M,
  path: P,
  body: Success<P, M>,
  status = 200,
) {
  const requests: unknown[] = [];
  server.use(
    http[method](pattern(path), async ({ request }) => {
      const text = await request.text();
      requests.push(text ? JSON.parse(text) : undefined);
      return HttpResponse.json(body as Record<string, unknown>, { status });
    }),
  );
  return requests;
}

export function refuse<P extends keyof paths>(
  method: Method,
  path: P,
  status: number,
  problem: Omit<Problem, "request_id">,
) {
  server.use(
    http[method](pattern(path), () => HttpResponse.json({ ...problem, request_id: "r-1" }, { status })),
  );
}

const pattern = (path: string) => `*${path.replace(/\{(\w+)\}/g, ":$1")}`;
