# Of the kit: the centre is told what this site has; for pps-fetch. It is told how things stand, not what has happened: what
# does not arrive is in the next one. What each line is stands in the centre's activities/clients/reports.py.

# kept_probes WHAT SEQUENCE: what the probes have just said of it, for this report and the next ones.
kept_probes() {
  for file in "$run/probes.$1."*; do rm -f "$file"; done
  grep -E '^PPS-PROBES?( |-END )' "$work/probes" | tr -c '\012\040-\176' '?' | cut -c 1-500 | head -n 60 >"$run/probes.$1.$2"
}

written_report() {
  echo "PPS-REPORT 1"
  grep '^PPS-' "$work/state" | grep -vx PPS-WAIT # without what tells a request's answers from others
  while IFS=' ' read -r what here_is; do
    sequence=${here_is%% *}
    if is_number "$sequence" && [ -f "$run/probes.$what.$sequence" ]; then
      read -r before 2>/dev/null <"$run/before.$what.$sequence" || before=-
      printf 'PPS-PROBED %s %s %s\n' "$what" "$sequence" "$before"
      cat "$run/probes.$what.$sequence"
    fi
    awk -v what="$what" '
      index($0, what ": ") == 1 { text = text (text == "" ? "" : " ") substr($0, length(what) + 3) }
      END { if (text != "") print "PPS-WRONG", what, substr(text, 1, 400) }' "$work/wrong"
  done <"$work/here"
  echo "PPS-REPORT-END"
}

# reported: by curl or GNU wget, and with the token in a file: what stands on a command line is everybody's to read.
reported() {
  [ "$report" ] || return 0
  [ -f "$run/token" ] || { told "nothing is reported: there is no $run/token (ask whoever coordinates for it)"; return 0; }
  token=''
  read -r token 2>/dev/null <"$run/token" || true # a last line without an end is one, too
  case $token in ''|*[!A-Za-z0-9_-]*) wrong "nothing is reported: $run/token holds no token"; return 0 ;; esac
  [ -f "$work/wrong" ] || true >"$work/wrong"
  written_report >"$work/report" 9>&-
  true >"$work/answer"
  if command -v curl >/dev/null 2>&1; then
    printf 'header = "Authorization: Bearer %s"\nheader = "Content-Type: text/plain"\n' "$token" >"$work/head"
    curl -q -sS -g --proto =http,https --connect-timeout 30 --max-time 120 -K "$work/head" --data-binary "@$work/report" \
      -o "$work/answer" -w '%{http_code}' "$report" >"$work/code" 2>"$work/said"
  elif [ "$gnu" ]; then
    printf 'header = Authorization: Bearer %s\nheader = Content-Type: text/plain\n' "$token" >"$work/head"
    # shellcheck disable=SC2086
    $limit ${limit:+120} wget -nv $gnu --config="$work/head" --content-on-error --post-file="$work/report" -O "$work/answer" \
      "$report" 2>"$work/said"
    case $? in 0) echo 200 ;; *) echo "wget ended with $?" ;; esac >"$work/code"
  else wrong "nothing is reported: that needs curl or GNU wget"; return 0
  fi 9>&-
  code=''
  read -r code 2>/dev/null <"$work/code" || true
  case $code in
    200|201) told "reported to $report" ;;
    *) wrong "not reported to $report (${code:-no answer}): $(sed 's/^{"detail":"//; s/"}$//' "$work/answer" "$work/said" 2>/dev/null | grep -v '^ *HTTP/' | head -n 3 | cleaned)" ;;
  esac
}
