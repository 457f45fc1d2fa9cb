import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { asApiError } from "@/api/errors";
import { useDeleteRegistry, usePutRegistry } from "@/api/mutations";
import { isAdmin, registriesQuery, sessionQuery } from "@/api/queries";
import type { Registry } from "@/api/types";
import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { Dialog } from "@/components/dialog";
import { TextField } from "@/components/field";
import { Card, Empty, ErrorNotice } from "@/components/page";
import { Rows } from "@/components/rows";
import { Time } from "@/components/time";
import { useToast } from "@/components/toast";
import { cli } from "@/lib/cli";
import { KeepDialog, KeptImages } from "./kept-images";

export function Registries() {
  const { data: session } = useQuery(sessionQuery);
  const registries = useQuery(registriesQuery);
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState<Registry>();
  const [keeping, setKeeping] = useState<Registry>();
  const mayChange = isAdmin(session);
  const add = mayChange && (
    <Button kind="primary" small icon="plus" onClick={() => setAdding(true)}>
      Add a login
    </Button>
  );
  const some = registries.data && registries.data.length > 0;
  return (
    <section id="registries">
      <Card
        title="Registries"
        text="Logins with which builds pull private images. Passwords are encrypted and never shown again."
        flush
        actions={some && add}
      >
        <Rows
          query={registries}
          rows={registries.data}
          skeleton={[180, 90, 90, 90]}
          empty={
            <Empty
              icon="key"
              title="No logins yet"
              text={
                mayChange
                  ? "Public images need none."
                  : "Public images need none; an admin adds one for private images."
              }
              action={add || undefined}
              command={cli.registryLogin()}
            />
          }
        >
          {(registries) => (
            <RegistryTable
              registries={registries}
              onRemove={mayChange ? setRemoving : undefined}
              onKeep={mayChange ? setKeeping : undefined}
            />
          )}
        </Rows>
      </Card>
      {adding && <LoginDialog onClose={() => setAdding(false)} />}
      {removing && <RemoveDialog registry={removing} onClose={() => setRemoving(undefined)} />}
      {keeping && <KeepDialog registry={keeping} onClose={() => setKeeping(undefined)} />}
    </section>
  );
}

interface TableProps {
  registries: Registry[];
  onRemove: ((registry: Registry) => void) | undefined;
  onKeep: ((registry: Registry) => void) | undefined;
}

function RegistryTable({ registries, onRemove, onKeep }: TableProps) {
  return (
    <div className="table-wrap">
      <table className="table">
        <thead>
          <tr>
            <th>Host</th>
            <th>User</th>
            <th>Built images</th>
            <th className="hide-small">Stored</th>
            <th className="end">
              <span className="visually-hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {registries.map((registry) => (
            <tr key={registry.host}>
              <td>
                <code>{registry.host}</code>
              </td>
              <td>{registry.username}</td>
              <td>
                <KeptImages registry={registry} />
              </td>
              <td className="hide-small">
                <Time at={registry.updated_at} />
                <span className="sub">by {registry.updated_by}</span>
              </td>
              <td className="end">
                {onKeep && (
                  <Button
                    small
                    onClick={() => onKeep(registry)}
                    aria-label={`Built images at ${registry.host}`}
                  >
                    Built images
                  </Button>
                )}
                {onRemove && (
                  <Button
                    small
                    kind="danger-quiet"
                    onClick={() => onRemove(registry)}
                    aria-label={`Forget ${registry.host}`}
                  >
                    Forget
                  </Button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function LoginDialog({ onClose }: { onClose: () => void }) {
  const [host, setHost] = useState("");
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const put = usePutRegistry();
  const toast = useToast();
  const error = put.error ? asApiError(put.error) : undefined;
  const of = (field: string) => (error?.field === field ? error.message : undefined);
  const known = ["host", "username", "password"].includes(error?.field ?? "");
  const save = () =>
    put.mutate(
      { host: host.trim(), username: username.trim(), password },
      {
        onSuccess: (stored) => {
          toast.done(`Builds pull from ${stored.host} as ${stored.username}`);
          onClose();
        },
      },
    );
  return (
    <Dialog
      title="Log in to a registry"
      onClose={onClose}
      onSubmit={save}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button
            kind="primary"
            type="submit"
            busy={put.isPending}
            disabled={!host.trim() || !username.trim() || !password}
          >
            Store login
          </Button>
        </>
      }
    >
      <TextField
        label="Host"
        autoFocus
        mono
        placeholder="registry.example.com"
        help="As images are named with it, with its port if it has one."
        value={host}
        onChange={setHost}
        error={of("host")}
      />
      <TextField
        label="User name"
        autoComplete="off"
        value={username}
        onChange={setUsername}
        error={of("username")}
      />
      <TextField
        label="Password or token"
        type="password"
        autoComplete="new-password"
        help="One that may only read is enough."
        value={password}
        onChange={setPassword}
        error={of("password")}
      />
      {error && !known && <ErrorNotice error={error} />}
    </Dialog>
  );
}

function RemoveDialog({ registry, onClose }: { registry: Registry; onClose: () => void }) {
  const remove = useDeleteRegistry();
  const toast = useToast();
  const confirm = () =>
    remove.mutate(registry.host, {
      onSuccess: () => {
        toast.done(`The login to ${registry.host} is forgotten`);
        onClose();
      },
    });
  return (
    <Confirm
      title={`Forget the login to ${registry.host}?`}
      verb="Forget login"
      keep="Keep"
      danger
      change={remove}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p className="muted">Apps keep running; builds that need a private image of it fail from now on.</p>
    </Confirm>
  );
}
