# Typed settings of the control plane: how it looks after the fleet. All others are free; `check-config` knows them.
{ lib, pkgs }:
let
  inherit (lib) types;
  inherit (import ./lib.nix { inherit lib pkgs; }) mkSetting;
  between = types.ints.between;
  factor = types.addCheck types.number (value: value >= 0.1 && value <= 1000) // {
    description = "number between 0.1 and 1000";
  };
in
{
  mesh.rotate_after_days = mkSetting {
    type = types.ints.positive;
    default = "null";
    description = "Days after which a node's tunnel gets other keys by itself; never without it. See `docs/operations/mesh.md`.";
  };
  node_health = {
    check_intervals_s =
      let
        step = between 1 86400;
      in
      mkSetting {
        type =
          types.addCheck (types.listOf step) (
            list: lib.length list == 5 && list == lib.sort (one: other: one < other) list
          )
          // {
            description = "five ${step.description}, none smaller than the one before";
          };
        default = "[ 30 120 300 900 1800 ]";
        description = "Seconds between checks of a node that says nothing: after 0 to 2 failed checks, 3 to 5, 6 to 10, 11 to 20, and more.";
      };
    check_timeout_s = mkSetting {
      type = between 1 30;
      default = "5";
      description = "Seconds for the answer to a check.";
    };
    heartbeat_patience_s = mkSetting {
      type = between 90 3600;
      default = "150";
      description = "Seconds without a heartbeat after which a connected agent does not count. Agents send one each minute.";
    };
    history_days = mkSetting {
      type = between 1 3650;
      default = "90";
      description = "Days for which it is kept when a node went and came back.";
    };
    grace_s = mkSetting {
      type = between 5 86400;
      default = "300";
      description = "Seconds for which a node may be gone before its instances are placed elsewhere; an app may have others.";
    };
    flapping_h = mkSetting {
      type = between 0 168;
      default = "6";
      description = "Hours within which each time that a node was gone before doubles how long it is waited for.";
    };
    lease_s = mkSetting {
      type = between 10 3600;
      default = "240";
      description = "Seconds for which a worker may run instances of exclusive apps after it last asked whether it may.";
    };
  };
  node_numbers = {
    minutes_kept_h = mkSetting {
      type = between 26 168;
      default = "48";
      description = "Hours for which numbers of hosts are kept by the minute.";
    };
    hours_kept_days = mkSetting {
      type = between 31 1000;
      default = "90";
      description = "Days for which numbers of hosts are kept by the hour.";
    };
  };
  placement = {
    strategy = mkSetting {
      type = types.enum [
        "least-utilised"
        "round-robin"
        "resource"
        "spread"
      ];
      default = "\"least-utilised\"";
      description = "How workers are filled with the instances of apps that choose no strategy.";
    };
    cpu_overcommit = mkSetting {
      type = factor;
      default = "10";
      description = "How many times its processors a worker gives away.";
    };
    memory_overcommit = mkSetting {
      type = factor;
      default = "2";
      description = "The same for memory: a roll-out has old and new instances side by side.";
    };
    reserve_cpu_millis = mkSetting {
      type = types.ints.unsigned;
      default = "100";
      description = "Thousandths of a core that each worker keeps for itself.";
    };
    reserve_memory_mb = mkSetting {
      type = types.ints.unsigned;
      default = "256";
      description = "Megabytes that each worker keeps for itself.";
    };
  };
}
