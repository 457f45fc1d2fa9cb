# wisehosting-restore FILE | --undo NAME: puts a dump, or the database before a restore, in the place of the control
# plane's database. For root, on the control plane's host.
#
# From the module: DATABASE_URL or DATABASE_URL_FILE, DATABASE_PASSWORD_FILE, POSTGRES_LOCAL=1 when the server is this
# host's own.
# shellcheck shell=bash disable=SC2154

usage() {
  die "usage: wisehosting-restore [--confirm DATABASE] FILE   restore a dump
       wisehosting-restore [--confirm DATABASE] --undo NAME   go back to the database that a restore kept"
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

# A local Postgres knows people by their Unix user.
if [ -n "${POSTGRES_LOCAL:-}" ]; then
  as_owner() { runuser -u wisehosting -- "$@"; }
  as_admin() { runuser -u postgres -- "$@"; }
  admin=postgresql:///postgres$database_query
else
  as_owner() { "$@"; }
  as_admin() { "$@"; }
  admin=$(url postgres)
fi
sql() { as_admin psql -XAtqd "$admin" -v ON_ERROR_STOP=1 -v name="$database_name" "$@"; }
exists() { [ "$(sql -v other="$1" <<<"select count(*) from pg_database where datname = :'other'")" = 1 ]; }

# What a restore must not touch has to be found before it stops anything.
if [ -n "$source" ]; then
  [ -r "$source" ] || die "$source cannot be read"
  contents=$(pg_restore --list "$source") || die "$source is not a dump that this pg_restore reads"
  grep -q ' TABLE DATA public _sqlx_migrations ' <<<"$contents" ||
    die "$source is not a dump of the control plane's database"
else
  exists "$undo" || die "there is no database $undo; wisehosting-restore printed the name of the one that it kept"
fi
sql <<<'select 1' >/dev/null || die "Postgres does not answer"

if [ -z "$confirmed" ]; then
  say "This replaces the database $database_name by ${source:-$undo}. The control plane stops meanwhile; apps go on."
  say "The present database is kept under another name."
  read -r -p "Type the database's name to go on: " confirmed </dev/tty || die "no terminal: give --confirm $database_name"
fi
[ "$confirmed" = "$database_name" ] || die "the database's name is $database_name, not $confirmed; nothing was changed"

stamp=$(date -u +%Y%m%dt%H%M%S)
kept=${database_name}_before_restore_$stamp
if [ -n "$source" ]; then
  new=${database_name}_restore_$stamp
  # Beside the present database, which is whole until the dump is in.
  owner=$(sql <<<"select pg_get_userbyid(datdba) from pg_database where datname = :'name'")
  [ -n "$owner" ] || owner=$(as_owner psql -XAtqd "$(url postgres)" -c 'select current_user')
  sql -v new="$new" -v owner="$owner" <<<'create database :"new" owner :"owner" template template0' ||
    die "cannot make a database. A role that is not a superuser needs: alter role $owner createdb"
  say "restoring into $new …"
  as_owner pg_restore --exit-on-error --single-transaction --no-owner --no-privileges --dbname="$(url "$new")" <"$source" || {
    sql -v new="$new" <<<'drop database :"new"'
    die "the dump could not be restored; nothing was changed"
  }
else
  new=$undo
fi

say "stopping the control plane"
systemctl stop wisehosting-control-plane.service
trap 'systemctl start wisehosting-control-plane.service || true' EXIT
# Two renames in one transaction: there is always a database, or the error before.
sql -v new="$new" -v kept="$kept" <<'END' || die "the databases could not be exchanged; the present one stays in place. What was restored is in $new"
select count(pg_terminate_backend(pid)) from pg_stat_activity where datname in (:'name', :'new') and pid <> pg_backend_pid() \g /dev/null
begin;
select exists (select from pg_database where datname = :'name') as present \gset
\if :present
alter database :"name" rename to :"kept";
\endif
alter database :"new" rename to :"name";
commit;
END
trap - EXIT
back=''
if exists "$kept"; then
  back=", or go back: wisehosting-restore --undo $kept"
  say "the database before is kept as $kept; drop it when all is well"
fi

say "starting the control plane"
# It may have been tried too often with the database before.
systemctl reset-failed wisehosting-control-plane.service 2>/dev/null || true
systemctl start wisehosting-control-plane.service || {
  say "the control plane does not start with it:"
  journalctl --unit=wisehosting-control-plane.service --lines=5 --output=cat >&2
  die "mend what it says$back"
}
say "done: ${source:-$undo} is in place"
