import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { asApiError } from "@/api/errors";
import {
  type EgressRule,
  type NetworkGrant,
  useGrant,
  useRevokeGrant,
  useSetEgress,
} from "@/api/private-network";
import { appsQuery, projectsQuery } from "@/api/queries";
import { cli } from "@/lib/cli";
import { egressLines, egressWords, readEgress } from "@/lib/egress";
import { Button } from "./button";
import { Confirm } from "./confirm";
import { CopyButton } from "./copy";
import { Dialog } from "./dialog";
import { AreaField, Choices, Field } from "./field";
import { ErrorNotice } from "./page";
import { useToast } from "./toast";

type Direction = "in" | "out";

interface GrantProps {
  project: string;
  onClose: () => void;
}

/** Lets another project reach this one, or this one another. */
export function GrantDialog({ project, onClose }: GrantProps) {
  const [direction, setDirection] = useState<Direction>("in");
  const [other, setOther] = useState("");
  const [app, setApp] = useState("");
  const [missing, setMissing] = useState(false);
  const projects = useQuery(projectsQuery);
  const apps = useQuery(appsQuery);
  const grant = useGrant();
  const toast = useToast();
  const error = grant.error ? asApiError(grant.error) : undefined;
  const others = (projects.data ?? []).filter(({ slug }) => slug !== project);
  const [from, target] = direction === "in" ? [other, project] : [project, other];
  const reachable = (apps.data ?? []).filter((one) => one.project.slug === target);
  const submit = () => {
    if (grant.isPending) return;
    setMissing(!other);
    if (!other) return;
    grant.mutate(
      { from, project: target, ...(app && { app }) },
      {
        onSuccess: () => {
          toast.done(`Apps of ${from} may reach ${app ? `${target}/${app}` : target}`);
          onClose();
        },
      },
    );
  };
  const atOther = missing ? "Choose the other project." : error?.field === "project" && error.message;
  return (
    <Dialog
      title="Grant access"
      onClose={onClose}
      onSubmit={submit}
      footer={
        <>
          {other && <CopyButton text={cli.grant(from, target, app)}>Copy as CLI</CopyButton>}
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={grant.isPending}>
            Grant
          </Button>
        </>
      }
    >
      <Choices<Direction>
        legend="Direction"
        value={direction}
        onChange={(direction) => {
          setDirection(direction);
          setApp("");
        }}
        options={[
          {
            value: "in",
            title: `Others reach ${project}`,
            text: "Apps of another project may connect to this one",
          },
          {
            value: "out",
            title: `${project} reaches others`,
            text: "Apps of this project may connect to another one",
          },
        ]}
      />
      <Field label="The other project" error={atOther || undefined}>
        {(control) => (
          <select
            className="select"
            value={other}
            onChange={(event) => {
              setOther(event.target.value);
              setMissing(false);
              if (direction === "out") setApp("");
            }}
            {...control}
          >
            <option value="">Choose a project</option>
            {others.map(({ slug }) => (
              <option key={slug}>{slug}</option>
            ))}
          </select>
        )}
      </Field>
      <Field
        label="What may be reached"
        error={error?.field === "app" ? error.message : undefined}
        help="It holds within a second on all nodes, in this direction alone."
      >
        {(control) => (
          <select
            className="select"
            value={app}
            onChange={(event) => setApp(event.target.value)}
            {...control}
          >
            <option value="">{target ? `All apps of ${target}` : "All its apps"}</option>
            {reachable.map(({ slug }) => (
              <option key={slug} value={slug}>
                {slug} alone
              </option>
            ))}
          </select>
        )}
      </Field>
      {error && error.field !== "app" && error.field !== "project" && <ErrorNotice error={error} />}
      {projects.isError && <ErrorNotice error={projects.error} />}
    </Dialog>
  );
}

interface RevokeProps {
  grant: NetworkGrant;
  onClose: () => void;
}

export function RevokeDialog({ grant, onClose }: RevokeProps) {
  const revoke = useRevokeGrant();
  const toast = useToast();
  const { from, to_project, to_app } = grant;
  const target = to_app ? `${to_project}/${to_app}` : to_project;
  return (
    <Confirm
      title={`Revoke the grant from ${from} to ${target}?`}
      verb="Revoke"
      keep="Keep"
      danger
      command={cli.revoke(from, to_project, to_app ?? undefined)}
      change={revoke}
      onConfirm={() =>
        revoke.mutate(grant, {
          onSuccess: () => {
            toast.done(`Apps of ${from} may not reach ${target} any more`);
            onClose();
          },
        })
      }
      onClose={onClose}
    >
      <p className="muted">
        For apps of {from} the names do not exist any more, and new connections are refused at once. Open
        connections stay until they end.
      </p>
    </Confirm>
  );
}

type Mode = "open" | "some" | "none";

const modeOf = (rules: EgressRule[] | null): Mode => {
  if (!rules) return "open";
  return rules.length > 0 ? "some" : "none";
};

interface EgressProps {
  project: string;
  rules: EgressRule[] | null;
  onClose: () => void;
}

/** Where the project's containers may open connections outside of the private network. */
export function EgressDialog({ project, rules, onClose }: EgressProps) {
  const [mode, setMode] = useState<Mode>(modeOf(rules));
  const [text, setText] = useState(egressLines(rules ?? []));
  const [wrong, setWrong] = useState<string>();
  const set = useSetEgress(project);
  const toast = useToast();
  const error = set.error ? asApiError(set.error) : undefined;
  const ofRules = mode === "some" && error?.field?.startsWith("egress") ? error : undefined;
  const submit = () => {
    if (set.isPending) return;
    const read = mode === "some" ? readEgress(text) : mode === "none" ? [] : null;
    if (read && "error" in read) return setWrong(read.error);
    if (mode === "some" && read?.length === 0) {
      return setWrong("Name a network, or choose that nowhere is reached.");
    }
    setWrong(undefined);
    set.mutate(read, {
      onSuccess: ({ egress }) => {
        toast.done(`${project} reaches outside: ${egressWords(egress)}`);
        onClose();
      },
    });
  };
  return (
    <Dialog
      title={`Outside of the private network of ${project}`}
      onClose={onClose}
      onSubmit={submit}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind={mode === "open" ? "primary" : "danger"} type="submit" busy={set.isPending}>
            {mode === "open" ? "Open" : "Restrict"}
          </Button>
        </>
      }
    >
      <Choices<Mode>
        legend="Connections to the outside"
        value={mode}
        onChange={(mode) => {
          setMode(mode);
          setWrong(undefined);
        }}
        options={[
          { value: "open", title: "Anywhere public", text: "As it is at first" },
          { value: "some", title: "Only there", text: "Networks and ports that are named" },
          { value: "none", title: "Nowhere", text: "The private network and grants alone" },
        ]}
      />
      {mode === "some" && (
        <AreaField
          label="Networks"
          rows={5}
          spellCheck={false}
          placeholder={"203.0.113.0/24 443, 5432\n198.51.100.7"}
          help={ofRules?.hint ?? "One in a line; with ports after it, those of TCP and UDP alone."}
          value={text}
          onChange={(text) => {
            setText(text);
            setWrong(undefined);
          }}
          error={wrong ?? ofRules?.message}
        />
      )}
      {mode !== "open" && (
        <p className="muted">
          It holds for all apps of {project}: new connections to other places are refused at once, those that
          are open stay.
        </p>
      )}
      {error && !ofRules && <ErrorNotice error={error} />}
    </Dialog>
  );
}
