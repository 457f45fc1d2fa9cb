import { Button } from "@/components/button";
import { AreaField, Choices, Field, TextField } from "@/components/field";
import type { Problems, RoutingForm } from "./form";

interface Props {
  form: RoutingForm;
  onChange: (form: RoutingForm) => void;
  problems: Problems;
}

type TextName = { [K in keyof RoutingForm]: RoutingForm[K] extends string ? K : never }[keyof RoutingForm];
type FlagName = { [K in keyof RoutingForm]: RoutingForm[K] extends boolean ? K : never }[keyof RoutingForm];

function typed({ form, onChange, problems }: Props) {
  return (name: Exclude<TextName, "balance" | "protocol">) => ({
    value: form[name],
    onChange: (value: string) => onChange({ ...form, [name]: value }),
    error: problems[name],
  });
}

function Flag({
  form,
  onChange,
  name,
  label,
  help,
}: Props & { name: FlagName; label: string; help: string }) {
  return (
    <div className="field">
      <label className="checkbox">
        <input
          type="checkbox"
          checked={form[name]}
          onChange={(event) => onChange({ ...form, [name]: event.target.checked })}
        />
        {label}
      </label>
      <p className="field-help">{help}</p>
    </div>
  );
}

export function AccessFields(props: Props) {
  const field = typed(props);
  return (
    <div className="stack">
      <AreaField
        label="Networks that are let in"
        optional
        rows={3}
        placeholder={"203.0.113.7\n2001:db8::/32"}
        help="Addresses or networks, one per line. Everybody is let in while there is none; everybody else gets 403."
        {...field("allow")}
      />
      <Users {...props} />
      {props.form.users.length > 0 && (
        <TextField
          label="Realm"
          optional
          placeholder="Restricted"
          help="What browsers show beside the question."
          {...field("realm")}
        />
      )}
    </div>
  );
}

function Users({ form, onChange, problems }: Props) {
  const set = (users: RoutingForm["users"]) => onChange({ ...form, users });
  const change = (index: number, part: Partial<RoutingForm["users"][number]>) =>
    set(form.users.map((user, at) => (at === index ? { ...user, ...part } : user)));
  return (
    <fieldset className="stack tight" style={{ border: 0 }}>
      <legend className="small muted">
        Names and passwords that visitors are asked for. Passwords are kept as hashes and never shown again.
      </legend>
      {form.users.map((user, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a row is its place while it is typed
        <div className="fields" key={index}>
          <TextField
            label="User"
            autoComplete="off"
            value={user.name}
            disabled={user.known}
            onChange={(name) => change(index, { name })}
          />
          <TextField
            label="Password"
            type="password"
            autoComplete="new-password"
            placeholder={user.known ? "unchanged" : "at least 8 characters"}
            value={user.password}
            onChange={(password) => change(index, { password })}
          />
          <Button
            small
            kind="danger-quiet"
            onClick={() => set(form.users.filter((_, at) => at !== index))}
            aria-label={`Remove ${user.name || "user"}`}
          >
            Remove
          </Button>
        </div>
      ))}
      {problems.users && (
        <p className="field-error" role="alert">
          {problems.users}
        </p>
      )}
      <div>
        <Button
          small
          icon="plus"
          onClick={() => set([...form.users, { name: "", password: "", known: false }])}
        >
          Add user
        </Button>
      </div>
    </fieldset>
  );
}

export function RedirectFields({ hosts, ...props }: Props & { hosts: string[] }) {
  const { form, onChange, problems } = props;
  const known = !form.canonicalHost || hosts.includes(form.canonicalHost);
  return (
    <div className="stack">
      <Field
        label="Canonical host"
        help="Requests for the other names are redirected to this one (308), with their path."
        error={problems.canonicalHost}
      >
        {(control) => (
          <select
            className="select"
            value={form.canonicalHost}
            onChange={(event) => onChange({ ...form, canonicalHost: event.target.value })}
            {...control}
          >
            <option value="">None: every name answers</option>
            {!known && <option value={form.canonicalHost}>{form.canonicalHost} (not served)</option>}
            {hosts.map((host) => (
              <option key={host}>{host}</option>
            ))}
          </select>
        )}
      </Field>
      <AreaField
        label="Redirects"
        optional
        rows={4}
        placeholder={"/old /new\n/blog/* https://blog.example.com/*\n/today /news 302"}
        help="FROM TO, one per line; 308 unless a status follows. /* covers everything below a path, * at the end of the target stands for what it covered. The first that fits answers."
        {...typed(props)("redirects")}
      />
      <Flag
        {...props}
        name="plainHttp"
        label="Serve plain HTTP as well"
        help="Off, HTTP is redirected to HTTPS wherever certificates can be had. Leave it off unless old devices need it."
      />
    </div>
  );
}

