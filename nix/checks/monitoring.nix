# The alert rules are valid and fire when they should, what the dashboards ask is valid,
# and both name only metrics that exist.
{ pkgs }:
let
  inherit (pkgs) lib;
  rules = pkgs.writeText "rules.json" (
    builtins.toJSON (import ../monitoring/rules.nix { inherit lib; })
  );
  source = lib.fileset.toSource {
    root = ../..;
    fileset = lib.fileset.unions [
      (lib.fileset.fileFilter (file: file.hasExt "rs") ../../crates)
      ../../docs/operations/metrics.md
      ../../scripts/check-metrics
      ../backup
      ../grafana
      ../monitoring
    ];
  };
in
pkgs.runCommand "wisehosting-monitoring"
  {
    nativeBuildInputs = [
      pkgs.gnugrep
      pkgs.jq
      pkgs.prometheus.cli
    ];
  }
  ''
    cp ${rules} rules.json
    cp ${../monitoring/rules-test.yml} rules-test.yml
    promtool check rules rules.json
    promtool test rules rules-test.yml
    # The dashboards' expressions, read as the rules that they are not.
    jq --slurp '{ groups: [ { name: "dashboards", rules: [ [ .[].panels[].targets[].expr ] | to_entries[]
      | { record: "panel:\(.key)", expr: .value | gsub("\\$(app|host)"; ".*") } ] } ] }' ${source}/nix/grafana/*.json > panels.json
    promtool check rules panels.json
    bash ${source}/scripts/check-metrics ${source}
    touch $out
  ''
