import createClient from "openapi-fetch";
import { ApiError, errorOf, unreachable } from "./errors";
import type { paths } from "./schema.gen";

const TIMEOUT_MS = 30_000;

/** Requests leave through `globalThis.fetch` at call time, so that tests may replace it. */
export const api = createClient<paths>({
  baseUrl: globalThis.location?.origin ?? "",
  credentials: "same-origin",
  fetch: (request) => globalThis.fetch(request, { signal: withTimeout(request.signal) }),
});

function withTimeout(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
}

let signedOut: () => void = () => {};

/** Called when the session has ended while the dashboard was in use. */
export function onSignedOut(listener: () => void) {
  signedOut = listener;
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The data of a successful answer; everything else is thrown as an `ApiError`. */
export async function unwrap<T>(call: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>;
  try {
    answer = await call;
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    throw unreachable();
  }
  if (!answer.response.ok) {
    const error = errorOf(answer.response.status, answer.error);
    if (error.status === 401 && error.code !== "credentials_wrong") signedOut();
    throw error;
  }
  return answer.data as T;
}

/** All items of a list that comes in pages. */
export async function everyPage<T>(
  page: (cursor: string | undefined) => Promise<{ items: T[]; next?: string | null }>,
): Promise<T[]> {
  const all: T[] = [];
  let cursor: string | undefined;
  do {
    const { items, next } = await page(cursor);
    all.push(...items);
    cursor = next ?? undefined;
  } while (cursor);
  return all;
}

/** Uploads with progress, which `fetch` cannot report. */
export function upload(path: string, file: Blob, onProgress: (share: number) => void): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.responseType = "json";
    request.setRequestHeader("Content-Type", "application/gzip");
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onerror = () => reject(unreachable());
    request.onabort = () => reject(new ApiError(0, { code: "aborted", message: "The upload was stopped." }));
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) return resolve(request.response);
      const error = errorOf(request.status, request.response);
      if (error.status === 401) signedOut();
      reject(error);
    };
    request.send(file);
  });
}
