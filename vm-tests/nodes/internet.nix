# What a private cloud needs of the outside world: a certificate authority (Pebble) and the DNS of the zone. The names
# of `zone` lead to the machines in `wisehosting.test.proxies`.
{
  config,
  lib,
  nodes,
  pkgs,
  ...
}:
let
  cfg = config.wisehosting.test;
  ca = pkgs.path + "/nixos/tests/common/acme/server";
  pebble = pkgs.writeText "pebble.json" (
    builtins.toJSON {
      pebble = {
        listenAddress = "0.0.0.0:14000";
        managementListenAddress = "0.0.0.0:15000";
        certificate = "${ca}/acme.test.cert.pem";
        privateKey = "${ca}/acme.test.key.pem";
        httpPort = 80;
        tlsPort = 443;
        ocspResponderURL = "";
      };
    }
  );
in
{
  options.wisehosting.test = {
    zone = lib.mkOption {
      type = lib.types.str;
      default = "route.wise.test";
      description = "Names whose DNS this machine serves.";
    };
    proxies = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      description = "Machines that the names lead to.";
    };
  };

  config = {
    networking.firewall.allowedTCPPorts = [
      53
      14000
      15000
    ];
    networking.firewall.allowedUDPPorts = [ 53 ];

    systemd.services.dns = {
      description = "DNS of the zone";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      serviceConfig.ExecStart = lib.concatStringsSep " " (
        [
          "${pkgs.dnsmasq}/bin/dnsmasq --keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null --user=root"
        ]
        ++ map (
          proxy: "--host-record=names.${cfg.zone},${nodes.${proxy}.networking.primaryIPAddress}"
        ) cfg.proxies
        ++ map (proxy: "--address=/${cfg.zone}/${nodes.${proxy}.networking.primaryIPAddress}") cfg.proxies
      );
    };

    systemd.services.pebble = {
      description = "Certificate authority";
      wantedBy = [ "multi-user.target" ];
      after = [ "dns.service" ];
      environment.PEBBLE_VA_NOSLEEP = "1";
      serviceConfig.ExecStart = "${pkgs.pebble}/bin/pebble -config ${pebble} -dnsserver 127.0.0.1:53";
    };
  };
}
