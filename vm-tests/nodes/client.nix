# Somebody outside of the fleet, with `wh` and the folder of an app. The app is one static program: its image needs no
# registry.
{ config, pkgs, ... }:
let
  hello = pkgs.runCommand "hello" { } ''
    mkdir -p $out/www
    cp -L ${pkgs.pkgsStatic.busybox}/bin/busybox $out/busybox
    echo 'Hello from WiseHosting' > $out/www/index.html
    cat > $out/Containerfile <<'EOF'
    FROM scratch
    COPY busybox /bin/busybox
    COPY www /www
    EXPOSE 8080
    USER 65534
    CMD ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"]
    EOF
    cat > $out/wisehosting.toml <<'EOF'
    app = "hello"
    [run]
    port = 8080
    [probe]
    type = "http"
    path = "/"
    EOF
  '';
in
{
  environment.systemPackages = [
    config.services.wisehosting.package
    pkgs.openssl
    pkgs.netcat
  ];
  environment.etc."hello".source = hello;
}
