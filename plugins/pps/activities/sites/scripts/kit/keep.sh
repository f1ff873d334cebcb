#!/bin/sh
# The kit of a site: what may happen here, whoever asks (docs/kit.md; README of the kit).
#
# Installed by root as <kit>/bin/pps-keep, and started by pps-receive only, as the account that keeps the previews. All
# paths come from <kit>/etc, none from who asks. What is installed, announced or removed here was signed by two people.
#
# Order of the checks: length and alphabet; signatures; only then what it says: product, sizes, dates, sequence; only
# then a byte of the payload is read. The sequence is on the disk before the preview gets its name.
#include production_digest.sh
#include manifest_check.sh
#include safe_folder.sh
#include receiver_lock.sh
#include receiver_unpack.sh
#include receiver_verbs.sh
#include kit/settings.sh
#include kit/documents.sh
#include kit/state.sh

# --- what the receiver asks -------------------------------------------------------------------------------------------

payload_is_allowed() {
  [ "$packed" -le "$packed_most" ] || refuse damaged "$packed bytes are announced, and $packed_most are signed"
  [ "$listed" -le "$unpacked_most" ] || refuse damaged "the announced MANIFEST is larger than all that is signed"
}

# What two people signed is looked at all the same: they may have been given a tree that does not stay in its folder.
manifest_is_allowed() {
  why=$(LC_ALL=C awk -v listed="$listed" -v most="$unpacked_most" -v files_most="$files_most" '
    function bad(text) { if (!wrong) print text; wrong = 1; exit }
    /^# / { next }
    !/^[dfl] ([0-9a-f]+|-) 0[0-7][0-7][0-7] [0-9]+ ./ { bad("a line that is no file, folder or link of plain rights: " $0) }
    {
      kind = $1; size = $4; name = $0; sub(/^[^ ]+ [^ ]+ [^ ]+ [^ ]+ /, "", name)
      to = ""
      if (kind == "l") { at = index(name, " -> "); to = substr(name, at + 4); name = substr(name, 1, at - 1) }
      n = split(name, part, "/"); depth = n - 1
      for (i = 1; i <= n; i++) if (part[i] == "" || part[i] == "." || part[i] == ".." || part[i] ~ /^\.pps-/) bad("a name that may not be there: " name)
      if (kind == "l") {
        if (to == "" || to ~ /^\//) bad("a link that leads out of the preview: " name)
        n = split(to, part, "/")
        for (i = 1; i <= n; i++) if (part[i] == "..") { if (--depth < 0) bad("a link that leads out of the preview: " name) } else if (part[i] != "" && part[i] != ".") depth++
      }
      if (kind == "f") { files++; bytes += size }
    }
    END {
      if (files > files_most) bad(files " files, and " files_most " are signed")
      if (bytes + listed > most) bad(sprintf("%.0f bytes, and %s are signed", bytes + listed, most))
    }' "$stage/MANIFEST")
  [ -z "$why" ] || refuse damaged "MANIFEST has $why"
}

# Under the lock: somebody may have been faster with a later statement.
commit() {
  highest "$state/$folder" ''
  [ "${highest:-$start}" = "$followed" ] || follows
  [ -d "$state/$folder" ] || mkdir -m 700 "$state/$folder" 2>/dev/null || [ -d "$state/$folder" ] || refuse io "$state/$folder cannot be made $(no_room)"
  [ "$highest" = "$sequence" ] || remember_for_good "${statement%.doc}.all" "$folder/$sequence" || refuse replay "sequence $sequence became something else here a moment ago"
  followed=$sequence
}

# --- the verbs ---------------------------------------------------------------------------------------------------------

workplace() {
  # what was killed left it behind
  for old in "$state"/work.*; do
    [ ! -d "$old" ] || kill -0 "${old##*.}" 2>/dev/null || rm -rf "$old"
  done
  work=$state/work.$$
  why=$(mkdir -m 700 "$work" 2>&1) || { work=; refuse io "$why"; }
}

# signed_statement FILE BYTES: the last document of FILE must be a statement, and enough; those before it are taken.
signed_statement() {
  the_keys
  opened "$1" "$2" "$work" "$keys"
  at=0
  while [ $((at += 1)) -le "$opened" ]; do
    document=$work/$at.doc
    IFS= read -r first <"$document"
    case $first in
      'pps-root '*)
        before=$keys_number
        take_root "$document"
        # who may sign what follows is in the new keys
        [ "$keys_number" -eq "$before" ] || opened "$1" "$2" "$work" "$keys" ;;
      'pps-current '*) take_current "$document" ;;
      *) [ "$at" -eq "$opened" ] || refuse signed "something follows the statement" ;;
    esac
  done
  statement=$work/$opened.doc
  case $first in 'pps-statement '*) ;; *) return 1 ;; esac
  signatures "$statement" signer pps-statement
  two_people "${statement%.doc}.by" || refuse signatures "two people must have signed it with two keys of theirs${why:+: $why}"
  read_statement "$statement"
  the_policy "$product@$platform"
  two_people "${statement%.doc}.by" "$first_role" "$second_role" || refuse signatures "a $first_role and a $second_role must have signed it, two people${why:+: $why}"
  case $preview in "$product"-*) ;; *) refuse signed "$preview is no preview of $product" ;; esac
  [ "$issued" -le $((now + skew)) ] || refuse clock "the statement is from the future; is the clock here right? It says $now"
}

