# A Postgres for one script: unix socket only, in a folder of its own, gone with the script. To be sourced.
# shellcheck shell=bash

# Starts it and sets DATABASE_URL to its database `wisehosting`.
postgres_start() {
  local bin owner=()
  bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
  [ -n "$bin" ] || { echo "error: no Postgres server found. Install it: apt-get install postgresql" >&2; return 1; }
  postgres_dir=$(mktemp -d)
  # Postgres refuses to run as root.
  if [ "$(id -u)" = 0 ]; then
    chown postgres "$postgres_dir"
    owner=(setpriv --reuid=postgres --regid=postgres --clear-groups)
  fi
  "${owner[@]}" "$bin/initdb" -D "$postgres_dir/data" -A trust -U wise --no-sync --locale=C.UTF-8 -E UTF8 >"$postgres_dir/initdb.log"
  "${owner[@]}" "$bin/postgres" -D "$postgres_dir/data" -c listen_addresses= -c "unix_socket_directories=$postgres_dir" \
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200 >"$postgres_dir/log" 2>&1 &
  postgres_pid=$!
  trap postgres_stop EXIT
  for _ in $(seq 100); do
    if "$bin/pg_isready" -q -h "$postgres_dir" -U wise; then break; fi
    sleep 0.1
  done
  psql -q -h "$postgres_dir" -U wise -d postgres -c 'create database wisehosting'
  export DATABASE_URL="postgres://wise@localhost/wisehosting?host=$postgres_dir"
}

# Stops it and removes its folder.
postgres_stop() {
  [ -n "${postgres_pid:-}" ] || return 0
  kill -INT "$postgres_pid" 2>/dev/null || true
  wait "$postgres_pid" 2>/dev/null || true
  rm -rf "$postgres_dir"
  postgres_pid=
}
