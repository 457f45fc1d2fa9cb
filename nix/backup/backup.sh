# wisehosting-backup [--before VERSION | -- COMMAND…]: one dump of the control plane's database. The command takes it
# elsewhere; it is given the dump's path as its last argument.
#
# From the unit: BACKUP_DIRECTORY, BACKUP_METRICS, KEEP_AT_LEAST, KEEP_DAYS; DATABASE_URL or the credential
# database_url, and the credential database_password; and SECRET_DIRECTORY when the secret is copied too, which is the credential api_server_secret or
# SECRET_MADE, where the control plane keeps the one that it made.
# shellcheck shell=bash disable=SC2154

label='' version=''
while [ $# -gt 0 ]; do
  case $1 in
    --) shift && break ;;
    # Only when another version of the control plane left its mark here, or none did.
    --before) label=-before-upgrade version=$2 && shift 2 ;;
    *) die "unknown argument $1" ;;
  esac
done

credentials=${CREDENTIALS_DIRECTORY:-/nonexistent}
database_from "$credentials/database_url" "$credentials/database_password"
mark=$BACKUP_DIRECTORY/.control-plane-version

if [ -n "$version" ]; then
  if [ "$version" = "$(cat "$mark" 2>/dev/null)" ]; then exit 0; fi
  # The first start of all: nothing to lose yet.
  tables=$(psql -XAtqd "$(url "$database_name")" -c "select count(*) from pg_tables where schemaname = 'public' and tablename = '_sqlx_migrations'")
  if [ "$tables" = 0 ]; then
    printf '%s\n' "$version" >"$mark"
    exit 0
  fi
fi

# `sync FILE` is fsync: a dump has its name only once it is on the disk.
find "$BACKUP_DIRECTORY" -maxdepth 1 -name '.*.part' -delete
name=wisehosting-$(date -u +%Y%m%dT%H%M%SZ)$label.dump
part=$BACKUP_DIRECTORY/.$name.part
# Without what a restore kept.
pg_dump --format=custom --no-owner --no-privileges --lock-wait-timeout=60s --exclude-schema='before_restore_*' \
  --dbname="$(url "$database_name")" --file="$part"
# Read whole, as a restore would.
pg_restore --file=/dev/null "$part"
contents=$(pg_restore --list "$part")
grep -q ' TABLE DATA public _sqlx_migrations ' <<<"$contents" ||
  die "the dump does not hold the control plane's tables"
sync "$part"
mv "$part" "$BACKUP_DIRECTORY/$name"
if [ -n "${SECRET_DIRECTORY:-}" ]; then
  own=$credentials/api_server_secret
  if [ ! -e "$own" ]; then own=$SECRET_MADE; fi
  secret=$SECRET_DIRECTORY/api_server_secret
  cmp -s "$own" "$secret" || {
    # Another secret belongs to other dumps: the old one is kept beside it.
    if [ -e "$secret" ]; then mv "$secret" "$secret.until-$(date -u +%Y%m%dT%H%M%SZ)"; fi
    cat "$own" >"$secret.part"
    sync "$secret.part"
    mv "$secret.part" "$secret"
    sync "$SECRET_DIRECTORY"
  }
fi
if [ -n "$version" ]; then printf '%s\n' "$version" >"$mark"; fi
sync "$BACKUP_DIRECTORY"
say "wrote $BACKUP_DIRECTORY/$name ($(stat -c %s "$BACKUP_DIRECTORY/$name") bytes)"

# A dump that could not be taken elsewhere has failed, and nothing older goes before it could.
if [ $# -gt 0 ]; then "$@" "$BACKUP_DIRECTORY/$name"; fi

# Names sort by time. The newest stay however old they are: without new dumps none is lost.
mapfile -t dumps < <(find "$BACKUP_DIRECTORY" -maxdepth 1 -name 'wisehosting-*.dump' | sort -r)
for dump in "${dumps[@]:$KEEP_AT_LEAST}"; do
  if [ -n "$(find "$dump" -mmin "+$((KEEP_DAYS * 1440))")" ]; then rm "$dump"; fi
done

cat >"$BACKUP_METRICS/backup.prom.part" <<END
# HELP wisehosting_backup_last_success_seconds When the last dump was made and copied, as Unix time.
# TYPE wisehosting_backup_last_success_seconds gauge
wisehosting_backup_last_success_seconds $(date +%s)
# HELP wisehosting_backup_last_size_bytes Size of the last dump.
# TYPE wisehosting_backup_last_size_bytes gauge
wisehosting_backup_last_size_bytes $(stat -c %s "$BACKUP_DIRECTORY/$name")
END
chmod 0644 "$BACKUP_METRICS/backup.prom.part"
mv "$BACKUP_METRICS/backup.prom.part" "$BACKUP_METRICS/backup.prom"