put() { # BYTES DEPTH SECONDS
  { [ $# -eq 3 ] && is_number "$1" && [ "$1" -ge 1 ] && [ "$1" -le 65536 ] && is_number "$3" && [ "$3" -le 86400 ]; } || refuse usage "put takes BYTES full|list SECONDS, at most 65536 and a day"
  seconds=$3
  workplace
  # so many bytes and not one of what follows
  $limit ${limit:+"$seconds"} dd bs="$1" count=1 iflag=fullblock <&5 >"$work/came" 2>/dev/null
  signed_statement "$work/came" "$1" || { say PPS-TAKEN; return 0; }
  [ "$expires" -gt "$now" ] || refuse expired "the statement ended $(((now - expires) / 60)) minutes ago"
  the_current
  follows
  if [ "$action" = remove ]; then
    commit
    said=$(votag remove "$tag") || case $said in *'PPS-VOTAG-END absent '*) ;; *) refuse tag "${said##*PPS-VOTAG-END }" ;; esac
    remove_preview "$preview" "$preview_root"
    return
  fi
  [ "$packed_most" -le "$packed_policy" ] && [ "$unpacked_most" -le "$unpacked_policy" ] && [ "$files_most" -le "$files_policy" ] ||
    refuse policy "it may have $packed_most bytes packed, $unpacked_most unpacked, $files_most files; this site takes $packed_policy, $unpacked_policy, $files_policy"
  install_preview "$preview" "$manifest" "$preview_root" "$production_root" "$profile_d" "$seconds" "$2" "$production_check"
  # also where it was here already
  commit
}

# standing PRODUCT@PLATFORM: what this site followed last, verified again: keys may have been revoked since.
standing() {
  the_policy "$1"
  workplace
  highest "$state/$1" ''
  [ -n "$highest" ] || refuse unknown "nothing of $1 has come to this site"
  kept=$state/$1/$highest
  signed_statement "$kept" "$(wc -c <"$kept")" || refuse kit "$kept is no statement"
}

votag() { sh "$kit/bin/pps-votag" "$1" "$tag_dir" "$subcluster" "$vo" ${2:+"$2"}; } # list|add|remove [TAG]

announce() { # PRODUCT@PLATFORM
  standing "$1"
  [ "$action" = install ] || refuse withdrawn "$preview was withdrawn"
  [ "$expires" -gt "$now" ] || refuse expired "the statement of $preview ended $(((now - expires) / 60)) minutes ago"
  the_current
  follows
  beat
  why=$(check_installed "$preview_root/$preview" "$manifest" full) || refuse damaged "$preview is not as it was signed: $why"
  still
  votag add "$tag"
}

