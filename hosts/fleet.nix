# The example fleet: data only. Everything a host knows about the others follows from here.
{
  url = "https://cp.example.com";
  zone = "route.example.com";
  monitoring = true;

  hosts = {
    control-plane = {
      roles = [ "control-plane" ];
      address = "203.0.113.10";
      meshAddress = "10.50.0.1";
      publicKey = "Zm9yIHRoZSBleGFtcGxlLCBub3Qgb2YgYSBob3N0LiE=";
    };

    # Declared: its key is pinned, it needs no token.
    proxy-1 = {
      roles = [ "proxy" ];
      address = "203.0.113.20";
      meshAddress = "10.50.0.20";
      publicKey = "Zm9yIHRoZSBleGFtcGxlLCBub3Qgb2YgYSBwcm94eSE=";
    };

    worker-1 = {
      roles = [ "worker" ];
      address = "203.0.113.31";
      meshAddress = "10.50.0.31";
      publicKey = "Zm9yIHRoZSBleGFtcGxlLCBub3Qgb2YgYW55b25lIDE=";
      labels.disk = "nvme";
    };

    # New: it joins by token, is given a mesh address, and is pinned later (`wh fleet pin`).
    worker-2 = {
      roles = [ "worker" ];
      system = "aarch64-linux";
    };
  };
}
