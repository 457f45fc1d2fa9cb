# `nix run .#dev`: the cluster of `scripts/dev`, with the programs of Nix instead of Debian's.
{ pkgs }:
let
  inherit (pkgs) lib wisehosting;

  # The same sources; only the program that boots the hosts.
  testbed = wisehosting.overrideAttrs {
    pname = "wisehosting-testbed";
    cargoBuildFlags = [ "--package=testbed" ];
    postInstall = "";
    meta = wisehosting.meta // {
      mainProgram = "wh-testbed";
    };
  };
in
pkgs.writeShellApplication {
  name = "wisehosting-dev";
  text = ''
    # dev [--once] [--app FOLDER|none] …: as scripts/dev
    if [ "$(id -u)" != 0 ]; then
      echo 'error: this needs root, because it makes network namespaces and mounts: sudo nix run .#dev' >&2
      exit 1
    fi
    export WH_TESTBED_PATH=${lib.makeBinPath (import ./testbed-programs.nix { inherit pkgs; })}
    verb=up
    if [ "''${1:-}" = --once ]; then
      verb=once
      shift
    fi
    case " $* " in *" --app "*) ;; *) set -- "$@" --app ${../examples/hello} ;; esac
    exec ${lib.getExe testbed} --programs ${wisehosting}/bin \
      --cache "''${XDG_CACHE_HOME:-$HOME/.cache}/wisehosting/testbed" "$verb" "$@"
  '';
}
