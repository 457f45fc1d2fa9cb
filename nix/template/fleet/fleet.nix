# The inventory. Peers, firewalls, the control plane's list of nodes and deploy targets follow from it.
{
  url = "https://cp.example.com";
  zone = "apps.example.com";

  hosts = {
    control-plane = {
      roles = [ "control-plane" ];
      address = "203.0.113.10";
      meshAddress = "10.50.0.1";
      # publicKey = "…";   # README.md, step 4
    };

    # People and joining hosts reach the control plane through it.
    proxy-1 = {
      roles = [ "proxy" ];
      address = "203.0.113.20";
      meshAddress = "10.50.0.20";
      # publicKey = "…";   # README.md, step 4
    };

    # Workers join by token; `wh fleet pin` prints their addresses and keys for this file later.
    worker-1 = {
      roles = [ "worker" ];
      address = "203.0.113.31";
    };

    # Behind NAT: it dials the others.
    worker-2 = {
      roles = [ "worker" ];
    };
  };
}
