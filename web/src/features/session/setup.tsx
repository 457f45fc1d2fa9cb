import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useLocation, useNavigate } from "react-router";
import { asApiError } from "@/api/errors";
import { useSetup } from "@/api/mutations";
import { setupQuery } from "@/api/queries";
import { Button, ButtonLink } from "@/components/button";
import { Code } from "@/components/copy";
import { TextField } from "@/components/field";
import { ErrorNotice, Notice, useTitle } from "@/components/page";
import { Entry } from "./entry";

const SHORTEST_PASSWORD = 12;
const FIELDS = ["code", "email", "name", "password", "organization"] as const;
type Form = Record<(typeof FIELDS)[number], string>;

export function Component() {
  useTitle("First run");
  const state = useQuery(setupQuery);
  const { hash } = useLocation();
  const given = new URLSearchParams(hash.slice(1)).get("code") ?? "";
  const [form, setForm] = useState<Form>({
    code: given,
    email: "",
    name: "",
    password: "",
    organization: "",
  });
  const setup = useSetup();
  const navigate = useNavigate();

  if (state.data && !state.data.needed) return <Closed />;
  const error = setup.error ? asApiError(setup.error) : undefined;
  const field = (name: keyof Form) => ({
    value: form[name],
    onChange: (value: string) => setForm({ ...form, [name]: value }),
    error: error?.field === name ? error.message : undefined,
    required: true,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setup.mutate(form, { onSuccess: () => navigate("/", { replace: true }) });
  };
  const named = FIELDS.some((name) => name === error?.field);
  return (
    <Entry title="Welcome to WiseHosting" text="Make the first account. It administers everything.">
      <form className="stack" onSubmit={submit}>
        {given === "" && <CodeField {...field("code")} />}
        <TextField label="Your name" autoComplete="name" autoFocus={given !== ""} {...field("name")} />
        <TextField label="E-mail" type="email" autoComplete="username" {...field("email")} />
        <TextField
          label="Password"
          type="password"
          autoComplete="new-password"
          minLength={SHORTEST_PASSWORD}
          help={passwordHelp(form.password)}
          {...field("password")}
        />
        <TextField
          label="Organization"
          placeholder="Example Inc."
          autoComplete="organization"
          help="What you call the group of people who share these servers."
          {...field("organization")}
        />
        {error?.code === "setup_code_wrong" && <WrongCode />}
        {error && !named && error.code !== "setup_code_wrong" && <ErrorNotice error={error} />}
        <Button kind="primary" type="submit" busy={setup.isPending}>
          Create account
        </Button>
      </form>
    </Entry>
  );
}

function passwordHelp(password: string) {
  const missing = SHORTEST_PASSWORD - password.length;
  if (missing <= 0) return "Long enough.";
  return password === ""
    ? `At least ${SHORTEST_PASSWORD} characters; a few words are easy to keep in mind.`
    : `${missing} more.`;
}

function CodeField(props: {
  value: string;
  onChange: (value: string) => void;
  error?: string | undefined;
  required: boolean;
}) {
  return (
    <div className="stack">
      <TextField
        label="Setup code"
        mono
        autoFocus
        autoComplete="off"
        help="It proves that you administer the server. On the control plane's host, run:"
        {...props}
      />
      <Code prompt wrap text="wisehosting-control-plane admin setup-code" />
    </div>
  );
}

function WrongCode() {
  return (
    <Notice tone="bad" title="This setup code is not valid">
      Codes end with a restart of the control plane. Get a new one with{" "}
      <code>wisehosting-control-plane admin setup-code</code>.
    </Notice>
  );
}

function Closed() {
  return (
    <Entry title="Setup is finished" text="This installation already has an administrator.">
      <div className="stack">
        <p className="muted">The setup page works once. Sign in, or ask an administrator for an account.</p>
        <ButtonLink kind="primary" to="/login">
          Go to sign in
        </ButtonLink>
      </div>
    </Entry>
  );
}
