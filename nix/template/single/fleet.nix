# The inventory: one server with all roles. A second host is a second entry here.
{
  url = "https://cp.example.com";
  zone = "apps.example.com";

  hosts.server = {
    roles = [
      "control-plane"
      "worker"
      "proxy"
    ];
    address = "203.0.113.10";
    meshAddress = "10.50.0.1";
  };
}
