import { AreaField, Choices, TextField } from "@/components/field";
import { type Props, useFields } from "./form";

/** On which nodes instances may be. */
export function PlacementFields(props: Props) {
  const { form, onChange } = props;
  const field = useFields(props);
  return (
    <div className="stack">
      <Choices
        legend="Of the nodes that fit"
        value={form.placement}
        onChange={(placement) => onChange({ ...form, placement })}
        options={[
          { value: "", title: "Default", text: "What the control plane's configuration says." },
          {
            value: "least-utilised",
            title: "Least utilised",
            text: "The node with the smallest share of its processors and memory reserved.",
          },
          {
            value: "round-robin",
            title: "Round robin",
            text: "The node that was given an instance the longest time ago.",
          },
          {
            value: "resource",
            title: "Best fit",
            text: "The fullest node that it fits on, so that others stay free for large apps.",
          },
          {
            value: "spread",
            title: "Spread",
            text: "The region with the fewest replicas, and in it the node with the fewest instances.",
          },
        ]}
      />
      <Choices
        legend="Replicas on one node"
        value={form.antiAffinity}
        onChange={(antiAffinity) => onChange({ ...form, antiAffinity })}
        options={[
          { value: "soft", title: "If need be", text: "They share a node only when no other fits." },
          { value: "hard", title: "Never", text: "A replica without a node of its own does not start." },
        ]}
      />
      <AreaField
        label="Required of a node"
        optional
        help="Labels, one condition per line: disk=nvme, region!=us, gpu, !spot."
        {...field("required")}
      />
      <AreaField
        label="Preferred"
        optional
        help="The more of these a node fulfils, the sooner it is chosen."
        {...field("preferred")}
      />
      <div className="fields">
        <TextField label="Only on the node" optional mono help="Its name." {...field("pin")} />
        <TextField
          label="Most per node"
          optional
          inputMode="numeric"
          help="Of a release."
          {...field("maxPerNode")}
        />
        <TextField
          label="Elsewhere after"
          optional
          inputMode="numeric"
          help="Seconds for which its node may be gone."
          {...field("grace")}
        />
      </div>
    </div>
  );
}
