#clean-environment
# Lists, adds or removes one tag of a VO at a site, as lcg-ManageVOTag does (SD 4.1.1, step 4; docs/adr/0018).
#
# Arguments: list|add|remove, tag directory, SubCluster, VO, tag (not with list).
# The list is <tag_dir>/<subcluster>/<vo>/<vo>.list; the legacy <tag_dir>/<vo>/<vo>.list where only that exists.
# A tag is removed from both, and in every spelling: the information system's readers ignore case.
# What separates tags is said once, in `spread`. The result is checked before it is reported.
#
# Says `PPS-VOTAG 1`, with list one `PPS-TAG <tag>` for each, and at the end `PPS-VOTAG-END <word> <text>`:
#     0 listed | added | present | removed    1 absent (cannot remove it)    2 refused    3 busy    4 failed
set -u
LC_ALL=C
IFS=' 	
'
export LC_ALL
unset GREP_OPTIONS POSIXLY_CORRECT
umask 022
action=$1 tag_dir=$2 subcluster=$3 vo=$4 tag=${5-}

answer() { # exit code, word, text
    printf 'PPS-VOTAG-END %s %s\n' "$2" "$(printf '%s' "${3-}" | tr -c '\040-\176' ' ' | cut -c1-300)"
    exit "$1"
}

echo 'PPS-VOTAG 1'
case $action in list | add | remove) ;; *) answer 2 refused "there is no action $action" ;; esac
case $vo in '' | [!A-Za-z0-9]* | *[!A-Za-z0-9._+~-]*) answer 2 refused "malformed name of the VO" ;; esac
# A / in the id is one folder more, as for all tools that put this path together; none of them is hidden, or .. .
case $subcluster in
'' | [!A-Za-z0-9_]* | *[!A-Za-z0-9_.+~:@/\ -]* | */ | *' ' | *//* | */.*) answer 2 refused "malformed name of the SubCluster" ;;
esac
if [ "$action" != list ]; then
    case $tag in
    "VO-$vo-"[A-Za-z0-9]*) ;;
    *) answer 2 refused "malformed tag: it must begin with VO-$vo-" ;;
    esac
    case $tag in *[!A-Za-z0-9._+~-]*) answer 2 refused "malformed tag" ;; esac
    [ "${#tag}" -le 200 ] || answer 2 refused "malformed tag: too long"
fi
[ -d "$tag_dir" ] || answer 4 failed "there is no tag directory $tag_dir"

# --- what is in a list ---------------------------------------------------------------------------------------------

# Every separator becomes a newline, and every byte keeps its place. A NUL ends a tag, too: it cannot be part of one.
spread() { # list
    tr '\000\011\013\014\015\040' '\n\n\n\n\n\n' <"$1"
}
bom=$(printf '\357\273\277')
tokens() { # list
    spread "$1" | sed -e "1s/^$bom//" -e '/^$/d'
}
has() { # list
    tokens "$1" | grep -Fqx -e "$tag"
}
has_any_spelling() { # list
    tokens "$1" | grep -Fqix -e "$tag"
}
is_text() { # list, read once: it may grow meanwhile
    [ "$(tr -dc '\000' <"$1" | wc -c)" -eq 0 ]
}
# Whoever may write in the folder could make us read, or write, a file of our own through a link.
leads_astray() { # list
    # shellcheck disable=SC2046
    set -- $(ls -ldn "$1") / $(ls -ldnL "$1")
    link=$3
    while [ "$1" != / ]; do shift; done
    [ "$link" != 0 ] && [ "$link" != "$(id -u)" ] && [ "$link" != "$4" ]
}
# A list that cannot be looked into is not taken for a missing one.
look_at() { # list
    at=$tag_dir rest=${1#"$tag_dir"/}
    while :; do
        [ ! -d "$at" ] || [ -x "$at" ] || answer 4 failed "our account cannot enter $at"
        [ ! -L "$at" ] || [ -e "$at" ] || answer 4 failed "$at is a link that leads nowhere"
        case $rest in */*) ;; *) break ;; esac
        at=$at/${rest%%/*} rest=${rest#*/}
    done
    if ! [ -e "$1" ]; then
        [ ! -L "$1" ] || answer 4 failed "$1 is a link that leads nowhere"
        case $(ls -d "$1" 2>&1) in
        *'No such file'* | *'Not a directory'*) ;;
        "$1") look_at "$1" ;; # made since
        *) answer 4 failed "$1 cannot be looked at" ;; # a server that is gone, a broken disk
        esac
    elif ! [ -f "$1" ]; then
        answer 4 failed "$1 is no file"
    elif [ -L "$1" ] && leads_astray "$1"; then
        answer 4 failed "$1 is a link of somebody whose file it does not lead to"
    else
        cat "$1" >/dev/null 2>&1 || answer 4 failed "$1 cannot be read"
    fi
}

