import { useQuery } from "@tanstack/react-query";
import { sessionQuery } from "@/api/queries";
import { Choices } from "@/components/field";
import { Icon } from "@/components/icon";
import { Card, PageHead, useTitle } from "@/components/page";
import { useTheme } from "@/lib/theme";
import { DnsProviders } from "./dns-providers";
import { Registries } from "./registries";
import { RouteTokens } from "./route-tokens";
import { Tokens } from "./tokens";
import { Zones } from "./zones";

export function Component() {
  useTitle("Settings");
  return (
    <div className="page narrow">
      <PageHead
        title="Settings"
        text="Your account, the keys of your tools, the registries of your images and the zones of your apps."
      />
      <Account />
      <Appearance />
      <Tokens />
      <RouteTokens />
      <Registries />
      <DnsProviders />
      <Zones />
    </div>
  );
}

function Account() {
  const { data: session } = useQuery(sessionQuery);
  if (!session) return null;
  const { user, organization } = session;
  return (
    <Card title="Account">
      <dl className="facts">
        <dt>Name</dt>
        <dd>{user.name}</dd>
        <dt>E-mail</dt>
        <dd>{user.email}</dd>
        <dt>Organization</dt>
        <dd>
          {organization.name} <span className="faint">· {organization.role}</span>
        </dd>
      </dl>
    </Card>
  );
}

function Appearance() {
  const [theme, setTheme] = useTheme();
  return (
    <Card title="Appearance">
      <Choices
        legend="Theme"
        value={theme}
        onChange={setTheme}
        options={[
          { value: "system", title: "System", text: "Follows your device", icon: <Icon name="system" /> },
          { value: "light", title: "Light", text: "Always light", icon: <Icon name="sun" /> },
          { value: "dark", title: "Dark", text: "Always dark", icon: <Icon name="moon" /> },
        ]}
      />
    </Card>
  );
}
