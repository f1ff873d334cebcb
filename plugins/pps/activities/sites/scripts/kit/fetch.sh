#!/bin/sh
# The kit of a site: fetch what is in force, and hand it to the receiver as the centre would over SSH. For cron, as the
# account that receives: pps-fetch [--dry-run] [--thoroughly] [--announce] [--quiet]
#
#   --dry-run      says what it would do; changes nothing, and so has nothing verified
#   --thoroughly   compares every file with what was signed, and tries again what its probes did not pass
#   --announce     puts a tag back that somebody took away here
#   --quiet        says only what is new, or wrong
#
# Nothing that it fetches is believed: it reads bounded numbers of bytes, takes names from this site's policy and not from
# what came, and leaves all judging to the receiver, which lets it do no more than the centre (docs/kit.md). The address is in
# etc/fetch; any web server, cache or mirror will do. It may write to one folder of its own (`run`), for its lock,
# what is under way, and what it has tried; nothing in there is believed by anybody else. At the end it tells the centre what
# this site has, if its root has put a token there.
#
# Below the address:
#   1/<scheme>/<product>@<platform>        keys, what is current, and the newest statement with its signatures
#   1/<scheme>/current                     the same without a statement
#   1/payloads/<digest of MANIFEST>/list   which there are, with bytes and sha256: `full 123 <sha>`, `from <digest> 45 <sha>`
#   1/payloads/<digest of MANIFEST>/full   what a site without anything needs
#   1/payloads/<digest of MANIFEST>/from-<digest of the MANIFEST that it builds upon>
#include kit/settings.sh
#include kit/documents.sh
#include kit/web.sh
#include kit/report.sh

refuse() { printf 'pps-fetch: %s\n' "$2" >&2; exit 2; }
news() { printf '%s\n' "$*"; }
told() { [ "$quiet" ] || news "$@"; }
wrong() { news "$@"; failed=1; [ -z "$work" ] || printf '%s\n' "$*" | cleaned_lines >>"$work/wrong"; }

# asked WORDS...: one request to the receiver, as if the centre had made it.
asked() { SSH_ORIGINAL_COMMAND="pps-kit 1 pps-fetch $*" "$kit/bin/pps-receive" </dev/null 2>/dev/null 9>&-; }

# look_here: what this site has, into $work/state, and of each product a line in $work/here:
#   <product>@<platform> <sequence> <action> <preview> <tag> <expires>     (of one that has followed nothing: `none`)
look_here() {
  asked state >"$work/state"
  grep -q '^PPS-STATE-END ' "$work/state" || {
    wrong "the kit does not answer: $(grep '^PPS-' "$work/state" | tail -n 1 | cleaned)"
    exit 1
  }
  awk '$1 == "PPS-PRODUCT" { if ($3 == "none") print $2, "none"; else print $2, $3, $5, $6, $7, $8 }' "$work/state" >"$work/here"
}
shows_tag() { grep -qxF "PPS-TAG $1" "$work/state"; }

