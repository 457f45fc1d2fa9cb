import { useQuery } from "@tanstack/react-query";
import { Navigate, Outlet, useLocation } from "react-router";
import { asApiError } from "@/api/errors";
import { sessionQuery, setupQuery } from "@/api/queries";
import { ErrorNotice } from "@/components/page";

/** Pages below it have a session. Without one the way leads to the login, or to the first run when nobody is there yet. */
export function SessionGuard() {
  const session = useQuery(sessionQuery);
  const signedOut = session.isError && asApiError(session.error).status === 401;
  const setup = useQuery({ ...setupQuery, enabled: signedOut });
  const { pathname, search, hash } = useLocation();

  if (session.data) return <Outlet />;
  if (signedOut && !setup.isPending) {
    if (setup.data?.needed) return <Navigate to="/setup" replace />;
    const to = pathname === "/" ? "" : `?to=${encodeURIComponent(pathname + search + hash)}`;
    return <Navigate to={`/login${to}`} replace />;
  }
  if (session.isError && !signedOut) {
    return (
      <div className="entry">
        <div className="entry-box">
          <ErrorNotice error={session.error} retry={() => session.refetch()} />
        </div>
      </div>
    );
  }
  return null;
}
