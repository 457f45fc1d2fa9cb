import { useRouteError } from "react-router";
import { asApiError } from "@/api/errors";
import { Button, ButtonLink } from "@/components/button";
import { useTitle } from "@/components/page";

export function NotFoundPage() {
  useTitle("Not found");
  return (
    <div className="lost">
      <span className="code-figure">404</span>
      <h1>There is nothing at this address</h1>
      <p>It may have been removed, or you may not be allowed to see it.</p>
      <ButtonLink kind="primary" to="/">
        Back to the overview
      </ButtonLink>
    </div>
  );
}

/** What a page shows when it broke, or when its code could not be loaded after an update. */
export function CrashPage() {
  useTitle("Something broke");
  const error = asApiError(useRouteError());
  return (
    <div className="lost" role="alert">
      <span className="code-figure">500</span>
      <h1>This page broke</h1>
      <p>
        Your apps are not affected. Loading the page again usually helps; after an update it gets the new
        version.
      </p>
      <p>
        <code>{error.message}</code>
      </p>
      <Button kind="primary" onClick={() => location.reload()}>
        Load again
      </Button>
    </div>
  );
}
