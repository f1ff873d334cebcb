# Of the kit: what is fetched from $from, in bounded numbers of bytes; for who fetches and for who relays.

# of what came from elsewhere: one line, printable
cleaned() { tr -c '\040-\176' ' ' | sed 's/  *$//' | cut -c 1-200; }

the_web() { # how to stop what takes longer than $seconds, and what wget understands
  limit=
  if command -v timeout >/dev/null 2>&1; then limit=timeout; fi
  gnu=
  case $(wget --version 2>/dev/null) in *'GNU Wget'*) gnu='-t 1 -T 60 --max-redirect=0' ;; esac
}

# web PLACE MOST: what is there, to standard output, at most MOST bytes. How it ended is in $work/ended.
web() {
  {
    if command -v curl >/dev/null 2>&1; then
      curl -q -sS -f -g --proto =http,https --connect-timeout 30 --speed-limit 100 --speed-time 60 --max-time "$seconds" "$from/1/$1"
    else
      # shellcheck disable=SC2086
      $limit ${limit:+"$seconds"} wget -q $gnu -O - "$from/1/$1"
    fi 2>"$work/said"
    echo $? >"$work/ended"
  } 9>&- | head -c "$2" # busybox' timeout outlives its command for a moment, and must not hold our lock
}
ended_well() { read -r ended <"$work/ended" && [ "$ended" = 0 ]; }
why_not() { why=$(head -n 2 "$work/said" 2>/dev/null | cleaned); printf '%s' "${why:-nothing came}"; }

# fetched PLACE MOST: a small file into $work/fetched; false if it is not there, or is longer.
fetched() {
  web "$1" $(($2 + 1)) >"$work/fetched"
  got=$(wc -c <"$work/fetched")
  [ "$got" -le "$2" ] || { printf 'it is longer than %s bytes' "$2" >"$work/said"; return 1; }
  ended_well && [ "$got" -gt 0 ]
}

# signed_value KEY: of the statement in what was fetched. Only looked at when the receiver has found it signed.
signed_value() {
  awk -v key="$1" '
    /^PPS-SIGNATURE / { inside = 0 }
    /^PPS-DOCUMENT / { getline; inside = ($0 == "pps-statement 1") }
    inside && $1 == key { print $2; exit }' "$work/papers"
}
