# Probe 3: production is untouched (SD 4.1.1: the preview "does not affect the existing production instances").
. "$1/common.sh"
now=$(production_digest "$production") || verdict UNKNOWN "$production could not be read"
case $before in
-) verdict UNKNOWN "nobody recorded what $production was before the preview came" ;;
"$now") ;;
*) verdict CRITICAL "production in $production is not what it was before the preview came (sha256 was $before, is $now)" ;;
esac

# A job that sources nothing of ours must not see the preview. Probe 2 kept what the site itself sets.
if [ -r "$work/env.site" ]; then
    leak=$(awk -v a="$prefix" -v b="$preview" 'index($0 "/", a "/") || index($0 "/", b "/") { sub(/=.*/, ""); print }' "$work/env.site" | head -n 3 | tr '\n' ' ')
    [ -z "$leak" ] || verdict CRITICAL "production's environment leads into the preview: $leak"
    verdict OK "$production and its environment are what they were"
fi
verdict OK "$production is what it was"