file=$tag_dir/$subcluster/$vo/$vo.list
legacy=$tag_dir/$vo/$vo.list
look_at "$file"
look_at "$legacy"

if [ "$action" = list ]; then
    for list in "$file" "$legacy"; do
        [ ! -e "$list" ] || tokens "$list"
    done | tr -c '\012\041-\176' '?' | cut -c1-256 | head -n 2000 | sed 's/^/PPS-TAG /'
    [ -e "$file" ] || [ ! -e "$legacy" ] || file=$legacy
    answer 0 listed "$file"
fi

# --- one of us at a time -------------------------------------------------------------------------------------------

# The lock is a link whose text names its holder: it is there with its name, or not at all. Of this machine's
# processes /proc knows which are gone; another machine's has 10 s to let go: what we do takes milliseconds.
started() { # process -> when it began; nothing when it is gone
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    # shellcheck disable=SC2086 # the fields behind the program's name, which may hold anything
    set -- ${stat##*) }
    case $1 in [ZX]) ;; *) echo "${20}" ;; esac
}
here=$(uname -n):$(id -u):$(cat /proc/sys/kernel/random/boot_id 2>/dev/null):$(readlink /proc/self/ns/pid 2>/dev/null)
me=$here:$$:$(started $$)
is_gone() { # holder
    case $1 in "$here:"*) ;; *) return 1 ;; esac
    that=${1#"$here:"}
    if [ -r /proc/self/stat ]; then
        [ "$(started "${that%%:*}")" != "${that#*:}" ]
    else
        ! kill -0 "${that%%:*}" 2>/dev/null
    fi
}
is_alive() { # holder
    [ -r /proc/self/stat ] || return 1
    case $1 in "$here:"*) ! is_gone "$1" ;; *) return 1 ;; esac
}

held='' work=''
unlock() {
    cd / && [ -z "$work" ] || rm -rf "$work"
    [ -z "$held" ] || [ "$(readlink "$held" 2>/dev/null)" != "$me" ] || rm -f "$held"
    held=
}
lock() { # folder of a list; without a lock where we cannot make one: then nobody else of us can
    [ -w "$1" ] || return 0
    held=$1/.pps-votag.held
    seen='' since=0 misses=0 patience=$(($(date +%s) + 20))
    until [ ! -d "$held" ] && ln -s "$me" "$held" 2>/dev/null; do
        holder=$(readlink "$held" 2>/dev/null) || holder=
        now=$(date +%s)
        if [ "$holder" = "$me" ]; then
            break
        elif [ -z "$holder" ]; then
            # freed since, or the disk is full
            misses=$((misses + 1))
            [ "$misses" -lt 50 ] || { held='' && return 0; }
            continue
        fi
        [ "$holder" = "$seen" ] || seen=$holder since=$now misses=0
        if is_gone "$holder" || { [ $((now - since)) -ge 10 ] && ! is_alive "$holder"; }; then
            if mv "$held" "$held.$$" 2>/dev/null; then
                # whoever was quicker than we were has the lock by now, and gets it back
                moved=$(readlink "$held.$$")
                [ "$moved" = "$holder" ] || ln -s "$moved" "$held" 2>/dev/null
                rm -f "$held.$$"
            fi
        else
            [ "$now" -le "$patience" ] || { held='' && answer 3 busy "somebody else is changing the list in $1"; }
            sleep 0.1 2>/dev/null || sleep 1
        fi
    done
    # what those who were killed left behind, also those of earlier versions
    rm -rf "$1/.pps-votag.lock" "$1/.pps-votag.lock.break"
    rm -rf "$1/.$vo.list.pps-"*
    rm -f "$held".*
}
trap unlock EXIT
trap 'exit 143' HUP INT TERM PIPE

