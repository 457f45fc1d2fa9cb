import { useState } from "react";
import { asApiError } from "@/api/errors";
import { type Project, useCreateProject, useDeleteProject, useRenameProject } from "@/api/projects";
import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { CopyButton } from "@/components/copy";
import { Dialog } from "@/components/dialog";
import { TextField } from "@/components/field";
import { ErrorNotice } from "@/components/page";
import { useToast } from "@/components/toast";
import { cli } from "@/lib/cli";
import { slugProblem } from "@/lib/slug";

export function CreateDialog({ onClose }: { onClose: () => void }) {
  const [slug, setSlug] = useState("");
  const [name, setName] = useState("");
  const [tried, setTried] = useState(false);
  const create = useCreateProject();
  const toast = useToast();
  const error = create.error ? asApiError(create.error) : undefined;
  const slugError = error?.field === "slug" ? error.message : undefined;
  const submit = () => {
    setTried(true);
    if (slugProblem(slug) || create.isPending) return;
    create.mutate(
      { slug, ...(name.trim() && { name: name.trim() }) },
      {
        onSuccess: () => {
          toast.done(`The project ${slug} is made`);
          onClose();
        },
      },
    );
  };
  return (
    <Dialog
      title="New project"
      onClose={onClose}
      onSubmit={submit}
      footer={
        <>
          <CopyButton text={cli.createProject(slug, name.trim())}>Copy as CLI</CopyButton>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={create.isPending}>
            Create
          </Button>
        </>
      }
    >
      <TextField
        label="Slug"
        mono
        autoFocus
        autoComplete="off"
        autoCapitalize="none"
        spellCheck={false}
        maxLength={60}
        placeholder="shop"
        help={`Part of its apps' private names, app.${slug || "slug"}.internal. It stays.`}
        value={slug}
        onChange={(text) => {
          setSlug(text.toLowerCase().replace(/[\s_]+/g, "-"));
          create.reset();
        }}
        error={slugError ?? (slug !== "" || tried ? slugProblem(slug) : undefined)}
      />
      <NameField value={name} onChange={setName} optional error={error} />
      {error && error.field !== "slug" && error.field !== "name" && <ErrorNotice error={error} />}
    </Dialog>
  );
}

export function RenameDialog({ project, onClose }: { project: Project; onClose: () => void }) {
  const [name, setName] = useState(project.name);
  const rename = useRenameProject(project.slug);
  const toast = useToast();
  const error = rename.error ? asApiError(rename.error) : undefined;
  const wanted = name.trim();
  const submit = () => {
    if (wanted === "" || rename.isPending) return;
    rename.mutate(wanted, {
      onSuccess: () => {
        toast.done(`The project ${project.slug} is called ${wanted}`);
        onClose();
      },
    });
  };
  return (
    <Dialog
      title={`Rename ${project.slug}`}
      onClose={onClose}
      onSubmit={submit}
      footer={
        <>
          <CopyButton text={cli.renameProject(project.slug, wanted)}>Copy as CLI</CopyButton>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={rename.isPending} disabled={wanted === ""}>
            Rename
          </Button>
        </>
      }
    >
      <NameField value={name} onChange={setName} autoFocus error={error} />
      <p className="muted">
        Its slug stays <code>{project.slug}</code>.
      </p>
      {error && error.field !== "name" && <ErrorNotice error={error} />}
    </Dialog>
  );
}

interface NameProps {
  value: string;
  onChange: (name: string) => void;
  optional?: boolean;
  autoFocus?: boolean;
  error: { field?: string | undefined; message: string } | undefined;
}

function NameField({ error, ...field }: NameProps) {
  return (
    <TextField
      label="Name"
      maxLength={100}
      help="What people read."
      error={error?.field === "name" ? error.message : undefined}
      {...field}
    />
  );
}

export function RemoveDialog({ project, onClose }: { project: Project; onClose: () => void }) {
  const remove = useDeleteProject(project.slug);
  const toast = useToast();
  const confirm = () =>
    remove.mutate(undefined, {
      onSuccess: () => {
        toast.done(`The project ${project.slug} is removed`);
        onClose();
      },
    });
  return (
    <Confirm
      title={`Remove ${project.slug}?`}
      verb="Remove project"
      keep="Keep"
      danger
      command={cli.removeProject(project.slug)}
      change={remove}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p className="muted">It has no apps. Its grants go with it, in both directions.</p>
    </Confirm>
  );
}
