# Every credential that the modules take, as sops-nix and agenix leave it: readable by root only. All of them are made on
# the running hosts, so that nothing but the services could have carried one elsewhere.
let
  fleet =
    { nodes, ... }:
    let
      inherit (nodes.control.networking) primaryIPAddress;
    in
    {
      services.wisehosting.fleet = {
        url = "https://${primaryIPAddress}:8080";
        zone = "route.wise.test";
        hosts = {
          control = {
            roles = [ "control-plane" ];
            address = primaryIPAddress;
            meshAddress = "10.50.0.1";
          };
          worker.roles = [ "worker" ];
        };
      };
    };
in
{
  nodes = {
    control =
      { config, pkgs, ... }:
      {
        imports = [ fleet ];
        services.wisehosting.controlPlane = {
          openFirewall = true;
          secretFile = "/secrets/api-server-secret";
          proxyTokenFile = "/secrets/proxy-token";
          database.urlFile = "/secrets/database-url";
          tls.certificate = "/secrets/tls.crt";
          tls.key = "/secrets/tls.key";
        };

        # A database with a password.
        services.postgresql = {
          enable = true;
          enableTCPIP = true;
          ensureDatabases = [ "wisehosting" ];
          ensureUsers = [
            {
              name = "wisehosting";
              ensureDBOwnership = true;
            }
          ];
        };

        environment.systemPackages = [ pkgs.openssl ];
        systemd.services.test-secrets = {
          description = "Make the secrets of the test";
          requiredBy = [ "wisehosting-control-plane.service" ];
          before = [ "wisehosting-control-plane.service" ];
          after = [
            "postgresql.service"
            "postgresql.target"
          ];
          path = [
            pkgs.openssl
            pkgs.util-linux
            config.services.postgresql.package
          ];
          serviceConfig = {
            Type = "oneshot";
            RemainAfterExit = true;
            UMask = "0377";
          };
          environment.OPENSSL_CONF = pkgs.writeText "openssl.cnf" ''
            [req]
            distinguished_name = name
            [name]
          '';
          script = ''
            mkdir -p -m 0700 /secrets && cd /secrets
            for name in api-server-secret proxy-token password; do
              openssl rand -hex 32 > $name
            done
            echo "alter role wisehosting password '$(cat password)'" | runuser -u postgres -- psql
            echo "postgres://wisehosting:$(cat password)@127.0.0.1/wisehosting" > database-url
            key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
            openssl req -x509 $key -subj /CN=test -keyout ca.key -out ca.crt -addext basicConstraints=critical,CA:true
            openssl req -x509 $key -subj /CN=control -CA ca.crt -CAkey ca.key -keyout tls.key -out tls.crt \
              -addext subjectAltName=IP:${config.networking.primaryIPAddress} -addext basicConstraints=critical,CA:false
          '';
        };
      };

    worker = {
      imports = [ fleet ];
      services.wisehosting.mesh = {
        joinTokenFile = "/secrets/join-token";
        settings.control_plane.root_certificate = "/var/lib/test-ca.crt";
      };
    };

    client =
      { config, ... }:
      {
        environment.systemPackages = [ config.services.wisehosting.package ];
      };
  };
}
