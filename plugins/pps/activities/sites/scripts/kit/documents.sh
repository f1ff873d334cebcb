# Of the kit: what was signed, by whom, and whether that is enough. Nothing of a document is looked at, beyond its length and
# its first line, before its signatures hold; then each line must be just what is expected there.
#
# What comes is one text, printable, of lines:
#   PPS-DOCUMENT <number of lines>      and so many lines
#   PPS-SIGNATURE <signer> <lines>      of the document before; <signer> is a name in the keys in force
#   ...                                 more of both
#   PPS-END

# opened FILE FOLDER: divide it: FOLDER/<n>.doc, FOLDER/<n>.<m>.sig, FOLDER/<n>.<m>.who. How many documents in $opened.
opened() {
  [ "$(LC_ALL=C tr -d '\012\040-\176' <"$1" | wc -c)" -eq 0 ] || refuse signed "what came is not printable text"
  opened=$(LC_ALL=C awk -v folder="$2" '
    function bad(text) { if (!wrong) print "no: line " NR " " text; wrong = 1; exit }
    left > 0 { print >out; left--; next }
    ended { bad("comes after the end") }
    $0 ~ /^PPS-DOCUMENT [1-9][0-9]?[0-9]?$/ {
      if (out) close(out)
      if (++docs > 40) bad("is one document too many")
      sigs = 0; left = $2; out = folder "/" docs ".doc"; next
    }
    $0 ~ /^PPS-SIGNATURE [a-z0-9][a-z0-9._-]* [1-9][0-9]?$/ {
      if (!docs) bad("is a signature of nothing")
      close(out)
      if (++sigs > 8) bad("is one signature too many")
      out = folder "/" docs "." sigs ".who"; print $2 >out; close(out)
      left = $3; out = folder "/" docs "." sigs ".sig"; next
    }
    $0 == "PPS-END" { ended = 1; next }
    { bad("is neither a document nor a signature") }
    END { if (!wrong) print (ended && !left && docs ? docs : "no: it is cut off") }' "$1")
  case $opened in ''|*[!0-9]*) refuse signed "what came is not signed documents${opened#no}" ;; esac
}

# signatures DOCUMENT KIND NAMESPACE KEYS: who has signed DOCUMENT (its signatures lie beside it), one line for each that
# holds: role person key. KIND is the kind of line in KEYS that names such signers: signer, root or current. Keys that
# KEYS lists as revoked do not count, nor does a name that stands there twice. Why others do not count is told in
# ${1%.doc}.not.
signatures() {
  : >"${1%.doc}.not"
  for sig in "${1%.doc}".*.sig; do
    [ -f "$sig" ] || continue
    read -r who <"${sig%.sig}.who"
    found=$(LC_ALL=C awk -v kind="$2" -v who="$who" '
      $1 == "revoked" { revoked[$2] = 1 }
      $1 == kind && $2 == who { n++; role = kind == "signer" ? $3 : kind; person = kind == "signer" ? $4 : $3; key = $NF }
      END { if (n == 1) print role, person, key, key in revoked }' "$4")
    key=${found% ?} key=${key##* }
    case $found in
      '') not="there is no $2 $who among the keys in force" ;;
      *' 1') not="the key of $who is revoked" ;;
      *)
        if "holds_by_$scheme" "$1" "$sig" "$who" "$3" "$key"; then
          printf '%s\n' "${found% ?}"
          continue
        fi
        not="the signature of $who does not hold" ;;
    esac
    printf '%s\n' "$not" >>"${1%.doc}.not"
  done
}

# One process each; which of the two is said once, when the kit is installed (`scheme`).
holds_by_ssh() { # DOCUMENT SIGNATURE WHO NAMESPACE KEY
  printf '%s namespaces="%s" %s %s\n' "$3" "$4" "${5%%,*}" "${5#*,}" >"$2.allowed"
  ssh-keygen -Y verify -f "$2.allowed" -I "$3" -n "$4" -s "$2" <"$1" >/dev/null 2>&1
}

holds_by_openssl() { # the namespace is the document's first line, which is signed, too
  case $5 in rsa,*) ;; *) return 1 ;; esac
  { echo '-----BEGIN PUBLIC KEY-----' && printf '%s\n' "${5#*,}" | fold -w 64 && echo '-----END PUBLIC KEY-----'; } >"$2.pem"
  openssl base64 -d -in "$2" -out "$2.raw" 2>/dev/null &&
    openssl dgst -sha256 -verify "$2.pem" -signature "$2.raw" "$1" >/dev/null 2>&1
}

# why_not DOCUMENT: what is wrong with its signatures, for a person.
why_not() { tr '\n' ';' <"${1%.doc}.not" | sed 's/;$//; s/;/; /g'; }

# both_roles ROLE ROLE: of the lines of `signatures`, is there one for each, of two people with two keys?
both_roles() {
  LC_ALL=C awk -v first="$1" -v second="$2" '
    { role[NR] = $1; person[NR] = $2; key[NR] = $3 }
    END {
      for (i = 1; i <= NR; i++) for (j = 1; j <= NR; j++)
        if (role[i] == first && role[j] == second && person[i] != person[j] && key[i] != key[j]) exit 0
      exit 1
    }'
}

# two_of_them: of the lines of `signatures`, are there two of two people with two keys?
two_of_them() {
  LC_ALL=C awk '
    { person[NR] = $2; key[NR] = $3 }
    END { for (i = 1; i <= NR; i++) for (j = i + 1; j <= NR; j++) if (person[i] != person[j] && key[i] != key[j]) exit 0; exit 1 }'
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

digest_of() { # FILE
  set -- $(sha256sum <"$1")
  printf '%s\n' "$1"
}
