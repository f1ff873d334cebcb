#!/bin/sh
# Serve the sites of a region: copy what they fetch to a folder for any web server, by cron.
#
#   pps-relay FROM FOLDER SCHEME PRODUCT@PLATFORM...
#
#   FROM      address of the centre, or of another relay
#   FOLDER    what your web server serves, and what sites name in etc/fetch
#   SCHEME    how their kits check signatures: ssh, or openssl
#
# It verifies nothing and needs no secret: sites verify (docs/kit.md). Only sizes are looked at, so that nobody fills its
# disk. What is not whole is not put in its place, and papers come last, so that a site finds what they name. PPS_RELAY_MOST is
# how many bytes one payload may have (4 GiB).
#include kit/documents.sh
#include kit/web.sh
refuse() { printf 'pps-relay: %s\n' "$2" >&2; exit 2; }
wrong() { printf '%s\n' "$*"; failed=1; }
PATH=${PATH:-/usr/bin:/bin}
export LC_ALL=C
umask 022
[ $# -ge 4 ] || refuse usage "usage: pps-relay FROM FOLDER SCHEME PRODUCT@PLATFORM..."
from=${1%/} folder=$2 scheme=$3 seconds=3600 failed=0 work='' biggest=${PPS_RELAY_MOST:-4294967296}
shift 3
case $from in http://?*|https://?*) ;; *) refuse usage "$from is no address of http or https" ;; esac
case $scheme in ssh|openssl) ;; *) refuse usage "$scheme is neither ssh nor openssl" ;; esac
is_number "$biggest" || refuse usage "PPS_RELAY_MOST is no number of bytes: $biggest"
for what do
  case $what in *@*) ;; *) refuse usage "not a product and its platform: $what" ;; esac
  { is_name "${what%%@*}" && is_name "${what#*@}"; } || refuse usage "not a product and its platform: $what"
done
mkdir -p "$folder/1/$scheme" "$folder/1/payloads" || exit 2
the_web
exec 9>"$folder/.lock" || exit 2
command -v flock >/dev/null 2>&1 || refuse kit "flock is not here: install util-linux"
flock -n 9 || { wrong "another pps-relay is at work in $folder; this one has done nothing"; exit 1; }
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 129' HUP INT TERM
rm -rf "$folder"/.work.*
work=$folder/.work.$$
mkdir -m 700 "$work" || exit 2

in_place() { chmod 644 "$1" && mv "$1" "$2"; }

# copied NAME BYTES SHA256 MANIFEST: a payload; false if it did not come as the list says. That is no check of what is
# signed, which is for sites; it keeps what was broken on its way from staying here.
copied() {
  place=$folder/1/payloads/$4/$1
  [ ! -f "$place" ] || [ "$(($(wc -c <"$place")))" -ne "$2" ] || return 0
  web "payloads/$4/$1" $(($2 + 1)) >"$work/payload"
  got=$(($(wc -c <"$work/payload")))
  ended_well && [ "$got" -eq "$2" ] || { wrong "$4/$1: $got of $2 bytes came: $(why_not)"; return 1; }
  [ "$(sha256sum <"$work/payload")" = "$3  -" ] || { wrong "$4/$1: other bytes came than the list says; the next run tries again"; return 1; }
  in_place "$work/payload" "$place"
}

# payloads MANIFEST: what its list names and is no larger than the papers say, into its place; the list of what came last.
payloads() {
  most=$(signed_value packed)
  is_number "$most" && [ "$most" -le "$biggest" ] || { wrong "$what: a payload may have ${most:-no} bytes, and this relay takes $biggest"; return 1; }
  fetched "payloads/$1/list" 8192 || { wrong "$what: there is no list of payloads: $(why_not)"; return 1; }
  mkdir -p "$folder/1/payloads/$1"
  awk -v most=$((most + 36)) '
    NF == 3 && $1 == "full" { name = "full"; bytes = $2; sum = $3 }
    NF == 4 && $1 == "from" && $2 ~ /^[0-9a-f]+$/ && length($2) == 64 { name = "from-" $2; bytes = $3; sum = $4 }
    sum !~ /^[0-9a-f]+$/ || length(sum) != 64 { name = "" }
    name && bytes ~ /^[0-9]+$/ && length(bytes) < 13 && bytes + 0 <= most { print name, bytes, sum }
    { name = "" }' "$work/fetched" | head -n 10 >"$work/wanted"
  true >"$work/list"
  while IFS=' ' read -r name bytes sum <&8; do
    copied "$name" "$bytes" "$sum" "$1" || continue
    printf '%s %s %s\n' "$(printf %s "$name" | sed 's/^from-/from /')" "$bytes" "$sum" >>"$work/list"
  done 8<"$work/wanted"
  grep -q '^full ' "$work/list" || { wrong "$what: what a site without anything needs did not come"; return 1; }
  in_place "$work/list" "$folder/1/payloads/$1/list"
}

for what do
  fetched "$scheme/$what" 65536 || { wrong "$what: $from has nothing for it: $(why_not)"; continue; }
  mv "$work/fetched" "$work/papers"
  manifest=$(signed_value manifest)
  if [ "$(signed_value action)" = install ]; then
    is_digest "$manifest" || { wrong "$what: its papers name no MANIFEST"; continue; }
    payloads "$manifest" || continue
    true >"$folder/1/payloads/$manifest/.asked"
  fi
  in_place "$work/papers" "$folder/1/$scheme/$what"
done
if fetched "$scheme/current" 65536; then in_place "$work/fetched" "$folder/1/$scheme/current"
else wrong "current: $from does not have it: $(why_not)"
fi
# what nobody has been told of for a month
find "$folder/1/payloads" -mindepth 2 -maxdepth 2 -name .asked -mtime +30 | while IFS= read -r old; do rm -rf "${old%/.asked}"; done
exit "$failed"
