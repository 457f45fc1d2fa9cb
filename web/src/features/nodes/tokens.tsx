import { useQuery } from "@tanstack/react-query";
import { useDeleteNodeToken } from "@/api/mutations";
import { nodeTokensQuery } from "@/api/queries";
import { Button } from "@/components/button";
import { Card } from "@/components/page";
import { Time, useNow } from "@/components/time";
import { useToast } from "@/components/toast";
import { Roles } from "./parts";

/** Tokens that could still be used; used and ended ones are history. */
export function NodeTokens() {
  const { data: tokens = [] } = useQuery(nodeTokensQuery);
  const remove = useDeleteNodeToken();
  const toast = useToast();
  const now = useNow();
  const open = tokens.filter((token) => !token.used_at && Date.parse(token.expires_at) > now);
  if (open.length === 0) return null;
  return (
    <Card title="Open join tokens" text="Each lets one host in." flush>
      <table className="table">
        <tbody>
          {open.map((token) => (
            <tr key={token.id}>
              <td>{token.name ?? <span className="muted">Any name</span>}</td>
              <td className="hide-small">
                <Roles roles={token.roles} />
              </td>
              <td>
                ends <Time at={token.expires_at} />
              </td>
              <td className="end">
                <Button
                  small
                  kind="danger-quiet"
                  onClick={() =>
                    remove.mutate(token.id, {
                      onError: (error) => toast.failed("The token is still valid", error),
                    })
                  }
                >
                  Revoke
                </Button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Card>
  );
}
