#!/bin/sh
# Publish in a CVMFS repository what this kit has verified, as root of the machine that publishes: by cron, after pps-fetch or
# whatever brings previews here.
#
#   pps-cvmfs [--dry-run] REPOSITORY BASE          e.g. pps-cvmfs pps.example.org previews
#
# What is in force, and whole, goes to /cvmfs/REPOSITORY/BASE/<preview>, once; what has left this site's preview folder goes
# from there, too. A line for each is kept in /var/lib/pps-cvmfs/REPOSITORY (PPS_CVMFS_LOG), with the root hash of the
# catalog that came of it, as the repository publishes it (PPS_CVMFS_PUBLISHED: its .cvmfspublished):
#   <seconds since 1970> added|removed <product>@<platform> <sequence> <preview> <sha256 of MANIFEST> <root hash>
#include kit/settings.sh
#include kit/documents.sh
refuse() { printf 'pps-cvmfs: %s\n' "$2" >&2; exit 2; }
wrong() { printf '%s\n' "$*"; failed=1; }
kit=${0%/bin/*} dry='' failed=0 work=''
case $0 in /*) ;; *) refuse usage "start it by its whole path" ;; esac
[ "${1-}" != --dry-run ] || { dry=1; shift; }
[ $# -eq 2 ] || refuse usage "usage: pps-cvmfs [--dry-run] REPOSITORY BASE"
repository=$1 base=$2
is_name "$repository" || refuse usage "not the name of a repository: $repository"
case /$base/ in *[!A-Za-z0-9._+~/-]*|*//*|*/./*|*/../*) refuse usage "not a folder of a repository: $base" ;; esac
the_kit
export PATH LC_ALL=C
[ "$(id -u)" = 0 ] || [ "$switch" = none ] || refuse usage "run it as root"
log=${PPS_CVMFS_LOG:-/var/lib/pps-cvmfs/$repository}
published=${PPS_CVMFS_PUBLISHED:-/srv/cvmfs/$repository/.cvmfspublished}
command -v cvmfs_server >/dev/null 2>&1 || refuse kit "cvmfs_server is not here: this is no machine that publishes"
command -v flock >/dev/null 2>&1 || refuse kit "flock is not here: install util-linux"
umask 022
mkdir -p "${log%/*}" && true >>"$log" || exit 2
exec 9>"$log.lock" || exit 2
flock -n 9 || { wrong "another pps-cvmfs is at work for $repository; this one has done nothing"; exit 1; }
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 129' HUP INT TERM
work=$(mktemp -d "${TMPDIR:-/tmp}/pps-cvmfs.XXXXXX") || exit 2

asked() { # WORDS: what the kit says, as if the centre had asked
  case $switch in
    none) SSH_ORIGINAL_COMMAND="pps-kit 1 pps-cvmfs $*" "$kit/bin/pps-receive" ;;
    *) su -s /bin/sh -c "SSH_ORIGINAL_COMMAND='pps-kit 1 pps-cvmfs $*' '$kit/bin/pps-receive'" "$receiver" ;;
  esac </dev/null 2>/dev/null 9>&-
}

root_hash() { sed -n '1,/^--/s/^C\([0-9a-f]\{40,80\}\).*/\1/p' "$published" 2>/dev/null | head -n 1; }

# standing PREVIEW: the last line about it, if it was added and not removed since
standing() { awk -v preview="$1" '$5 == preview { last = $0 } END { if (last ~ /^[0-9]+ added /) print last }' "$log"; }

# ingested WORDS...: have it published, and only believe it if the root hash is another one afterwards
ingested() { # ADDED|REMOVED WHAT SEQUENCE PREVIEW DIGEST, then what cvmfs_server ingest takes
  line="$1 $2 $3 $4 $5"; name=$4; word=$1
  shift 5
  before=$(root_hash)
  if ! cvmfs_server ingest "$@" "$repository" >"$work/said" 2>&1 9>&-; then
    wrong "$name: cvmfs_server ingest failed: $(tail -n 1 "$work/said" | tr -c '\040-\176' ' ' | cut -c 1-200)"
    return 1
  fi
  after=$(root_hash)
  [ -n "$after" ] && [ "$after" != "$before" ] || {
    wrong "$name: cvmfs_server ingest ended well, but $published names ${after:-no root hash} as before: not taken for published"
    return 1
  }
  printf '%s %s %s\n' "$(date +%s)" "$line" "$after" >>"$log"
  printf '%s %s in /cvmfs/%s/%s, root hash %s\n' "$name" "$word" "$repository" "$base" "$after"
}

asked state >"$work/state"
grep -q '^PPS-STATE-END ' "$work/state" || { wrong "the kit does not answer"; exit 1; }
now=$(date +%s)
grep '^PPS-PRODUCT ' "$work/state" >"$work/products"
while read -r mark what sequence head action preview tag expires <&8; do
  [ "$action" = install ] && [ "$expires" -gt "$now" ] || continue
  [ -z "$(standing "$preview")" ] || continue
  digest=$(awk -v preview="$preview" '$1 == "PPS-HAS" && $2 == preview { print $3; exit }' "$work/state")
  [ -n "$digest" ] || { wrong "$what: $preview is in force, and not here yet"; continue; }
  seen=$(asked look "$what" "$preview" "$digest" | sed -n 's/^PPS-LOOK //p')
  [ "$seen" = intact ] || { wrong "$what: $preview is not as it was signed (${seen:-no answer}): not published"; continue; }
  if [ "$dry" ]; then echo "$what: would publish $preview"; continue; fi
  the_policy "$what"
  export PATH
  # all but what the receiver keeps there for this site; not every tar can leave something out
  set --
  for entry in "$preview_root/$preview"/* "$preview_root/$preview"/.[!.]*; do
    case ${entry##*/} in .pps-*) continue ;; esac
    [ ! -e "$entry" ] && [ ! -L "$entry" ] || set -- "$@" "./${entry##*/}"
  done
  tar -C "$preview_root/$preview" -cf "$work/tree.tar" "$@" 2>"$work/said" ||
    { wrong "$what: $preview cannot be read: $(tail -n 1 "$work/said")"; continue; }
  ingested added "$what" "$sequence" "$preview" "$digest" --catalog --tar_file "$work/tree.tar" --base_dir "$base/$preview"
  rm -f "$work/tree.tar"
done 8<"$work/products"
awk '$2 == "added" || $2 == "removed" { last[$5] = $0 } END { for (p in last) print last[p] }' "$log" | sort >"$work/all"
while read -r at word what sequence preview digest root <&8; do
  [ "$word" = added ] || continue
  ! grep -qF "PPS-HAS $preview " "$work/state" || continue
  if [ "$dry" ]; then echo "$what: would remove $preview"; continue; fi
  # older ones of cvmfs_server delete nothing unless something is brought as well
  printf '%s was withdrawn, or replaced long ago.\n' "$preview" >"$work/REMOVED"
  tar -C "$work" -cf "$work/tree.tar" REMOVED
  ingested removed "$what" "$sequence" "$preview" "$digest" \
    --delete "$base/$preview" --tar_file "$work/tree.tar" --base_dir "$base"
done 8<"$work/all"
exit "$failed"
