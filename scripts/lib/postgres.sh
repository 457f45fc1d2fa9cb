# A Postgres for one script: unix socket only, in a folder of its own, gone with the script. To be sourced.
# shellcheck shell=bash

# Starts it and sets DATABASE_URL to its database `wisehosting`. Every database that is made in it has the schema. Each of
# hundreds of tests has one, and to make and remove its files costs a disk more than all the rest.
postgres_start() {
  local bin owner=()
  bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
  [ -n "$bin" ] || { echo "error: no Postgres server found. Install it: apt-get install postgresql" >&2; return 1; }
  postgres_dir=$(mktemp -d -p "$(memory 2)")
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
  postgres_migrations | psql -q -v ON_ERROR_STOP=1 -h "$postgres_dir" -U wise -d template1
  psql -q -h "$postgres_dir" -U wise -d postgres -c 'create database wisehosting'
  export DATABASE_URL="postgres://wise@localhost/wisehosting?host=$postgres_dir"
}

# memory GIB: prints a folder in memory, or the one for temporary files when there is not that much to spare.
memory() {
  local spare
  spare=$({
    df --output=avail --block-size=1K /dev/shm 2>/dev/null
    awk '/^MemAvailable/ { print $2 }' /proc/meminfo
  } | sort -n | sed '/[^0-9 ]/d' | head -n 1)
  if [ -w /dev/shm ] && [ "${spare:-0}" -ge $(($1 * 1024 * 1024)) ]; then echo /dev/shm; else echo "${TMPDIR:-/tmp}"; fi
}

# Prints all migrations, and the records that sqlx keeps of those it applied: hundreds of tests with a database each find
# nothing left to do. A wrong record stops them.
postgres_migrations() {
  local file name
  echo 'create table _sqlx_migrations (version bigint primary key, description text not null,
    installed_on timestamptz not null default now(), success boolean not null, checksum bytea not null,
    execution_time bigint not null);'
  for file in migrations/*.sql; do
    name=$(basename "$file" .sql)
    cat "$file"
    printf "\n;insert into _sqlx_migrations values (%s, '%s', default, true, '\\\\x%s', 0);\n" \
      "${name%%_*}" "$(tr _ ' ' <<<"${name#*_}")" "$(sha384sum "$file" | cut -d ' ' -f 1)"
  done
}

# Stops it and removes its folder.
postgres_stop() {
  [ -n "${postgres_pid:-}" ] || return 0
  kill -INT "$postgres_pid" 2>/dev/null || true
  wait "$postgres_pid" 2>/dev/null || true
  rm -rf "$postgres_dir"
  postgres_pid=
}
