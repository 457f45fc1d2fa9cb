import { useQuery } from "@tanstack/react-query";
import { useId, useState } from "react";
import { Link, useSearchParams } from "react-router";
import type { Project } from "@/api/projects";
import { isAdmin, projectsQuery, sessionQuery } from "@/api/queries";
import { Button } from "@/components/button";
import { Card, Empty, PageHead, useTitle } from "@/components/page";
import { Rows } from "@/components/rows";
import { cli } from "@/lib/cli";
import { CreateDialog, RemoveDialog, RenameDialog } from "./dialogs";
import { NetworkCard } from "./network-card";

type Open = "new" | { rename: Project } | { remove: Project };

export function Component() {
  useTitle("Projects");
  const { data: session } = useQuery(sessionQuery);
  const projects = useQuery(projectsQuery);
  const [open, setOpen] = useState<Open>();
  const [search] = useSearchParams();
  const mayChange = isAdmin(session);
  const close = () => setOpen(undefined);
  const shown = projects.data?.find(({ slug }) => slug === search.get("network"));
  const add = mayChange && (
    <Button kind="primary" icon="plus" onClick={() => setOpen("new")}>
      New project
    </Button>
  );
  return (
    <div className="page">
      <PageHead
        title="Projects"
        text="What belongs together: the apps of a project reach each other by name."
        actions={add}
      />
      <Card flush>
        <Rows
          query={projects}
          rows={projects.data}
          skeleton={[160, 120, 60, 200]}
          empty={
            <Empty
              icon="projects"
              title="No projects yet"
              text="Every app belongs to a project."
              action={add || undefined}
              command={cli.createProject("", "")}
            />
          }
        >
          {(projects) => <ProjectTable projects={projects} onOpen={mayChange ? setOpen : undefined} />}
        </Rows>
      </Card>
      {shown && <NetworkCard key={shown.slug} project={shown} mayChange={mayChange} />}
      {open === "new" && <CreateDialog onClose={close} />}
      {typeof open === "object" && "rename" in open && <RenameDialog project={open.rename} onClose={close} />}
      {typeof open === "object" && "remove" in open && <RemoveDialog project={open.remove} onClose={close} />}
    </div>
  );
}

interface TableProps {
  projects: Project[];
  onOpen: ((open: Open) => void) | undefined;
}

function ProjectTable({ projects, onOpen }: TableProps) {
  return (
    <div className="table-wrap">
      <table className="table">
        <thead>
          <tr>
            <th>Name</th>
            <th>Slug</th>
            <th>Apps</th>
            <th className="end">
              <span className="visually-hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {projects.map((project) => (
            <tr key={project.id}>
              <td>{project.name}</td>
              <td>
                <code>{project.slug}</code>
              </td>
              <td>
                <Apps project={project} />
              </td>
              <td className="end">
                <div className="row wrap" style={{ justifyContent: "flex-end" }}>
                  <Link
                    className="button secondary small"
                    to={`?network=${project.slug}`}
                    aria-label={`Private network of ${project.slug}`}
                  >
                    Network
                  </Link>
                  {onOpen && <Changes project={project} isOnly={projects.length === 1} onOpen={onOpen} />}
                </div>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Apps({ project: { slug, apps, deleted_apps } }: { project: Project }) {
  return (
    <>
      {apps === 0 ? (
        <span className="faint">none</span>
      ) : (
        <Link to={`/apps?project=${slug}`} aria-label={`${counted(apps, "app")} of ${slug}`}>
          {apps}
        </Link>
      )}
      {deleted_apps > 0 && <span className="sub">and {deleted_apps} deleted</span>}
    </>
  );
}

interface ChangesProps {
  project: Project;
  isOnly: boolean;
  onOpen: (open: Open) => void;
}

function Changes({ project, isOnly, onOpen }: ChangesProps) {
  const why = useId();
  const reason = keptBecause(project, isOnly);
  return (
    <>
      <Button small onClick={() => onOpen({ rename: project })} aria-label={`Rename ${project.slug}`}>
        Rename
      </Button>
      <Button
        small
        kind="danger-quiet"
        disabled={reason !== undefined}
        title={reason}
        aria-describedby={reason && why}
        onClick={() => onOpen({ remove: project })}
        aria-label={`Remove ${project.slug}`}
      >
        Remove
      </Button>
      {reason && (
        <span id={why} className="visually-hidden">
          {reason}
        </span>
      )}
    </>
  );
}

/** Why a project cannot be removed, or nothing. The control plane has the last word. */
function keptBecause({ apps, deleted_apps }: Project, isOnly: boolean): string | undefined {
  if (isOnly) return "It is the only project: make another one first.";
  if (apps > 0) return `It has ${counted(apps, "app")}: delete them first.`;
  if (deleted_apps > 0)
    return `It has ${counted(deleted_apps, "deleted app")}, gone for good 7 days after the deletion.`;
  return undefined;
}

const counted = (count: number, noun: string) => (count === 1 ? `1 ${noun}` : `${count} ${noun}s`);
