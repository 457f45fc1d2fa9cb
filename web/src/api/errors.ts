import { sentence } from "@/lib/text";
import type { Problem } from "./types";

/** Codes for what happened on the way, beside those of the API. */
type WayCode = "aborted" | "unexpected" | "unreachable" | `http_${number}`;
export type ErrorCode = Problem["code"] | WayCode;

/** What is known of a failed request: an answer of the API, or what this side can say in its place. */
type Trouble = Omit<Problem, "code" | "request_id"> & { code: ErrorCode; request_id?: string };

/** An answer of the API that is not a success, or no answer at all (`status` 0, code `unreachable`). */
export class ApiError extends Error {
  readonly status: number;
  readonly code: ErrorCode;
  readonly field: string | undefined;
  readonly hint: string | undefined;
  readonly requestId: string | undefined;

  constructor(status: number, problem: Trouble) {
    super(sentence(problem.message));
    this.name = "ApiError";
    this.status = status;
    this.code = problem.code;
    this.field = problem.field ?? undefined;
    this.hint = problem.hint ? sentence(problem.hint) : undefined;
    this.requestId = problem.request_id;
  }
}

/** Makes an error of whatever body came with `status`: a proxy in between may answer with HTML. */
export function errorOf(status: number, body: unknown): ApiError {
  if (isProblem(body)) return new ApiError(status, body);
  return new ApiError(status, {
    code: `http_${status}`,
    message: `The control plane answered with status ${status}.`,
  });
}

export function unreachable(): ApiError {
  return new ApiError(0, {
    code: "unreachable",
    message: "The control plane does not answer.",
    hint: "Check your connection; running apps are not affected.",
  });
}

function isProblem(body: unknown): body is Problem {
  return (
    typeof body === "object" &&
    body !== null &&
    typeof (body as Problem).code === "string" &&
    typeof (body as Problem).message === "string"
  );
}

export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError(0, {
    code: "unexpected",
    message: error instanceof Error ? error.message : String(error),
  });
}
