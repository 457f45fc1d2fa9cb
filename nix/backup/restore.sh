# wisehosting-restore FILE | --undo SCHEMA: puts a dump, or the tables before a restore, in the place of the control
# plane's tables. For root, on the control plane's host. It needs no right that the control plane does not have: the
# tables before are kept in the same database, in a schema of their own.
#
# From the module: DATABASE_URL or DATABASE_URL_FILE, DATABASE_PASSWORD_FILE, POSTGRES_LOCAL=1 when the server is this
# host's own.
# shellcheck shell=bash disable=SC2154

usage() {
  die "usage: wisehosting-restore [--confirm DATABASE] FILE     restore a dump
       wisehosting-restore [--confirm DATABASE] --undo SCHEMA   go back to the tables that a restore kept"
}

confirmed='' undo='' source=''
while [ $# -gt 0 ]; do
  case $1 in
    --confirm) [ $# -ge 2 ] || usage; confirmed=$2 && shift 2 ;;
    --undo) [ $# -ge 2 ] || usage; undo=$2 && shift 2 ;;
    -*) usage ;;
    *) [ -z "$source" ] || usage; source=$1 && shift ;;
  esac
done
[ -n "$source" ] || [ -n "$undo" ] || usage
[ -z "$source" ] || [ -z "$undo" ] || usage
[ "$(id -u)" = 0 ] || die "wisehosting-restore stops and starts the control plane: run it as root"
database_from "${DATABASE_URL_FILE:-}" "${DATABASE_PASSWORD_FILE:-}"

# A local Postgres knows the control plane by its Unix user.
if [ -n "${POSTGRES_LOCAL:-}" ]; then
  as_owner() { runuser -u wisehosting -- "$@"; }
else
  as_owner() { "$@"; }
fi
sql() { as_owner psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 --dbname="$(url "$database_name")" "$@"; }
exists() { [ "$(sql --set=schema="$1" <<<"select count(*) from pg_namespace where nspname = :'schema'")" = 1 ]; }

# What can be wrong is found before anything stops.
if ! answer=$(sql <<<'select 1' 2>&1); then
  if [ -z "${POSTGRES_LOCAL:-}" ] || [[ $answer != *"does not exist"* ]]; then die "no way to the database: $answer"; fi
  say "making the database $database_name, which is gone"
  runuser -u postgres -- createdb --owner=wisehosting "$database_name"
fi
if [ -n "$source" ]; then
  [ -r "$source" ] || die "$source cannot be read"
  contents=$(pg_restore --list "$source") || die "$source is not a dump that this pg_restore reads"
  grep -q ' TABLE DATA public _sqlx_migrations ' <<<"$contents" ||
    die "$source is not a dump of the control plane's database"
else
  exists "$undo" || die "there is no schema $undo; wisehosting-restore printed the name of the one that it kept"
fi

if [ -z "$confirmed" ]; then
  say "This replaces the tables in the database $database_name by ${source:-$undo}. The control plane stops meanwhile;"
  say "apps go on. The present tables are kept under another name."
  read -r -p "Type the database's name to go on: " confirmed </dev/tty || die "no terminal: give --confirm $database_name"
fi
[ "$confirmed" = "$database_name" ] || die "the database's name is $database_name, not $confirmed; nothing was changed"

kept=before_restore_$(date -u +%Y%m%dt%H%M%S)
# One transaction: all of it, or nothing. What ends early ends without its commit.
replace() {
  echo "begin; alter schema public rename to $kept;"
  if [ -n "$source" ]; then
    echo 'create schema public;'
    pg_restore --no-owner --no-privileges --file=- "$source" || return
  else
    echo 'alter schema :"undo" rename to public;'
  fi
  echo 'commit;'
}

say "stopping the control plane"
systemctl stop wisehosting-control-plane.service
trap 'systemctl start wisehosting-control-plane.service || true' EXIT
replace | sql --set=undo="$undo" >/dev/null || die "it could not be restored; nothing was changed"
trap - EXIT
say "the tables before are kept in the schema $kept of $database_name"

say "starting the control plane"
# It may have been tried too often with the tables before.
systemctl reset-failed wisehosting-control-plane.service 2>/dev/null || true
systemctl start wisehosting-control-plane.service || {
  say "the control plane does not start with it:"
  journalctl --unit=wisehosting-control-plane.service --lines=5 --output=cat >&2
  die "mend what it says, or go back: wisehosting-restore --undo $kept"
}
say "done: ${source:-$undo} is in place"
