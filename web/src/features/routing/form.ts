import type { RouteOptions, RoutesPatch } from "@/api/types";

/** Options as they are typed: lists are lines, numbers are text until they are sent. */
export interface RoutingForm {
  allow: string;
  realm: string;
  users: User[];
  authUrl: string;
  authResponse: string;
  authRequest: string;
  authSkip: string;
  authTimeout: string;
  canonicalHost: string;
  plainHttp: boolean;
  redirects: string;
  requestSet: string;
  requestRemove: string;
  responseSet: string;
  responseRemove: string;
  requests: string;
  per: string;
  burst: string;
  body: string;
  timeout: string;
  compress: boolean;
  sticky: boolean;
  balance: NonNullable<RouteOptions["balance"]>;
  protocol: NonNullable<RouteOptions["upstream_protocol"]>;
  attempts: string;
  perTry: string;
  onGatewayError: boolean;
  eject: boolean;
  failures: string;
  ejectFor: string;
}

export interface User {
  name: string;
  /** Empty to keep the one that is there. */
  password: string;
  known: boolean;
}

const MIB = 1024 * 1024;
const text = (number: number | null | undefined) => (number == null ? "" : String(number));

export function formOf(options: RouteOptions): RoutingForm {
  const { request_headers: request, response_headers: response, rate_limit: rate, retry, eject } = options;
  const auth = options.forward_auth;
  return {
    allow: (options.allow ?? []).join("\n"),
    realm: options.basic_auth?.realm ?? "",
    users: Object.keys(options.basic_auth?.users ?? {}).map((name) => ({ name, password: "", known: true })),
    authUrl: auth?.url ?? "",
    authResponse: (auth?.response_headers ?? []).join("\n"),
    authRequest: (auth?.request_headers ?? []).join("\n"),
    authSkip: (auth?.skip ?? []).join("\n"),
    authTimeout: text(auth?.timeout_s ?? 5),
    canonicalHost: options.canonical_host ?? "",
    plainHttp: options.https_redirect === false,
    redirects: (options.redirects ?? [])
      .map(({ from, to, status }) => `${from} ${to}${(status ?? 308) === 308 ? "" : ` ${status}`}`)
      .join("\n"),
    requestSet: headerLines(request?.set),
    requestRemove: (request?.remove ?? []).join("\n"),
    responseSet: headerLines(response?.set),
    responseRemove: (response?.remove ?? []).join("\n"),
    requests: text(rate?.requests),
    per: text(rate?.per_s ?? 1),
    burst: text(rate?.burst),
    body: options.max_body_bytes == null ? "" : String(options.max_body_bytes / MIB),
    timeout: text(options.timeout_s),
    compress: options.compress ?? false,
    sticky: options.sticky ?? false,
    balance: options.balance ?? "least-requests",
    protocol: options.upstream_protocol ?? "http1",
    attempts: text(retry?.attempts ?? 3),
    perTry: text(retry?.per_try_timeout_s),
    onGatewayError: retry?.on_gateway_error ?? false,
    eject: eject != null,
    failures: text(eject?.failures ?? 5),
    ejectFor: text(eject?.for_s ?? 10),
  };
}

const headerLines = (set: Record<string, string | undefined> | undefined) =>
  Object.entries(set ?? {})
    .map(([name, value]) => `${name}: ${value}`)
    .join("\n");

const lines = (typed: string) =>
  typed
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);

const number = (typed: string) => (typed.trim() === "" ? undefined : Number(typed));

/** Each option that the form says something of; what is at its default is left out. */
export function optionsOf(form: RoutingForm): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  const put = (name: string, value: unknown, wanted: unknown = value) => {
    if (wanted) options[name] = value;
  };
  const allow = lines(form.allow);
  put("allow", allow, allow.length);
  if (form.users.length > 0) {
    const users = form.users.map(({ name, password }) => [name.trim(), password ? { password } : null]);
    put("basic_auth", { ...(form.realm && { realm: form.realm }), users: Object.fromEntries(users) });
  }
  put("forward_auth", forwardAuth(form), form.authUrl.trim());
  put("canonical_host", form.canonicalHost);
  put("https_redirect", false, form.plainHttp);
  const redirects = lines(form.redirects).map((line) => {
    const [from, to, status] = line.split(/\s+/);
    return { from, to, status: Number(status ?? 308) };
  });
  put("redirects", redirects, redirects.length);
  put("request_headers", ...headers(form.requestSet, form.requestRemove));
  put("response_headers", ...headers(form.responseSet, form.responseRemove));
  const burst = number(form.burst);
  const rate = { requests: Number(form.requests), per_s: Number(form.per), ...(burst && { burst }) };
  put("rate_limit", rate, form.requests.trim());
  put("max_body_bytes", Math.round(Number(form.body) * MIB), form.body.trim());
  put("timeout_s", number(form.timeout));
  put("compress", form.compress);
  put("sticky", form.sticky);
  put("balance", form.balance, form.balance !== "least-requests");
  put("upstream_protocol", form.protocol, form.protocol !== "http1");
  const perTry = number(form.perTry);
  const retry = {
    attempts: Number(form.attempts),
    ...(perTry && { per_try_timeout_s: perTry }),
    ...(form.onGatewayError && { on_gateway_error: true }),
  };
  put("retry", retry, retry.attempts !== 3 || perTry || form.onGatewayError);
  put("eject", { failures: Number(form.failures), for_s: Number(form.ejectFor) }, form.eject);
  return options;
}

