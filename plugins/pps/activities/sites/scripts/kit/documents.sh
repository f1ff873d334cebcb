# Of the kit: what was signed, by whom, and whether that is enough. Nothing of a document is looked at, beyond its length and
# its first line, before its signatures hold; then each line must be just what is expected there.
#
# What comes is one text, printable, of lines:
#   PPS-DOCUMENT <number of lines>      and so many lines
#   PPS-SIGNATURE <signer> <lines>      of the document before; <signer> is a name in the keys in force
#   ...                                 more of both
#   PPS-END

# opened FILE BYTES FOLDER KEYS: divide it: FOLDER/<n>.doc, FOLDER/<n>.<m>.sig, FOLDER/<n>.all, all of it as it came, and
# FOLDER/<n>.who with a line for each signature: name role person key, by the lines of KEYS for such documents; `unknown` and
# `revoked` stand for a role. How many documents in $opened. One process: a site has other things to do.
opened() {
  opened=$(LC_ALL=C awk -v bytes="$2" -v folder="$3" '
    function bad(text) { if (!wrong) print "no: line " FNR " " text; wrong = 1; exit }
    # a name that stands there twice is nobody
    function known(name,   which) {
      which = kind SUBSEP name
      return n[which] != 1 ? "unknown" : key[which] in revoked ? "revoked" : found[which]
    }
    FNR == 1 { file++ }
    file == 1 && $1 == "revoked" { revoked[$2] = 1 }
    file == 1 {
      which = $1 SUBSEP $2
      n[which]++; key[which] = $NF; found[which] = $1 == "signer" ? $3 " " $4 " " $NF : $1 " " $3 " " $NF
      next
    }
    { seen += length($0) + 1 }
    /[^ -~]/ { bad("is not printable") }
    left > 0 {
      if ($0 ~ /^pps-statement / && out ~ /\.doc$/ && !size) size = 1
      if (size && (size += length($0) + 1) > 4097) bad("makes the statement longer than 4096 bytes")
      if (!kind) kind = /^pps-root / ? "root" : /^pps-current / ? "current" : "signer"
      print >out; print >all; left--; if (!left) size = 0
      next
    }
    ended { bad("comes after the end") }
    $0 ~ /^PPS-DOCUMENT [1-9][0-9]?[0-9]?$/ {
      if (out) { close(out); close(all) }
      if (++docs > 40) bad("is one document too many")
      sigs = 0; kind = ""; left = $2; out = folder "/" docs ".doc"; all = folder "/" docs ".all"; print >all; next
    }
    $0 ~ /^PPS-SIGNATURE [a-z0-9][a-z0-9._-]* [1-9][0-9]?$/ {
      if (!docs) bad("is a signature of nothing")
      close(out)
      if (++sigs > 8) bad("is one signature too many")
      print $2, known($2) >(folder "/" docs ".who"); print >all
      left = $3; out = folder "/" docs "." sigs ".sig"; next
    }
    $0 == "PPS-END" { if (!docs) bad("ends before it begins"); ended = 1; print >all; next }
    { bad("is neither a document nor a signature") }
    END { if (!wrong) print (ended && !left && docs && seen == bytes ? docs : "no: it is cut off, or has a NUL") }' "$4" "$1")
  case $opened in ''|*[!0-9]*) refuse signed "what came is not signed documents${opened#no}" ;; esac
}

# signatures DOCUMENT KIND NAMESPACE: who has signed DOCUMENT (what `opened` made of it lies beside it): into ${1%.doc}.by a
# line for each that holds: role person key. KIND is what may sign it: signer, root or current. Why others do not count is
# in $why.
signatures() {
  which=${1%.doc} why='' nth=0
  true >"$which.by"
  [ -f "$which.who" ] || { why="nobody has signed it"; return 0; }
  while IFS=' ' read -r who role person key; do
    nth=$((nth + 1))
    case $role in
      unknown) not="there is no $2 $who among the keys in force" ;;
      revoked) not="the key of $who is revoked" ;;
      *)
        if "holds_by_$scheme" "$1" "$which.$nth.sig" "$who" "$3" "$key"; then
          printf '%s %s %s\n' "$role" "$person" "$key" >>"$which.by"
          continue
        fi
        not="the signature of $who does not hold" ;;
    esac
    why="$why${why:+; }$not"
  done <"$which.who"
}

