# What Prometheus raises an alert for. `backup`: whether this host makes backups; `postgres`: whether it has the database;
# `cluster`: whether hosts of the fleet have it together.
{
  lib,
  backup ? true,
  postgres ? true,
  cluster ? true,
}:
let
  rule = severity: wait: alert: expr: summary: {
    inherit alert expr;
    for = wait;
    labels = { inherit severity; };
    annotations = { inherit summary; };
  };
  critical = rule "critical";
  warning = rule "warning";

  certificateEnds = days: ''
    max by (host) (wisehosting_certificate_not_after_seconds) - time() < ${toString days} * 86400
  '';
  disk = ''fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660|fuse.*"'';
in
{
  groups = [
    {
      name = "wisehosting-hosts";
      rules = [
        (critical "2m" "NodeOffline" "max by (node) (wisehosting_node_online) == 0"
          "No agent of {{ $labels.node }} is connected. `wh node show {{ $labels.node }}`, then the host itself."
        )
        (warning "3m" "AgentDown"
          "max by (node, agent) (wisehosting_agent_connected) == 0 and on (node) max by (node) (wisehosting_node_online) == 1"
          "The {{ $labels.agent }} agent of {{ $labels.node }} is not connected: `systemctl status wisehosting-{{ $labels.agent }}` there."
        )
        (warning "3m" "TargetDown" "up == 0"
          "{{ $labels.job }} of {{ $labels.host }} does not answer at {{ $labels.instance }}."
        )
        (warning "10m" "TunnelSilent"
          "max by (node) (wisehosting_mesh_peers_silent) > scalar(count(max by (node) (wisehosting_node_online) == 0) or vector(0))"
          "{{ $labels.node }} has no handshake with {{ $value }} peers: is UDP blocked between them? `wg show wh0` there."
        )
        (warning "15m" "DiskFills"
          "node_filesystem_avail_bytes{${disk}} / node_filesystem_size_bytes{${disk}} < 0.15"
          "{{ $labels.mountpoint }} of {{ $labels.host }} has {{ $value | humanizePercentage }} left."
        )
        (critical "5m" "DiskFull"
          "node_filesystem_avail_bytes{${disk}} / node_filesystem_size_bytes{${disk}} < 0.05"
          "{{ $labels.mountpoint }} of {{ $labels.host }} has {{ $value | humanizePercentage }} left."
        )
        (warning "10m" "MemoryShort" "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < 0.1"
          "{{ $labels.host }} has {{ $value | humanizePercentage }} of its memory available."
        )
        (warning "5m" "UnitFailed"
          "node_systemd_unit_state{state=\"failed\", name!~\"wisehosting-backup.*\"} == 1"
          "{{ $labels.name }} failed on {{ $labels.host }}: `systemctl status {{ $labels.name }}` there."
        )
      ];
    }
    {
      name = "wisehosting-control-plane";
      rules = [
        (critical "2m" "ControlPlaneDown"
          "up{job=\"wisehosting-control-plane\"} == 0 or absent(up{job=\"wisehosting-control-plane\"})"
          "The control plane does not answer. Apps serve; nothing can be changed."
        )
        (critical "2m" "DatabaseUnreachable"
          "increase(wisehosting_reconcile_failures_total{reconciler=\"census\"}[5m]) > 3"
          "The control plane cannot read its database."
        )
        (warning "10m" "DatabasePoolFull"
          "wisehosting_database_connections{state=\"used\"} / on (instance) wisehosting_database_connections_max > 0.9"
          "The control plane uses {{ $value | humanizePercentage }} of its database connections (`database.connections`)."
        )
        (warning "10m" "ReconcileFails"
          "sum by (reconciler) (increase(wisehosting_reconcile_failures_total{job=\"wisehosting-control-plane\"}[10m])) > 5"
          "The reconciler `{{ $labels.reconciler }}` fails again and again: the control plane's journal says why."
        )
        (warning "30m" "JobsWait" "max by (kind) (wisehosting_jobs{state=\"queued\"}) > 0"
          "Jobs of the kind {{ $labels.kind }} find no worker or proxy that takes them."
        )
      ]
      ++ lib.optionals postgres [
        (critical "1m" "PostgresDown" "pg_up == 0" "Postgres on {{ $labels.host }} does not answer.")
      ]
      ++ lib.optionals cluster [
        (critical "1m" "DatabaseHasNoLeader" "sum(patroni_primary) == 0 or absent(patroni_primary)"
          "No member of the database cluster leads: `patronictl list` on any of them. Apps serve; nothing can be changed."
        )
        (warning "5m" "DatabaseMemberDown" "patroni_postgres_running == 0"
          "Postgres does not run on {{ $labels.host }}: `patronictl list`, `journalctl -u patroni` there."
        )
        (warning "5m" "DatabaseNotCopied" "sum(patroni_sync_standby) == 0"
          "Changes are on one member of the database cluster alone: no other follows at once."
        )
      ]
      ++ lib.optionals backup [
        (critical "1m" "BackupFailed"
          "node_systemd_unit_state{state=\"failed\", name=~\"wisehosting-backup.*\"} == 1"
          "{{ $labels.name }} failed on {{ $labels.host }}: `journalctl -u {{ $labels.name }}` there."
        )
        (critical "1h" "BackupTooOld"
          "time() - wisehosting_backup_last_success_seconds > 26 * 3600 or absent(wisehosting_backup_last_success_seconds)"
          "No backup of the control plane for more than a day."
        )
      ];
    }
    {
      name = "wisehosting-apps";
      rules = [
        (warning "5m" "DeploymentsFail"
          "max(wisehosting_deployments_last_hour{outcome=\"failed\"}) >= 3 and max(wisehosting_deployments_last_hour{outcome=\"failed\"}) > max(wisehosting_deployments_last_hour{outcome=\"live\"})"
          "{{ $value }} deployments failed within an hour, more than went live."
        )
        (warning "10m" "InstancesUnhealthy"
          "sum(max by (state) (wisehosting_instances{state=~\"unhealthy|exited|failed\"})) > 0"
          "{{ $value }} instances are unhealthy or ended: `wh apps` shows whose."
        )
        (warning "10m" "AppsUnreachable"
          "sum by (app) (rate(wisehosting_ingress_upstream_errors_total[5m])) / sum by (app) (rate(wisehosting_ingress_requests_total[5m])) > 0.05"
          "No instance answered {{ $value | humanizePercentage }} of the requests to the app {{ $labels.app }}."
        )
        (rule "info" "1h" "CertificateEndsIn14Days" (certificateEnds 14)
          "The certificate of {{ $labels.host }} ends in {{ $value | humanizeDuration }} and was not renewed."
        )
        (warning "1h" "CertificateEndsIn7Days" (certificateEnds 7)
          "The certificate of {{ $labels.host }} ends in {{ $value | humanizeDuration }} and was not renewed."
        )
        (critical "10m" "CertificateEndsIn3Days" (certificateEnds 3)
          "The certificate of {{ $labels.host }} ends in {{ $value | humanizeDuration }}."
        )
        (warning "10m" "CertificateOrdersFail" "max by (host) (wisehosting_certificate_failures) >= 3"
          "{{ $value }} orders for {{ $labels.host }} have failed: does its name point at the proxies?"
        )
      ];
    }
  ];
}
