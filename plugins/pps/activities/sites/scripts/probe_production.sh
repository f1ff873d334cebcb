# Probe 3: production is untouched (SD 4.1.1: the preview "does not affect the existing production instances").
. "$1/common.sh"
# Compared in the way in which it was recorded: a sha256 alone is of every file's content.
case $before in names:* | absent | -) how=names ;; *) how=content ;; esac
now=$(production_digest "$production" "$how") || verdict UNKNOWN "$production could not be read"
differs="production in $production is not what it was before the preview came"
recorded=${before#names:}
case $before:$now in
-:*) verdict UNKNOWN "nobody recorded what $production was before the preview came" ;;
"$now:$now") ;;
absent:*) verdict CRITICAL "$differs: there was none" ;;
*:absent) verdict CRITICAL "$differs: it is gone" ;;
names:*:names:"${recorded%%:*}":*)
    verdict UNKNOWN "production in $production may have changed: names, modes and sizes are what they were, inodes or ctimes are not$(production_changes "$production" "${before##*:}"); contents were not recorded"
    ;;
names:*:names:*) verdict CRITICAL "$differs: other names, modes or sizes$(production_changes "$production" "${before##*:}")" ;;
names:*) verdict UNKNOWN "production in $production was recorded with its ctimes, and now they cannot be told apart" ;;
*) verdict CRITICAL "$differs (sha256 was $before, is $now)" ;;
esac

# A job that sources nothing of ours must not see the preview. Probe 2 kept what the site itself sets.
if [ -r "$work/env.site" ]; then
    leak=$(awk -v a="$prefix" -v b="$preview" 'index($0 "/", a "/") || index($0 "/", b "/") { sub(/=.*/, ""); print }' "$work/env.site" | head -n 3 | tr '\n' ' ')
    [ -z "$leak" ] || verdict CRITICAL "production's environment leads into the preview: $leak"
    verdict OK "$production and its environment are what they were"
fi
verdict OK "$production is what it was"
