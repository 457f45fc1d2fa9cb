import { Choices, Field, TextField } from "@/components/field";
import { type Props, useFields } from "./form";

export function DeployFields(props: Props) {
  const { form, onChange, problems } = props;
  const field = useFields(props);
  return (
    <div className="stack">
      <Choices
        legend="Strategy"
        value={form.strategy}
        onChange={(strategy) => onChange({ ...form, strategy })}
        options={[
          {
            value: "blue-green",
            title: "Blue/green",
            text: "All new instances start beside the old ones, then all requests switch over at once.",
          },
          {
            value: "rolling",
            title: "Rolling",
            text: "One instance after the other takes requests. Both releases serve side by side for a while.",
          },
        ]}
      />
      <CommandField
        label="Pre-deploy command"
        help="Runs in a container of a new release before any instance starts. If it fails, so does the deployment."
        value={form.preCommand}
        error={problems.preCommand}
        onChange={(preCommand) => onChange({ ...form, preCommand })}
      />
      <CommandField
        label="Post-deploy command"
        help="Runs once a new release is live. A failure is shown and undoes nothing."
        value={form.postCommand}
        error={problems.postCommand}
        onChange={(postCommand) => onChange({ ...form, postCommand })}
      />
      <div className="fields">
        <TextField
          label="Requests may end within"
          suffix="s"
          inputMode="numeric"
          help="Once no proxy leads new ones to an old instance."
          {...field("drain")}
        />
        <TextField
          label="Then stop within"
          suffix="s"
          inputMode="numeric"
          help="From SIGTERM to SIGKILL."
          {...field("stopGrace")}
        />
      </div>
    </div>
  );
}

interface CommandProps {
  label: string;
  help: string;
  value: string;
  error: string | undefined;
  onChange: (value: string) => void;
}

function CommandField({ label, help, value, error, onChange }: CommandProps) {
  return (
    <Field label={label} optional help={`${help} One argument per line; no shell reads them.`} error={error}>
      {(control) => (
        <textarea
          className="textarea mono"
          value={value}
          onChange={(event) => onChange(event.target.value)}
          {...control}
        />
      )}
    </Field>
  );
}