# --- changing a list -----------------------------------------------------------------------------------------------

# A folder of our own beside the list. We go into it, so that nobody who may write there swaps a name on us.
into_workroom() { # list
    cd / && [ -z "$work" ] || rm -rf "$work"
    work=${1%/*}/.$vo.list.pps-$$
    mkdir -m 700 "$work" 2>/dev/null && cd "$work" 2>/dev/null && [ -O . ]
}
traits() { # file: all of it but content and times
    # shellcheck disable=SC2046 # mode (with a + for an ACL), links, owner, group
    set -- "$1" $(ls -ldn "$1")
    echo "$2 $3 $4 $5"
    getfacl -cnp "$1" 2>/dev/null || :
}
must_be_ours_to_write() { # list
    [ -w "$1" ] || {
        # shellcheck disable=SC2046
        set -- "$1" $(ls -ld "$1")
        answer 2 refused "$1 belongs to $4:$5 ($2) and our account may not write it: let it, or ask $4 to change the list"
    }
}
# So few bytes, in one write, are there or not, whenever we are killed.
blank() { # list, place, length
    { dd if=/dev/null bs=1 seek="$2" count=0 conv=notrunc 2>/dev/null && printf "%${3}s" ''; } 1<>"$1"
}

# Prints the list without the tag: a line that held nothing else goes with its end, all others keep theirs.
without_tag() { # list
    open=0
    [ -z "$(tail -c 1 "$1")" ] || open=1
    awk -v tag="$tag" -v bom="$bom" -v open="$open" '
        # looks only where the tag is: a list may be one line of megabytes
        function blank(at) { return at >= 1 && at <= long && index(" \t\v\f", substr(line, at, 1)) }
        function edit(text, ended,   low, from, at, past, kept, hit, first, done, upto) {
            line = text; low = tolower(text); long = length(text); from = done = 1
            while ((at = index(substr(low, from), tag)) > 0) {
                at += from - 1
                from = past = at + length(tag)
                if (!((at == 1 || blank(at - 1)) && (past > long || blank(past)))) { from = at + 1; continue }
                for (upto = at; upto > done && blank(upto - 1); upto--) { }
                if (upto > done) { print first substr(line, done, upto - done); first = ""; kept = 1 }
                if (!hit++ && !kept) first = substr(line, 1, at - 1)
                for (done = past; !kept && blank(done); done++) { }
            }
            if (!hit) { print line ended; return }
            line = substr(line, done)
            if (kept || line != "") print first line (ended == "" ? "\n" : ended)
        }
        function record(text, last,   n, part, i) {
            if (!bom_seen++ && substr(text, 1, length(bom)) == bom) { print bom; text = substr(text, length(bom) + 1) }
            n = split(text, part, "\r")
            for (i = 1; i < n; i++) edit(part[i], "\r" (i == n - 1 && part[n] == "" ? last : ""))
            if (n == 0 || n == 1 || part[n] != "") edit(n ? part[n] : "", last)
        }
        BEGIN { ORS = ""; tag = tolower(tag) }
        NR > 1 { record(held, "\n") }
        { held = $0 }
        END { if (NR) record(held, open ? "" : "\n") }
    ' "$1"
}
# A new file in its place: no reader sees half of it. Only where that keeps owner, group, mode, ACL and links,
# and what others write into the old one meanwhile.
replace() { # list
    into_workroom "$1" || return 1
    cp -p "$1" old 2>/dev/null && cp -p "$1" new 2>/dev/null || return 1
    [ "$(traits "$1")" = "$(traits ./new)" ] || return 1
    { without_tag old >new; } 2>/dev/null || return 1
    others=$(tokens old | grep -Fvix -e "$tag" | cksum)
    [ "$others" ] && [ "$(tokens new | grep -Fvix -e "$tag" | cksum)" = "$others" ] && ! has_any_spelling new || return 1
    ln "$1" was 2>/dev/null || return 1
    if cmp -s "$1" old; then
        mv -f new "$1" 2>/dev/null || return 1
        cmp -s was old || mv -f was "$1"
    fi
    rm -f was
}
# Where it lies: blanks over the tag, and nothing else is touched.
blank_out() { # list
    places=$(spread "$1" | awk -v tag="$tag" -v bom="$bom" '
        BEGIN { tag = tolower(tag) }
        NR == 1 && index($0, bom) == 1 { at = length(bom); $0 = substr($0, at + 1) }
        tolower($0) == tag { print at + 0 }
        { at += length($0) + 1 }')
    for place in $places; do
        found=$(dd if="$1" bs=1 skip="$place" count="${#tag}" 2>/dev/null)
        [ "$(printf '%s' "$found" | tr A-Z a-z)" = "$(printf '%s' "$tag" | tr A-Z a-z)" ] || continue
        blank "$1" "$place" "${#tag}" || return 1
    done 2>/dev/null
}

real() { # list: what it leads to
    if [ -L "$1" ]; then readlink -f "$1"; else echo "$1"; fi
}

if [ "$action" = remove ]; then
    word=absent
    for list in "$file" "$legacy"; do
        [ -d "${list%/*}" ] || continue
        list=$(real "$list") || answer 4 failed "$list leads nowhere"
        lock "${list%/*}"
        for try in 1 2 3 4 5 6; do
            [ -e "$list" ] || break
            if ! has_any_spelling "$list"; then
                is_text "$list" || ! tr -d '\000' <"$list" | grep -Fqi -e "$tag" ||
                    answer 2 refused "$list is no text; its owner must look at it"
                break
            fi
            [ "$try" -lt 6 ] || answer 3 busy "somebody else keeps changing $list"
            must_be_ours_to_write "$list"
            is_text "$list" || answer 2 refused "$list is no text; its owner must look at it"
            # a list that others change all the time holds still long enough for a few bytes
            { [ "$try" -le 3 ] && replace "$list"; } || blank_out "$list" || answer 4 failed "$list cannot be written"
            word=removed
        done
        unlock
    done
    [ "$word" = removed ] || answer 1 absent "$tag is not in $file"
    answer 0 removed "$file"
fi

if ! [ -e "$file" ]; then
    if [ -e "$legacy" ] || { [ -d "$tag_dir/$vo" ] && ! [ -d "$tag_dir/$subcluster" ]; }; then file=$legacy; fi
fi
mkdir -p "${file%/*}" 2>/dev/null || answer 4 failed "${file%/*} cannot be made"
list=$(real "$file") || answer 4 failed "$file leads nowhere"
lock "${list%/*}"
word=present
for try in 1 2 3 4 5 6; do
    # true, not `:`: where a redirection of that one fails, dash leaves the whole script without an answer
    [ -e "$list" ] || { true >>"$list"; } 2>/dev/null || answer 4 failed "${list%/*} cannot be written, or the disk is full"
    ! has "$list" || answer 0 "$word" "$tag is in $file"
    [ "$try" -lt 6 ] || answer 3 busy "somebody else keeps changing $list"
    must_be_ours_to_write "$list"
    # a full disk would take half of a tag
    [ -z "$held" ] || { into_workroom "$list" && printf '%s\n\n' "$tag" >room; } 2>/dev/null ||
        answer 4 failed "the list is as it was: the disk is full, or somebody is in our way in ${list%/*}"
    # at the end of what others wrote, whether its last line has an end or not
    line=$tag
    [ ! -s "$list" ] || [ -z "$(tail -c 1 "$list" | tr '\000\011\013\014\015\040' 'x\n\n\n\n\n')" ] || line="
$tag"
    size=$(wc -c <"$list")
    if { printf '%s\n' "$line" >>"$list"; } 2>/dev/null; then
        word=added
    else
        half=$(dd if="$list" bs=1 skip="$((size))" 2>/dev/null)
        case $line in "$half"*) blank "$list" "$((size))" "${#half}" ;; esac
        answer 4 failed "$list cannot be written, or the disk is full"
    fi
done
