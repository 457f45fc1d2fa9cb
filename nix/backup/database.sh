# Where the database is. Read before backup.sh and restore.sh, which set nothing of it themselves.
# shellcheck shell=bash disable=SC2034

# A server that takes a connection and then says nothing, as while the leader changes, must not be waited for.
export PGCONNECT_TIMEOUT=10

say() { printf '%s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

# Sets database_server (what is before the name in the URL), database_name and database_query. A password goes to the
# environment: arguments are seen by everybody on the host.
parse_url() {
  local url=$1
  if [[ $url =~ ^(postgres(ql)?://[^:/@?]*):([^@/?]*)(@.*)$ ]]; then
    url=${BASH_REMATCH[1]}${BASH_REMATCH[4]}
    PGPASSWORD=${BASH_REMATCH[3]//\\/\\\\}
    PGPASSWORD=$(printf '%b' "${PGPASSWORD//%/\\x}")
    export PGPASSWORD
  fi
  [[ $url =~ ^(postgres(ql)?://[^/?]*)/([^/?]+)(\?.*)?$ ]] ||
    die "the database's URL is not postgres://USER@HOST/NAME (services.wisehosting.controlPlane.database)"
  database_server=${BASH_REMATCH[1]} database_name=${BASH_REMATCH[3]} database_query=${BASH_REMATCH[4]}
}

# database_from URL-FILE PASSWORD-FILE: the same, from files that need not exist; without the first, from DATABASE_URL.
database_from() {
  if [ -e "$1" ]; then DATABASE_URL=$(<"$1"); fi
  parse_url "$DATABASE_URL"
  if [ -e "$2" ]; then
    PGPASSWORD=$(<"$2")
    export PGPASSWORD
  fi
}

# url NAME: the URL of a database on the same server.
url() { printf '%s/%s%s' "$database_server" "$1" "$database_query"; }
