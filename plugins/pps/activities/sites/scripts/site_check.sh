#clean-environment
# What a site offers for previews: prints "key value" lines and changes nothing.
# Arguments: preview_root production_root profile_d tag_dir (absolute paths), subcluster and VO of the tag list.
# POSIX sh; run by pps doctor. Exit code 0 whenever it could look.
#include safe_folder.sh
set -u
preview_root=$1 production_root=$2 profile_d=$3 tag_dir=$4 subcluster=$5 vo=$6

# The nearest folder above that exists decides whether a missing one could be made.
nearest() {
    d=$1
    while [ ! -d "$d" ] && [ "$d" != / ] && [ -n "$d" ]; do
        d=${d%/*}
    done
    echo "${d:-/}"
}

# test -w lies on read-only mounts for root, and knows no quota: write 64 KiB and take them away again.
folder_to_write() {
    d=$(nearest "$2")
    probe=$d/.pps-check.$$
    trap 'rm -f "$probe"' EXIT
    trap 'exit 1' HUP INT TERM
    if ! (umask 077 && set -C && : >"$probe") 2>/dev/null; then
        state=not-writable
    elif ! dd if=/dev/zero of="$probe" bs=1024 count=64 2>/dev/null; then
        state=full
    elif [ "$d" = "$2" ]; then
        state=writable
    else
        state=to-be-made
    fi
    rm -f "$probe"
    echo "$1 $state"
}

folder_to_read() {
    if [ ! -d "$2" ]; then
        echo "$1 missing"
    elif [ -r "$2" ] && [ -x "$2" ]; then
        echo "$1 readable"
    else
        echo "$1 not-readable"
    fi
}

echo "site-check 1"
for tool in tar gzip sha256sum awk sed find sort mv ln mkdir rm cat cut date head ls stat tr wc; do
    if command -v "$tool" >/dev/null 2>&1; then
        echo "tool $tool"
    else
        echo "no-tool $tool"
    fi
done
folder_to_write preview_root "$preview_root"
why=$(pps_unsafe "$preview_root")
if [ -z "$why" ] && { [ -e "$preview_root/.pps" ] || [ -L "$preview_root/.pps" ]; }; then
    if [ -L "$preview_root/.pps" ] || ! [ -d "$preview_root/.pps" ] || ! [ -O "$preview_root/.pps" ]; then
        why="$preview_root/.pps is not a folder of our account's own: look who made it, and remove it"
    else
        why=$(pps_unsafe "$preview_root/.pps" 2)
    fi
fi
[ -z "$why" ] || printf 'preview_root_unsafe %s\n' "$(printf %s "$why" | tr -c '\040-\176' ' ')"
folder_to_write tag_dir "$tag_dir"
# The list itself: in a folder that is ours it may still be another account's, and it is written in place (see votag.sh).
list=$tag_dir/$subcluster/$vo/$vo.list
if ! [ -e "$list" ] && [ -e "$tag_dir/$vo/$vo.list" ]; then
    list=$tag_dir/$vo/$vo.list
fi
if [ -e "$list" ] && ! [ -f "$list" ]; then
    echo "tag_list no-file"
elif [ -e "$list" ] && ! { [ -r "$list" ] && (: >>"$list") 2>/dev/null; }; then
    echo "tag_list not-writable"
elif ! [ -e "$list" ] && [ -d "${list%/*}" ] && ! [ -w "${list%/*}" ]; then
    echo "tag_list not-to-be-made"
fi
folder_to_read production_root "$production_root"
folder_to_read profile_d "$profile_d"
free=$(df -Pk "$(nearest "$preview_root")" 2>/dev/null | awk 'NR == 2 { print $4 }')
echo "free_kib ${free:-unknown}"
echo "clock $(date -u +%s)"
echo "end 1"
