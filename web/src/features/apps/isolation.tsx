import { AreaField, Choices, TextField } from "@/components/field";
import { type Props, useFields } from "./form";

/** What keeps an instance apart from its host and its neighbours. */
export function IsolationFields(props: Props) {
  const { form, onChange } = props;
  const field = useFields(props);
  return (
    <div className="stack">
      <Choices
        legend="Its files"
        value={form.root}
        onChange={(root) => onChange({ ...form, root })}
        options={[
          { value: "writable", title: "Writable", text: "Gone with the instance, like everything in it." },
          {
            value: "read-only",
            title: "Read-only",
            text: "Whoever breaks in changes nothing. /tmp, /var/tmp and /run stay writable, in memory.",
          },
        ]}
      />
      <AreaField
        label="Folders in memory"
        optional
        help="Path and MiB, one per line: /var/cache=64. They count as memory of the instance."
        {...field("tmpfs")}
      />
      <div className="fields">
        <TextField
          label="Disk"
          optional
          suffix="MiB"
          inputMode="numeric"
          help="Of what it writes to its own files. Not every node can refuse more."
          {...field("disk")}
        />
        <TextField
          label="Sends"
          optional
          suffix="Mbit/s"
          inputMode="numeric"
          help="At most; answers to visitors too."
          {...field("egress")}
        />
        <TextField
          label="Receives"
          optional
          suffix="Mbit/s"
          inputMode="numeric"
          help="At most."
          {...field("ingress")}
        />
      </div>
    </div>
  );
}