# send: the receiver is ready for the payload. The smallest one is taken that builds upon something that is here.
send() {
  manifest=$(signed_value manifest) most=$(signed_value packed) base='' below=''
  is_digest "$manifest" && is_number "$most" || { exec 3>&-; return; }
  if [ -z "$whole" ] && fetched "payloads/$manifest/list" 8192; then
    IFS=' ' read -r base below <<PPS_BASE
$(awk '
    FNR == 1 { file++ }
    file == 1 { if ($1 == "PPS-HAS") name[$3] = $2; next }
    $1 == "full" && NF == 3 && $2 ~ /^[0-9]+$/ { all = $2 }
    $1 == "from" && NF == 4 && $3 ~ /^[0-9]+$/ && ($2 in name) && (least == "" || $3 + 0 < least + 0) { least = $3; digest = $2 }
    END { if (digest != "" && (all == "" || least + 0 < all + 0)) print name[digest], digest }' "$work/heard" "$work/fetched")
PPS_BASE
  fi
  if [ -n "$base" ]; then echo "delta $base" >&3; place=from-$below; else echo full >&3; place=full; fi
  # as much as is signed, and the line before it: who sends without an end is cut off there
  web "payloads/$manifest/$place" $((most + 36)) >&3
  exec 3>&-
}

# offer: what was fetched, to the receiver; its last word into $outcome. The receiver's own lock keeps others out.
offer() {
  outcome='' before=- damaged='' base=''
  rm -f "$work/to" "$work/says"
  mkfifo -m 600 "$work/to" "$work/says" || exit 2
  true >"$work/heard"
  rm -f "$work/said"
  SSH_ORIGINAL_COMMAND="pps-kit 1 pps-fetch put $(($(wc -c <"$work/papers"))) $depth $seconds" \
    "$kit/bin/pps-receive" <"$work/to" >"$work/says" 2>/dev/null 9>&- &
  exec 3>"$work/to" 4<"$work/says"
  cat "$work/papers" >&3
  while IFS= read -r line <&4; do
    case $line in
      'PPS-PRODUCTION '*) before=${line#* } ;;
      'PPS-HAS '*) printf '%s\n' "$line" >>"$work/heard" ;;
      'PPS-DAMAGED '*)
        # as the night does: no job is sent there while it is not whole
        damaged=${line#* }
        tag=$(signed_value tag)
        wrong "$what: $(signed_value preview) is not as it was signed ($damaged); it is fetched again"
        ! shows_tag "$tag" || announced untag "$what" "$tag"
        ;;
      PPS-READY)
        # what production was before anything is written: probes compare with that, also those of a later run
        printf '%s\n' "$before" >"$run/before.$what.$(signed_value sequence)"
        send
        ;;
      PPS-ALREADY*|PPS-INSTALLED*|PPS-REMOVED*|PPS-TAKEN*|PPS-REFUSE*) outcome=$line ;;
    esac
  done
  exec 3>&- 4<&-
  wait $!
}

# announced tag|untag WHAT [TAG]: true if the list is as it was asked for.
announced() {
  answer=$(asked "$@" | grep '^PPS-' | tail -n 1)
  case $answer in
    'PPS-VOTAG-END added'*|'PPS-VOTAG-END present'*) return 0 ;;
    'PPS-VOTAG-END removed'*) news "$2: the tag $3 was taken away" ;;
    'PPS-VOTAG-END absent'*) ;;
    *) wrong "$2: the receiver would not $1: $(printf '%s' "$answer" | cleaned)"; return 1 ;;
  esac
}

# probed_and_announced: as after a push: probes, and the tag if they say that all is well. What has passed and was announced
# once is not announced again by itself: somebody may have taken it away because it is broken.
probed_and_announced() {
  preview=$(signed_value preview) tag=$(signed_value tag) sequence=$(signed_value sequence)
  tried=''
  [ "$1" = new ] || read -r tried 2>/dev/null <"$run/tried.$what" || tried=''
  case $tried in
    "$sequence announced")
      shows_tag "$tag" && { told "$what: $preview is here and announced"; return; }
      [ "$announce" ] || { told "$what: the tag $tag was taken away here, and is not put back (pps-fetch --announce)"; return; } ;;
    "$sequence failed")
      [ "$depth" = full ] || { told "$what: the probes of $preview have failed; they are tried again by --thoroughly"; return; } ;;
    *) ! shows_tag "$tag" || [ "$1" = new ] || { told "$what: $preview is here and announced"; return; } ;;
  esac
  read -r before 2>/dev/null <"$run/before.$what.$sequence" || before=-
  for file in "$run/before.$what."*; do
    [ "$file" = "$run/before.$what.$sequence" ] || rm -f "$file"
  done
  asked probe "$what" "$preview" "$before" 60 - >"$work/probes"
  kept_probes "$what" "$sequence"
  # one line for each probe that the end counts, each one of them OK or a warning
  if awk '
    $1 == "PPS-PROBE" { n++; if ($3 != "OK" && $3 != "WARNING") bad = 1 }
    $1 == "PPS-PROBES-END" { end = $2 }
    END { exit !(n > 0 && n == end && !bad) }' "$work/probes"; then
    announced tag "$what" || return
    printf '%s announced\n' "$sequence" >"$run/tried.$what"
    news "$what: $preview has passed its probes and is announced as $tag"
  else
    printf '%s failed\n' "$sequence" >"$run/tried.$what"
    wrong "$what: $preview is not announced, its probes say:"
    grep -E '^PPS-(PROBE [a-z]+ (CRITICAL|UNKNOWN)|REFUSE) ' "$work/probes" | cleaned_lines | sed 's/^/  /'
    ! shows_tag "$tag" || [ "$1" != new ] || announced untag "$what" "$tag"
  fi
}
cleaned_lines() { tr -c '\040-\176\n' ' ' | sed 's/|.*//' | cut -c 1-200; }