function forwardAuth(form: RoutingForm) {
  const [response, request, skip] = [form.authResponse, form.authRequest, form.authSkip].map(lines);
  return {
    url: form.authUrl.trim(),
    ...(response?.length && { response_headers: response }),
    ...(request?.length && { request_headers: request }),
    ...(skip?.length && { skip }),
    ...(Number(form.authTimeout) !== 5 && { timeout_s: Number(form.authTimeout) }),
  };
}

function headers(set: string, remove: string): [unknown, boolean] {
  const pairs = lines(set).map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
  });
  const changes = {
    ...(pairs.length > 0 && { set: Object.fromEntries(pairs) }),
    ...(lines(remove).length > 0 && { remove: lines(remove) }),
  };
  return [changes, Object.keys(changes).length > 0];
}

/** The change from what was typed before; a domain keeps its app's options where nothing was typed. */
export function patchOf(before: RoutingForm, after: RoutingForm, ofDomain: boolean): RoutesPatch {
  const [was, is] = [optionsOf(before), optionsOf(after)];
  const set: Record<string, unknown> = {};
  const unset: string[] = [];
  for (const name of new Set([...Object.keys(was), ...Object.keys(is)])) {
    if (JSON.stringify(was[name]) === JSON.stringify(is[name])) continue;
    if (name in is) set[name] = is[name];
    else if (ofDomain) set[name] = null;
    else unset.push(name);
  }
  return { set, unset };
}

export type Problems = Partial<Record<keyof RoutingForm, string>>;

const numbers: [keyof RoutingForm, number, number, boolean][] = [
  ["requests", 1, 1_000_000, false],
  ["per", 1, 86_400, true],
  ["burst", 1, 1_000_000, false],
  ["timeout", 1, 3600, false],
  ["attempts", 1, 10, true],
  ["perTry", 1, 3600, false],
  ["failures", 1, 100, true],
  ["ejectFor", 1, 3600, true],
  ["authTimeout", 1, 60, true],
];

/** What is plainly wrong; the rest is the server's to say. */
export function problemsOf(form: RoutingForm): Problems {
  const problems: Problems = {};
  for (const [name, low, high, needed] of numbers) {
    const typed = String(form[name]).trim();
    if (typed === "" && !needed) continue;
    const value = Number(typed);
    if (!/^\d+$/.test(typed) || value < low || value > high)
      problems[name] = `A whole number from ${low} to ${high}${needed ? "." : ", or nothing."}`;
  }
  if (form.body.trim() !== "" && !(Number(form.body) > 0)) problems.body = "A number above 0, or nothing.";
  for (const name of ["requestSet", "responseSet"] as const) {
    const wrong = lines(form[name]).find((line) => line.indexOf(":") < 1);
    if (wrong) problems[name] = `“${wrong}” is not NAME: VALUE.`;
  }
  const redirect = lines(form.redirects).find((line) => !/^\S+\s+\S+(\s+\d{3})?$/.test(line));
  if (redirect) problems.redirects = `“${redirect}” is not FROM TO, or FROM TO STATUS.`;
  const address = form.authUrl.trim();
  if (address && !/^(https?:\/\/|app:)\S+$/.test(address))
    problems.authUrl = `“${address}” is neither an http(s) address nor app:SLUG/path.`;
  const path = lines(form.authSkip).find((line) => !line.startsWith("/"));
  if (path) problems.authSkip = `“${path}” does not begin with /.`;
  const names = form.users.map((user) => user.name.trim());
  if (form.users.some((user) => !user.name.trim() || (!user.known && !user.password)))
    problems.users = "Every user has a name and a password.";
  else if (new Set(names).size < names.length) problems.users = "Two users have the same name.";
  return problems;
}

const fields: Record<string, keyof RoutingForm> = {
  allow: "allow",
  "basic_auth.realm": "realm",
  basic_auth: "users",
  "forward_auth.response_headers": "authResponse",
  "forward_auth.request_headers": "authRequest",
  "forward_auth.skip": "authSkip",
  "forward_auth.timeout_s": "authTimeout",
  forward_auth: "authUrl",
  canonical_host: "canonicalHost",
  redirects: "redirects",
  "request_headers.set": "requestSet",
  "request_headers.remove": "requestRemove",
  "response_headers.set": "responseSet",
  "response_headers.remove": "responseRemove",
  "rate_limit.per_s": "per",
  "rate_limit.burst": "burst",
  rate_limit: "requests",
  max_body_bytes: "body",
  timeout_s: "timeout",
  "retry.per_try_timeout_s": "perTry",
  retry: "attempts",
  "eject.for_s": "ejectFor",
  eject: "failures",
};

/** Which field of the form the server means. */
export function serverProblem(field: string | null | undefined, message: string): Problems {
  const of = (name: string) => field === name || field?.startsWith(`${name}.`);
  const known = Object.keys(fields).find(of);
  const name = known && fields[known];
  return name ? { [name]: message } : {};
}
