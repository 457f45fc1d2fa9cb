import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { RouterProvider } from "react-router";
import { onSignedOut } from "@/api/client";
import { ApiError } from "@/api/errors";
import { keys } from "@/api/keys";
import { router } from "./router";
import "@/styles/index.css";

/** What the client did wrong stays wrong; what the network did may pass. */
function mayPass(error: unknown) {
  return !(error instanceof ApiError) || error.status === 0 || error.status >= 500;
}

const client = new QueryClient({
  defaultOptions: { queries: { staleTime: 2_000, retry: (count, error) => count < 2 && mayPass(error) } },
});

onSignedOut(() => {
  // Before there is a session the guard decides where to go.
  if (!client.getQueryData(keys.session)) return;
  const { pathname, search, hash } = router.state.location;
  if (pathname === "/login" || pathname === "/setup") return;
  client.removeQueries({ queryKey: keys.session });
  void router.navigate(`/login?to=${encodeURIComponent(pathname + search + hash)}`, { replace: true });
});

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no element with id root");
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  </StrictMode>,
);