# followed: what the receiver said to it, in words; and what a push would do next.
followed() {
  offer
  case $base:$outcome in
    ?*:'PPS-REFUSE unpack '*|?*:'PPS-REFUSE damaged '*|?*:'PPS-REFUSE io '*)
      news "$what: what builds upon $base was of no use (${outcome#PPS-REFUSE }); everything is fetched"
      whole=1 offer ;;
  esac
  case $outcome in
    PPS-INSTALLED*) news "$what: $(signed_value preview) is installed, statement $(signed_value sequence)${base:+, upon $base}"; probed_and_announced new ;;
    PPS-ALREADY*) probed_and_announced old ;;
    'PPS-REMOVED absent') told "$what: $(signed_value preview) was withdrawn, and is not here" ;;
    PPS-REMOVED*) news "$what: $(signed_value preview) was withdrawn, and is gone" ;;
    PPS-TAKEN*) told "$what: nothing of it is in force" ;;
    'PPS-REFUSE replay '*) wrong "$what: $from is behind, or somebody plays old things (${outcome#PPS-REFUSE replay }); what is here stays" ;;
    'PPS-REFUSE stale '*) wrong "$what: $from has had no news for too long (${outcome#PPS-REFUSE stale }); what is here stays" ;;
    'PPS-REFUSE busy '*) told "$what: ${outcome#PPS-REFUSE busy }; the next run tries again" ;;
    'PPS-REFUSE unpack '*|'PPS-REFUSE input '*|'PPS-REFUSE damaged '*)
      wrong "$what: the payload of $from is broken off, or is not what was signed, and was thrown away: ${outcome#PPS-REFUSE }" ;;
    'PPS-REFUSE '*) wrong "$what: refused: ${outcome#PPS-REFUSE }" ;;
    *) wrong "$what: the receiver ended without an answer" ;;
  esac
}

# in_words: of a dry run, which believes what it read as little as any other.
in_words() {
  sequence=$(signed_value sequence | cleaned) here=${here_is%% *}
  if [ -z "$sequence" ]; then news "$what: $from offers no statement; here is ${here:-none}"
  elif [ "$sequence" = "$here" ]; then news "$what: nothing new; statement $here is what is here"
  else news "$what: would hand to the receiver: statement $sequence, to $(signed_value action | cleaned) $(signed_value preview | cleaned); here is ${here:-none}. Not verified yet"
  fi
}

# tidied: what is no longer in force here, and nobody takes away over SSH. The receiver lets go of nothing else.
tidied() { # SEQUENCE ACTION PREVIEW TAG EXPIRES
  is_number "$5" || return 0
  [ "$5" -gt "$now" ] || ! shows_tag "$4" || announced untag "$what" "$4"
  since=$(awk -v what="$what" '$1 == "PPS-SINCE" && $2 == what { print $3 }' "$work/state")
  is_number "$since" && [ "$since" -lt $((now - keep_days * 86400)) ] || return 0
  awk -v what="$what" -v preview="$3" -v tag="$4" '
    $1 == "PPS-PRODUCT" { mine = ($2 == what) }
    mine && $1 == "PPS-TAG" && $2 != tag { print "untag", $2 }
    mine && $1 == "PPS-HAS" && $2 != preview { print "remove", $2 }' "$work/state" | sort -r >"$work/old"
  while read -r verb name; do
    case $verb in
      untag) announced untag "$what" "$name" ;;
      remove) answer=$(asked remove "$what" "$name" | grep '^PPS-' | tail -n 1)
        case $answer in
          'PPS-REMOVED '*) news "$what: $name was replaced more than $keep_days days ago, and is gone" ;;
          *) wrong "$what: $name cannot be removed: $(printf '%s' "$answer" | cleaned)" ;;
        esac ;;
    esac
  done <"$work/old"
}

