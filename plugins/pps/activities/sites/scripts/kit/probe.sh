#!/bin/sh
# The kit of a site: the probes of a preview, as an account that may change nothing of kit, keys, state or previews: they
# run the preview's programs. Started by pps-keep: pps-probe PRODUCT@PLATFORM NAME BEFORE LIMIT VARIABLES.
#include kit/settings.sh
#include kit/documents.sh
refuse() { printf 'PPS-REFUSE %s %s\n' "$1" "$2"; exit 1; }
kit=${0%/bin/*}
[ $# -eq 5 ] || refuse usage "probe takes PRODUCT@PLATFORM NAME BEFORE LIMIT VARIABLES"
the_kit
export PATH LC_ALL=C
the_policy "$1"
is_name "$2" && is_number "$4" && [ "$4" -le 3600 ] || refuse usage "not a name and a number of seconds up to 3600: $2 $4"
case $3$5 in *[!A-Za-z0-9_:.,-]*) refuse usage "neither production nor variables look like that" ;; esac
digest=
[ ! -f "$preview_root/$2/.pps-ok" ] || read -r digest <"$preview_root/$2/.pps-ok"
is_digest "$digest" || refuse unknown "$2 is not installed here"
exec sh "$kit/bin/pps-probes" "$preview_root/$2" "$digest" "$production_root" "$profile_d" "$3" "$4" "$5"
