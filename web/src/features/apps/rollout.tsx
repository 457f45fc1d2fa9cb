import { AreaField, Choices, TextField } from "@/components/field";
import { type Props, useFields } from "./form";

export function DeployFields(props: Props) {
  const { form, onChange } = props;
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
      <AreaField
        label="Pre-deploy command"
        optional
        help="Runs in a container of a new release before any instance starts. If it fails, so does the deployment. One argument per line; no shell reads them."
        {...field("preCommand")}
      />
      <AreaField
        label="Post-deploy command"
        optional
        help="Runs once a new release is live. A failure is shown and undoes nothing. One argument per line; no shell reads them."
        {...field("postCommand")}
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