kit=${0%/bin/*} dry='' depth=list announce='' quiet='' failed=0 whole='' work='' from='' site='' run='' seconds='' keep_days='' report=''
for word do
  case $word in
    --dry-run) dry=1 ;;
    --thoroughly) depth=full ;;
    --announce) announce=1 ;;
    --quiet) quiet=1 ;;
    *) refuse usage "usage: pps-fetch [--dry-run] [--thoroughly] [--announce] [--quiet]" ;;
  esac
done
case $0 in /*) ;; *) refuse usage "start it by its whole path" ;; esac
umask 077
[ -f "$kit/etc/fetch" ] || refuse kit "this site does not fetch: there is no $kit/etc/fetch (docs/kit.md)"
the_kit
settings "$kit/etc/fetch" from site run seconds keep_days
export PATH LC_ALL=C
case $from in http://?*|https://?*) ;; *) refuse kit "$kit/etc/fetch says from $from, which is no address of http or https" ;; esac
case $report in ''|http://?*|https://?*) ;; *) refuse kit "$kit/etc/fetch says report $report, which is no address of http or https" ;; esac
case $report in *[!A-Za-z0-9._~:/%@+-]*) refuse kit "$kit/etc/fetch says report $report, which is no plain address" ;; esac
case $from in *[!][A-Za-z0-9._~:/%@+-]*) refuse kit "$kit/etc/fetch says from $from, which is no plain address" ;; esac
from=${from%/}
for number in "$seconds" "$keep_days"; do
  is_number "$number" && [ "$number" -le 86400 ] || refuse kit "$kit/etc/fetch has $number where a number up to 86400 must be"
done
[ "$(id -un)" = "$receiver" ] || [ "$switch" = none ] || refuse usage "run it as $receiver: sudo -u $receiver $kit/bin/pps-fetch"
[ -d "$run" ] && [ -O "$run" ] || refuse kit "$run is no folder of the account $(id -un)'s: ask the site's root (bin/pps-kit-check)"
the_web
exec 9>"$run/lock" || refuse kit "$run cannot be written to"
command -v flock >/dev/null 2>&1 || refuse kit "flock is not here: install util-linux"
flock -n 9 || { wrong "another pps-fetch is at work here; this one has done nothing"; exit 1; }
trap '' PIPE
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 129' HUP INT TERM
# what was killed left it behind; we have the lock
rm -rf "$run"/work.*
work=$run/work.$$
mkdir -m 700 "$work" || exit 2
now=$(date +%s)

look_here
while IFS=' ' read -r what here_is <&8; do
  # a name of this site's policy; the receiver has looked at its form
  if fetched "$scheme/$what" 65536; then mv "$work/fetched" "$work/papers"
  elif gone=$(why_not) && fetched "$scheme/current" 65536; then mv "$work/fetched" "$work/papers"
  else wrong "$what: $from has nothing for it: ${gone:-$(why_not)}"; continue
  fi
  if [ "$dry" ]; then in_words; continue; fi
  whole=''
  followed
done 8<"$work/here"
[ "$dry" ] || {
  look_here
  while IFS=' ' read -r what here_is <&8; do
    # shellcheck disable=SC2086
    [ "$here_is" = none ] || tidied $here_is
  done 8<"$work/here"
  look_here
  reported
}
[ -z "$dry" ] || [ -z "$report" ] || news "would report to $report what this site has"
exit "$failed"