# Whoever finds it broken may take an announcement away; but only one of ours.
conceal() { # PRODUCT@PLATFORM TAG
  the_policy "$1"
  is_name "$2" && LC_ALL=C grep -qxhs "tag $2" "$state/$1"/* || refuse unknown "no statement that was followed here has the tag $2"
  votag remove "$2"
}

look() { # PRODUCT@PLATFORM NAME DIGEST
  the_policy "$1"
  { is_name "$2" && is_digest "$3"; } || refuse usage "look takes PRODUCT@PLATFORM NAME DIGEST"
  look_at_preview "$2" "$3" "$preview_root"
}

# What no statement in force asks for may go without one.
tidy_away() { # PRODUCT@PLATFORM NAME
  standing "$1"
  is_name "$2" || refuse usage "not a name: $2"
  [ "$2" != "$preview" ] || [ "$action" = remove ] || [ "$expires" -le "$now" ] ||
    refuse signed "$2 is signed and in force until $expires: a signed withdrawal, or what follows it, lets it go"
  LC_ALL=C grep -qxhs "preview $2" "$state/$1"/* || refuse unknown "no statement that was followed here has a preview $2"
  remove_preview "$2" "$preview_root"
}

probe() { # PRODUCT@PLATFORM NAME BEFORE LIMIT VARIABLES
  [ $# -eq 5 ] || refuse usage "probe takes PRODUCT@PLATFORM NAME BEFORE LIMIT VARIABLES"
  the_policy "$1"
  is_name "$2" || refuse usage "not a name: $2"
  set -- "$kit/bin/pps-probe" "$@"
  case $switch in sudo) set -- sudo -n -u "$prober" -- "$@" ;; esac
  exec "$@" 5<&-
}

tell_state() {
  the_keys
  say "PPS-KIT 1 $scheme keys $keys_number"
  highest "$state" current.
  if [ -z "$highest" ]; then say "PPS-CURRENT none"
  else
    read_current "$state/current.$highest"
    [ "$current_expires" -gt "$now" ] && fresh=fresh || fresh=stale
    say "PPS-CURRENT $fresh $current_issued $current_expires"
  fi
  for file in "$kit"/etc/products/*; do
    each=${file##*/}
    the_policy "$each"
    highest "$state/$each" ''
    [ -n "$highest" ] || { say "PPS-PRODUCT $each none"; continue; }
    head_of "$each/$highest"
    say "PPS-PRODUCT $each $highest $head $(sed -n '2,/^PPS-SIGNATURE/{s/^action //p; s/^preview //p; s/^tag //p; s/^expires //p;}' "$state/$each/$highest" | tr '\n' ' ')"
    say "PPS-SINCE $each $(date -r "$state/$each/$highest" +%s)"
    for held in "$preview_root/${each%%@*}"-*/.pps-ok; do
      held=${held%/.pps-ok}
      ours "$held" && [ -f "$held/.pps-ok" ] && [ ! -L "$held/.pps-ok" ] && read -r digest <"$held/.pps-ok" && is_digest "$digest" && say "PPS-HAS ${held##*/} $digest"
    done
    votag list | sed -n 's/^PPS-TAG //p' | while read -r shown; do
      # only what is ours: other tags are the site's own business
      is_name "$shown" && LC_ALL=C grep -qxhs "tag $shown" "$state/$each"/* && say "PPS-TAG $shown"
    done
  done
  say "PPS-STATE-END $now"
}

mine='' child='' heart='' work='' spent=''
umask 022
exec 5<&0
case $0 in /*) ;; *) echo "PPS-REFUSE kit pps-keep is started by its whole path" && exit 1 ;; esac
kit=${0%/bin/*}
the_kit
export PATH LC_ALL=C
tidy() {
  give_back
  [ -z "$work" ] || rm -rf "$work" ${spent:+"$spent"}
}
trap tidy EXIT
trap 'exit 129' HUP INT TERM PIPE
now=$(date +%s)
[ -d "$state" ] && [ -O "$state" ] || refuse kit "$state is no folder of the account that keeps the previews: ask the site's root (bin/pps-kit-check)"
nonce=$1 verb=$2
[ $# -lt 2 ] || shift 2
printf '\n%s\n' "$nonce"
case $verb in
  clock) say "PPS-CLOCK $now" ;;
  state) tell_state ;;
  put) put "$@" ;;
  look) look "$@" ;;
  tag) announce "$@" ;;
  untag) conceal "$@" ;;
  remove) tidy_away "$@" ;;
  probe) probe "$@" ;;
  *) refuse usage "this kit does: put state look tag untag remove clock probe; not '$verb'" ;;
esac
