import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Navigate, useNavigate, useSearchParams } from "react-router";
import { asApiError } from "@/api/errors";
import { useLogin } from "@/api/mutations";
import { setupQuery } from "@/api/queries";
import { Button } from "@/components/button";
import { TextField } from "@/components/field";
import { ErrorNotice, Notice, useTitle } from "@/components/page";
import { Entry } from "./entry";

export function Component() {
  useTitle("Sign in");
  const setup = useQuery(setupQuery);
  const [query] = useSearchParams();
  const navigate = useNavigate();
  const login = useLogin();
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");

  if (setup.data?.needed) return <Navigate to="/setup" replace />;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    login.mutate(
      { email, password },
      { onSuccess: () => navigate(ownPath(query.get("to")), { replace: true }) },
    );
  };
  return (
    <Entry title="Sign in" text="to your private cloud">
      <form className="stack" onSubmit={submit}>
        {query.has("to") && !login.isError && (
          <Notice tone="idle" title="Please sign in">
            You will get back to where you were.
          </Notice>
        )}
        <TextField
          label="E-mail"
          type="email"
          autoComplete="username"
          required
          autoFocus
          value={email}
          onChange={setEmail}
        />
        <TextField
          label="Password"
          type="password"
          autoComplete="current-password"
          required
          value={password}
          onChange={setPassword}
        />
        {login.isError && <LoginError error={login.error} />}
        <Button kind="primary" type="submit" busy={login.isPending}>
          Sign in
        </Button>
      </form>
    </Entry>
  );
}

function LoginError({ error }: { error: unknown }) {
  const { code, status } = asApiError(error);
  if (code === "credentials_wrong") {
    return (
      <Notice tone="bad" title="E-mail or password is wrong">
        An administrator can set a new password with{" "}
        <code>wisehosting-control-plane admin reset-password</code>.
      </Notice>
    );
  }
  if (status === 429)
    return (
      <Notice tone="warn" title="Too many attempts">
        Wait a minute, then try again.
      </Notice>
    );
  return <ErrorNotice error={error} />;
}

/** Only paths of this site: `//elsewhere` and whole addresses would lead away from it. */
export function ownPath(to: string | null): string {
  return to && /^\/(?![/\\])/.test(to) ? to : "/";
}
