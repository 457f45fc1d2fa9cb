# Three hosts that do nothing but keep the database, and a control plane that follows their leader.
{ lib, ... }:
let
  keys = import ./nodes/keys.nix;
  members = {
    db1 = "10.50.0.31";
    db2 = "10.50.0.32";
    db3 = "10.50.0.33";
  };

  # In the open, for the test alone.
  secret = name: "/var/lib/secrets/${name}";

  host =
    name:
    { nodes, ... }:
    let
      address = name: nodes.${name}.networking.primaryIPAddress;
    in
    {
      imports = [ (import ./nodes/pinned.nix name) ];
      services.wisehosting.fleet = {
        monitoring = true;
        url = "http://${address "control"}:8080";
        zone = "route.wise.test";
        hosts = {
          control = {
            roles = [ "control-plane" ];
            address = address "control";
            meshAddress = "10.50.0.1";
            inherit (keys.control) publicKey;
          };
        }
        // lib.mapAttrs (name: meshAddress: {
          roles = [ ];
          database = true;
          address = address name;
          inherit meshAddress;
          inherit (keys.${name}) publicKey;
        }) members;
      };
      services.wisehosting.database.cluster = {
        passwordFile = secret "database";
        replicationPasswordFile = secret "replication";
      };
      systemd.tmpfiles.rules = [
        "d /var/lib/secrets 0700 root root"
        "f ${secret "database"} 0400 root root - it's%%20a/pass@word"
        "f ${secret "replication"} 0400 root root - another"
      ];
    };

  # Makes projects one after the other until it is told that there are enough, and notes each answer.
  load =
    { pkgs, ... }:
    {
      environment.systemPackages = [
        (pkgs.writers.writePython3Bin "make-projects" { } ''
          import itertools
          import json
          import os
          import sys
          import time
          import urllib.error
          import urllib.request

          url, token = sys.argv[1:]
          headers = {
              "authorization": f"Bearer {token}",
              "content-type": "application/json",
          }
          with open("/tmp/answers", "w", buffering=1) as answers:
              for number in itertools.count():
                  if os.path.exists("/tmp/enough"):
                      break
                  slug = f"load-{number}"
                  body = json.dumps({"slug": slug}).encode()
                  request = urllib.request.Request(url, body, headers)
                  try:
                      with urllib.request.urlopen(request, timeout=15):
                          answer = "made"
                  except urllib.error.HTTPError as error:
                      answer = str(error.code)
                  except OSError as error:
                      answer = type(error).__name__
                  answers.write(f"{time.time()} {slug} {answer}\n")
                  time.sleep(0.05)
        '')
      ];
    };
in
{
  nodes = lib.mapAttrs (name: _: host name) members // {
    control = {
      imports = [
        (host "control")
        load
      ];
      services.wisehosting.backup.enable = true;
    };
  };
}
