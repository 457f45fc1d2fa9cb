import { useQuery } from "@tanstack/react-query";
import { type PrivateNetwork, privateNetworkQuery } from "@/api/private-network";
import type { App } from "@/api/types";
import { Card, ErrorNotice } from "@/components/page";
import { NetworkRights, PrivateName } from "@/components/private-network";
import { cli } from "@/lib/cli";

interface Props {
  app: App;
  mayChange: boolean;
}

/** How apps of the project reach each other, past the proxies. */
export function PrivateCard({ app, mayChange }: Props) {
  const { data: network, error } = useQuery(privateNetworkQuery(app.project.slug));
  return (
    <Card
      title="Private network"
      text="Names by which apps of the project reach each other, on whichever node they run, at port 80 or the app's own."
      footer={<code>{cli.privateNetwork(app.project.slug)}</code>}
    >
      {error && <ErrorNotice error={error} />}
      {network && <Shown app={app} network={network} mayChange={mayChange} />}
    </Card>
  );
}

function Shown({ app, network, mayChange }: Props & { network: PrivateNetwork }) {
  const own = network.apps.find((one) => one.app === app.slug);
  const others = network.apps.filter((one) => one.app !== app.slug);
  return (
    <div className="stack">
      {own && <PrivateName app={own} />}
      {others.length > 0 && (
        <p className="small faint break">The app also reaches {others.map(({ name }) => name).join(", ")}.</p>
      )}
      <NetworkRights network={network} app={app.slug} mayChange={mayChange} />
    </div>
  );
}
