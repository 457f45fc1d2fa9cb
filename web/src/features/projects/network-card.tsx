import { useQuery } from "@tanstack/react-query";
import { privateNetworkQuery } from "@/api/private-network";
import type { Project } from "@/api/projects";
import { ButtonLink } from "@/components/button";
import { Card, ErrorNotice, Skeleton } from "@/components/page";
import { NetworkRights, PrivateName } from "@/components/private-network";
import { cli } from "@/lib/cli";

interface Props {
  project: Project;
  mayChange: boolean;
}

/** What the project's apps reach by name, and what is granted to it and of it. */
export function NetworkCard({ project, mayChange }: Props) {
  const { data: network, error } = useQuery(privateNetworkQuery(project.slug));
  return (
    <Card
      title={`Private network of ${project.slug}`}
      text="Names that its apps reach, on whichever node they run."
      actions={
        <ButtonLink small to="/projects">
          Close
        </ButtonLink>
      }
      footer={<code>{cli.privateNetwork(project.slug)}</code>}
    >
      {error && <ErrorNotice error={error} />}
      {!network && !error && <Skeleton width="60%" />}
      {network && (
        <div className="stack">
          {network.apps.length === 0 && <p className="small faint">No names yet: it has no apps.</p>}
          {network.apps.length > 0 && (
            <ul className="plain stack tight">
              {network.apps.map((app) => (
                <li key={app.name}>
                  <PrivateName app={app} />
                </li>
              ))}
            </ul>
          )}
          <NetworkRights network={network} mayChange={mayChange} />
        </div>
      )}
    </Card>
  );
}
