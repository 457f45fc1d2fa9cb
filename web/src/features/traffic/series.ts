import type { StatusClass, TrafficSum } from "@/api/traffic";

/** In the order of the stack, errors at the bottom: there they have a common ground and can be compared. */
export const CLASSES: StatusClass[] = ["5xx", "4xx", "3xx", "2xx", "1xx"];

export function requestsOf({ requests }: Pick<TrafficSum, "requests">): number {
  return CLASSES.reduce((sum, name) => sum + requests[name], 0);
}
