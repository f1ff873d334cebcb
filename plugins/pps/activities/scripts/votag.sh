# Lists, adds or removes one tag of a VO at a site, as lcg-ManageVOTag does (SD 4.1.1, step 4).
#
# Arguments: list|add|remove, tag directory, SubCluster, VO, tag (not with list).
# The file is <tag_dir>/<subcluster>/<vo>/<vo>.list; the legacy <tag_dir>/<vo>/<vo>.list where only that exists.
# Tags are separated by blanks or newlines. Others keep their place, the file its mode; a reader sees the
# old list or the new one, never half of one.
#
# Says `PPS-VOTAG 1`, with list one `PPS-TAG <tag>` for each, and at the end `PPS-VOTAG-END <word> <text>`:
#     0 listed | added | present | removed    1 absent (cannot remove it)    2 refused    3 busy    4 failed
set -u
LC_ALL=C
export LC_ALL
umask 022
action=$1 tag_dir=$2 subcluster=$3 vo=$4 tag=${5-}

end() { # exit code, word, text
    printf 'PPS-VOTAG-END %s %s\n' "$2" "$(printf '%s' "${3-}" | tr -c '\040-\176' ' ' | cut -c1-300)"
    exit "$1"
}

echo 'PPS-VOTAG 1'
case $action in list | add | remove) ;; *) end 2 refused "there is no action $action" ;; esac
for name in "$subcluster" "$vo"; do
    case $name in '' | [!A-Za-z0-9]* | *[!A-Za-z0-9._+~-]*) end 2 refused "malformed name" ;; esac
done
if [ "$action" != list ]; then
    case $tag in
    "VO-$vo-"[A-Za-z0-9]*) ;;
    *) end 2 refused "malformed tag: it must begin with VO-$vo-" ;;
    esac
    case $tag in *[!A-Za-z0-9._+~-]*) end 2 refused "malformed tag" ;; esac
    [ "${#tag}" -le 200 ] || end 2 refused "malformed tag: too long"
fi
[ -d "$tag_dir" ] || end 4 failed "there is no tag directory $tag_dir"

file=$tag_dir/$subcluster/$vo/$vo.list
legacy=$tag_dir/$vo/$vo.list
if ! [ -e "$file" ]; then
    if [ -e "$legacy" ] || { [ -d "$tag_dir/$vo" ] && ! [ -d "$tag_dir/$subcluster" ]; }; then file=$legacy; fi
fi

# A NUL ends a tag, too: it cannot be part of one.
tokens() { # file
    if [ -e "$1" ]; then tr '\000\011\013\014\015\040' '\n\n\n\n\n\n' <"$1" | sed '/^$/d'; fi
}
has() { # file, tag
    tokens "$1" | grep -Fqx -e "$2"
}

if [ "$action" = list ]; then
    [ ! -e "$file" ] || [ -r "$file" ] || end 4 failed "$file cannot be read"
    tokens "$file" | tr -c '\012\041-\176' '?' | cut -c1-256 | head -n 2000 | sed 's/^/PPS-TAG /'
    end 0 listed "$file"
fi

folder=${file%/*}
if [ "$action" = add ]; then
    mkdir -p "$folder" 2>/dev/null || end 4 failed "$folder cannot be made"
elif ! [ -e "$file" ]; then
    end 1 absent "$tag is not in $file"
fi
if [ -L "$file" ]; then
    file=$(readlink -f "$file") || end 4 failed "$file leads nowhere"
    folder=${file%/*}
fi

[ -w "$folder" ] || end 4 failed "$folder cannot be written"

# One of us at a time. A lock older than 5 minutes belongs to nobody: what we do takes milliseconds.
lock=$folder/.pps-votag.lock
gone=0 patience=$(($(date +%s) + 20))
until mkdir "$lock" 2>/dev/null; do
    if ! [ -d "$lock" ]; then
        # freed since, or it cannot be made at all
        gone=$((gone + 1))
        [ "$gone" -lt 50 ] || end 4 failed "$folder cannot be written, or the disk is full"
        continue
    fi
    [ "$(date +%s)" -le "$patience" ] || end 3 busy "somebody else is changing $file"
    since=
    [ -r "$lock/since" ] && read -r since <"$lock/since"
    case $since in '' | *[!0-9]*) since=$(date +%s) ;; esac
    # Only who makes lock.break may take a dead lock away, after another look at it.
    if [ $(($(date +%s) - since)) -gt 300 ] && mkdir "$lock.break" 2>/dev/null; then
        again=
        [ -r "$lock/since" ] && read -r again <"$lock/since"
        [ "$again" = "$since" ] && rm -rf "$lock"
        rmdir "$lock.break"
    else
        sleep 0.1 2>/dev/null || sleep 1
    fi
done
date +%s >"$lock/since" 2>/dev/null
new=$folder/.$vo.list.pps-$$
old=$lock/before
trap 'rm -rf "$new" "$lock"' EXIT
trap 'exit 143' HUP INT TERM

# Tools that know nothing of our lock may change the file, too: so look again just before the rename.
for try in 1 2 3 4 5; do
    if [ -e "$file" ]; then
        cat "$file" >"$old" 2>/dev/null || end 4 failed "$file cannot be read, or the disk is full"
        cp -p "$file" "$new" 2>/dev/null || end 4 failed "$folder cannot be written, or the disk is full"
    else
        : >"$old" || end 4 failed "$folder cannot be written"
        { : >"$new"; } 2>/dev/null || end 4 failed "$folder cannot be written"
    fi
    if [ "$action" = add ]; then
        ! has "$old" "$tag" || end 0 present "$tag is in $file"
        # the last line of what is there may lack its newline
        { cat "$old" && { [ ! -s "$old" ] || [ -z "$(tail -c 1 "$old" | tr '\n\000' ' x' | tr -d ' ')" ] || echo; } && printf '%s\n' "$tag"; } >"$new" 2>/dev/null ||
            end 4 failed "the new list could not be written, the old one stands"
        word=added
    else
        has "$old" "$tag" || end 1 absent "$tag is not in $file"
        [ "$(tr -d '\000' <"$old" | wc -c)" -eq "$(wc -c <"$old")" ] || end 2 refused "$file is no text; its owner must look at it"
        awk -v tag="$tag" '
            { found = 0; for (i = 1; i <= NF; i++) if ($i == tag) found = 1 }
            !found { print; next }
            { line = ""; for (i = 1; i <= NF; i++) if ($i != tag) line = line (line == "" ? "" : " ") $i; if (line != "") print line }
        ' "$old" >"$new" 2>/dev/null || end 4 failed "the new list could not be written, the old one stands"
        word=removed
    fi
    # What is renamed into place holds every other tag, in its order: also where a full disk cut it short.
    tokens "$old" | grep -Fvx -e "$tag" >"$lock/others"
    tokens "$new" | grep -Fvx -e "$tag" | cmp -s - "$lock/others" || end 4 failed "the new list could not be written, the old one stands"
    if [ "$action" = add ]; then
        has "$new" "$tag" || end 4 failed "the new list could not be written, the old one stands"
    fi
    if [ -e "$file" ]; then
        cmp -s "$file" "$old" || continue
    else
        [ ! -s "$old" ] || continue
    fi
    mv -f "$new" "$file" 2>/dev/null || end 4 failed "$file cannot be replaced"
    end 0 "$word" "$file"
done
end 3 busy "somebody else keeps changing $file"