export function HeaderFields(props: Props) {
  const field = typed(props);
  const set = "NAME: VALUE, one per line. What the header was before is replaced.";
  const remove = "Names, one per line.";
  return (
    <div className="stack">
      <AreaField label="Set on requests to the app" optional rows={2} help={set} {...field("requestSet")} />
      <AreaField label="Remove from requests" optional rows={2} help={remove} {...field("requestRemove")} />
      <AreaField
        label="Set on answers"
        optional
        rows={3}
        placeholder="X-Frame-Options: DENY"
        help={set}
        {...field("responseSet")}
      />
      <AreaField
        label="Remove from answers"
        optional
        rows={2}
        placeholder="Server"
        help={remove}
        {...field("responseRemove")}
      />
    </div>
  );
}

export function LimitFields(props: Props) {
  const field = typed(props);
  const digits = { inputMode: "numeric" } as const;
  return (
    <div className="stack">
      <div className="fields">
        <TextField
          label="Requests per client"
          optional
          {...digits}
          help="On average; more get 429. No limit when empty."
          {...field("requests")}
        />
        <TextField label="Within" suffix="s" {...digits} {...field("per")} />
        <TextField
          label="At once"
          optional
          {...digits}
          placeholder={props.form.requests}
          help="As many as above when empty."
          {...field("burst")}
        />
      </div>
      <div className="fields">
        <TextField
          label="Largest body"
          suffix="MiB"
          optional
          inputMode="decimal"
          help="A longer one gets 413. No limit when empty."
          {...field("body")}
        />
        <TextField
          label="Answer begins within"
          suffix="s"
          optional
          {...digits}
          placeholder="60"
          {...field("timeout")}
        />
      </div>
      <Flag
        {...props}
        name="compress"
        label="Compress text"
        help="For clients that accept it, where the app did not. Saves bandwidth, costs a little of the proxy's processor."
      />
    </div>
  );
}

export function BalanceFields(props: Props) {
  const { form, onChange } = props;
  const field = typed(props);
  const digits = { inputMode: "numeric" } as const;
  return (
    <div className="stack">
      <Choices
        legend="Which instance gets a request"
        value={form.balance}
        onChange={(balance) => onChange({ ...form, balance })}
        options={[
          {
            value: "least-requests",
            title: "Least requests",
            text: "The one with fewer under way. Right for nearly all.",
          },
          { value: "round-robin", title: "In turn", text: "Each gets as many, however long they take." },
        ]}
      />
      <Flag
        {...props}
        name="sticky"
        label="Keep a client with its instance"
        help="By a cookie, while the instance serves. For apps that keep sessions in memory."
      />
      <Choices
        legend="What instances speak"
        value={form.protocol}
        onChange={(protocol) => onChange({ ...form, protocol })}
        options={[
          { value: "http1", title: "HTTP/1.1", text: "What nearly every app speaks; WebSocket too." },
          { value: "h2c", title: "HTTP/2 without TLS", text: "For gRPC servers." },
        ]}
      />
      <div className="fields">
        <TextField
          label="Instances tried"
          {...digits}
          help="For one request, when one does not answer."
          {...field("attempts")}
        />
        <TextField
          label="Each within"
          suffix="s"
          optional
          {...digits}
          help="Only requests that may be repeated."
          {...field("perTry")}
        />
      </div>
      <Flag
        {...props}
        name="onGatewayError"
        label="Try again after 502, 503 and 504"
        help="Requests that may be carried out twice, such as GET."
      />
      <Flag
        {...props}
        name="eject"
        label="Leave failing instances out for a while"
        help="After failures in a row. At most half of the instances at a time."
      />
      {form.eject && (
        <div className="fields">
          <TextField label="After failures" {...digits} {...field("failures")} />
          <TextField label="For" suffix="s" {...digits} {...field("ejectFor")} />
        </div>
      )}
    </div>
  );
}
