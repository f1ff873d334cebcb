# Of the kit: what the site remembers, in $state, a folder of the keeper alone (0700):
#   root.<n>                              keys that have replaced those of the installation
#   current.<issued>                      the newest list of what is in force
#   <product>@<platform>/<sequence>       each statement that was followed, with its signatures
# The highest number counts. A file gets its name by link(2), so each number is taken once, whoever comes at the same
# instant; it is whole and on the disk before that. Nothing is ever changed.

# highest FOLDER PREFIX: the highest number of a file FOLDER/PREFIX<n> in $highest; empty if there is none.
highest() {
  highest=
  for file in "$1/$2"*; do
    number=${file##*/}; number=${number#"$2"}
    is_number "$number" || continue
    [ -n "$highest" ] && [ "$number" -le "$highest" ] || highest=$number
  done
}

# remember FILE NAME: FILE, of $work, gets that name; false if another one has it. On the disk with `remember_for_good`.
remember() { ln "$1" "$state/$2" 2>/dev/null || cmp -s "$1" "$state/$2"; }
remember_for_good() {
  sync "$1" 2>/dev/null || sync
  remember "$1" "$2" || return 1
  sync "$state/$2" 2>/dev/null || sync
}

# number_in FILE: into $number, from its second line.
number_in() {
  number=
  { IFS= read -r line && IFS=' ' read -r line number; } <"$1"
  [ "$line" = number ] && is_number "$number"
}

# the_keys: the file of the keys in force in $keys, and their number in $keys_number.
the_keys() {
  highest "$state" root.
  keys=$kit/etc/root
  number_in "$keys" || refuse kit "$keys has no number in its second line: install the kit again"
  keys_number=$number
  [ -z "$highest" ] || [ "$highest" -le "$keys_number" ] || { keys=$state/root.$highest; keys_number=$highest; }
}

# take_root DOCUMENT: new keys, if they are signed by two of those in force and have the next number. Older ones are
# nothing new, and no fault: the centre sends all that a site may have slept through.
take_root() {
  number_in "$1" || refuse signed "the list of keys has no number in its second line"
  [ "$number" -gt "$keys_number" ] || return 0
  [ "$number" -eq $((keys_number + 1)) ] || refuse keys "keys number $number do not follow number $keys_number, which is in force here: send number $((keys_number + 1)) first"
  signatures "$1" root pps-root
  two_people "${1%.doc}.by" || refuse keys "keys number $number are not signed by two of the root keys in force${why:+: $why}"
  LC_ALL=C awk -v scheme="$scheme" '
    function bad() { exit_code = 1; exit }
    NR == 1 && $0 != "pps-root 1" { bad() }
    NR == 2 && $0 !~ /^number [0-9]+$/ { bad() }
    NR == 3 && $0 !~ /^issued [0-9]+$/ { bad() }
    NR == 4 && $0 != "scheme " scheme { bad() }
    NR > 4 && $0 !~ /^(root|current) [a-z0-9][a-z0-9._-]* [a-z0-9][a-z0-9._-]* [a-z0-9@.-]+,[A-Za-z0-9+\/=]+$/ &&
      $0 !~ /^signer [a-z0-9][a-z0-9._-]* [a-z-]+ [a-z0-9][a-z0-9._-]* [a-z0-9@.-]+,[A-Za-z0-9+\/=]+$/ && $0 !~ /^revoked [a-z0-9@.-]+,[A-Za-z0-9+\/=]+$/ { bad() }
    END { exit exit_code }' "$1" || refuse signed "keys number $number are not written as they must be"
  remember_for_good "$1" "root.$number" || refuse keys "other keys with number $number were taken at this very moment"
  the_keys
  say "PPS-KEYS $keys_number"
}

# take_current DOCUMENT: a newer list of what is in force.
take_current() {
  signatures "$1" current pps-current
  [ -s "${1%.doc}.by" ] || refuse signed "the list of what is in force is not signed by its key${why:+: $why}"
  read_current "$1"
  [ "$current_issued" -le $((now + skew)) ] || refuse clock "the list of what is in force is from the future; is the clock here right? It says $now"
  [ $((current_expires - current_issued)) -le $((8 * 86400)) ] || refuse signed "the list of what is in force holds for more than a week"
  highest "$state" current.
  [ -z "$highest" ] || [ "$current_issued" -gt "$highest" ] || return 0
  remember "$1" "current.$current_issued"
  for file in "$state"/current.*; do
    number=${file##*.}
    is_number "$number" && [ "$number" -lt "$current_issued" ] || continue
    # usually there is one, and it goes with all else at the end (`tidy`)
    [ -z "$spent" ] || rm -f "$spent"
    spent=$file
  done
}

read_current() { # FILE: into $current_issued, $current_expires, $current_root
  {
    IFS= read -r line && [ "$line" = "pps-current 1" ] || refuse signed "this is no list that this kit knows: '$line'"
    value_of issued is_number; current_issued=$value
    value_of expires is_number; current_expires=$value
    value_of root is_number; current_root=$value
  } <"$1"
}

# the_current: refuse unless what the site knows of the centre is fresh. Without it whoever holds the connection could
# keep a site from hearing that something was withdrawn, or that a key was stolen.
the_current() {
  highest "$state" current.
  [ -n "$highest" ] || refuse stale "no list of what is in force has come yet"
  current=$state/current.$highest
  read_current "$current"
  [ "$current_expires" -gt "$now" ] || refuse stale "the newest list of what is in force ended $(((now - current_expires) / 60)) minutes ago: nothing is installed or announced until a new one comes"
  [ "$current_root" -le "$keys_number" ] || refuse keys "keys number $current_root are in force, and only number $keys_number is here: send the next ones first"
}

# follows: may this statement be followed here, after those before it?
follows() {
  folder=$product@$platform
  highest "$state/$folder" ''
  last=${highest:-$start}
  followed=$last
  if [ -n "$highest" ] && [ "$sequence" -eq "$highest" ]; then
    said_before "$state/$folder/$highest" ||
      refuse replay "sequence $sequence was something else here"
  elif [ "$sequence" -lt "$last" ]; then
    refuse replay "sequence $sequence comes before $last, which was followed here, or was in force when the kit was made"
  elif [ "$sequence" -gt $((last + 1000)) ]; then
    refuse replay "sequence $sequence is more than 1000 ahead of $last"
  elif [ -n "$highest" ] && [ "$sequence" -eq $((highest + 1)) ]; then
    head_of "$folder/$highest"
    [ "$previous" = "$head" ] || refuse replay "it does not follow the statement $highest that this site has: the centre tells others something else"
  fi
  listed_sequence=
  while IFS=' ' read -r line listed_product listed_platform listed_number rest; do
    [ "$line $listed_product $listed_platform" = "head $product $platform" ] || continue
    [ -z "$listed_sequence" ] && is_number "$listed_number" || refuse signed "the list of what is in force has it twice"
    listed_sequence=$listed_number
  done <"$current"
  if [ -z "$listed_sequence" ]; then
    [ "$issued" -ge "$current_issued" ] || refuse replay "the list of what is in force does not have it"
  else
    [ "$sequence" -ge "$listed_sequence" ] || refuse replay "sequence $listed_sequence is in force already"
  fi
}

# said_before FILE: did that statement ask for the same, of the same content?
said_before() {
  same=
  while IFS= read -r line; do
    case $line in "manifest $manifest"|"action $action") same=$same+ ;; PPS-SIGNATURE*) break ;; esac
  done <"$1"
  [ "$same" = ++ ]
}

# head_of NAME: digest of the statement in a remembered file, in $head.
head_of() {
  head=$(LC_ALL=C sed '1d; /^PPS-SIGNATURE /,$d' "$state/$1" | sha256sum)
  head=${head%% *}
}