# One process each; which of the two is said once, when the kit is installed (`scheme`).
holds_by_ssh() { # DOCUMENT SIGNATURE WHO NAMESPACE KEY
  printf '%s %s %s\n' "$3" "${5%%,*}" "${5#*,}" >"$2.allowed"
  ssh-keygen -Y verify -f "$2.allowed" -I "$3" -n "$4" -s "$2" <"$1" >/dev/null 2>&1
}

holds_by_openssl() { # the namespace is the document's first line, which is signed, too
  case $5 in rsa,*) ;; *) return 1 ;; esac
  pem_of "${5#*,}" >"$2.pem"
  base64 -d <"$2" >"$2.raw" 2>/dev/null &&
    openssl dgst -sha256 -verify "$2.pem" -signature "$2.raw" "$1" >/dev/null 2>&1
}

# pem_of BASE64: in lines of 64 letters; openssl reads no longer ones.
pem_of() {
  left=$1 line=????????????????????????????????????????????????????????????????
  echo '-----BEGIN PUBLIC KEY-----'
  while [ "${#left}" -gt 64 ]; do
    after=${left#$line}
    printf '%s\n' "${left%"$after"}"
    left=$after
  done
  printf '%s\n' "$left" '-----END PUBLIC KEY-----'
}

# two_people FILE [ROLE ROLE]: of the lines that `signatures` left, are there two of two people with two keys, one of each
# ROLE?
two_people() {
  while IFS=' ' read -r role person key; do
    [ "$role" = "${2-$role}" ] || continue
    while IFS=' ' read -r other_role other_person other_key; do
      [ "$other_role" = "${3-$other_role}" ] && [ "$person" != "$other_person" ] && [ "$key" != "$other_key" ] && return 0
    done <"$1"
  done <"$1"
  return 1
}

# --- the lines of a document -----------------------------------------------------------------------------------------

is_number() {
  case $1 in
    0) return 0 ;;
    [1-9]*) case $1 in *[!0-9]*) return 1 ;; esac; [ "${#1}" -le 15 ] ;;
    *) return 1 ;;
  esac
}
is_name() { case $1 in [!A-Za-z0-9]*|*[!A-Za-z0-9._+~-]*|'') return 1 ;; esac; [ "${#1}" -le 200 ]; }
is_digest() { case $1 in *[!0-9a-f]*|'') return 1 ;; esac; [ "${#1}" -eq 64 ]; }

# value_of KEY CHECK: read one line `KEY value` from standard input into $value, and refuse anything else.
value_of() {
  IFS= read -r line || refuse signed "the document ends before its line $1"
  value=${line#"$1" }
  { [ "$line" = "$1 $value" ] && "$2" "$value"; } || refuse signed "the document has '$line' where its line $1 is expected"
}

# read_statement FILE: into $product, $platform, ... ; the order of lines is fixed, and nothing may follow.
read_statement() {
  {
    IFS= read -r line && [ "$line" = "pps-statement 1" ] || refuse signed "this is no statement that this kit knows: '$line'"
    value_of product is_name; product=$value
    value_of platform is_name; platform=$value
    value_of action is_name; action=$value
    value_of preview is_name; preview=$value
    value_of tag is_name; tag=$value
    value_of sequence is_number; sequence=$value
    value_of manifest is_digest; manifest=$value
    value_of packed is_number; packed_most=$value
    value_of unpacked is_number; unpacked_most=$value
    value_of files is_number; files_most=$value
    value_of issued is_number; issued=$value
    value_of expires is_number; expires=$value
    value_of previous is_digest; previous=$value
    ! IFS= read -r line && [ -z "$line" ] || refuse signed "the statement goes on after its last line"
  } <"$1"
  case $action in install|remove) ;; *) refuse signed "the statement asks for '$action', which this kit does not know" ;; esac
}
