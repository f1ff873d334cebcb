#clean-environment
# Is every package installed at its version? Arguments: name|architecture|version
bad=0
for wanted; do
    name=${wanted%%|*}
    rest=${wanted#*|}
    arch=${rest%%|*}
    version=${rest#*|}
    [ "$arch" = all ] && asked=$name || asked=$name:$arch
    found=$(dpkg-query -W -f '${db:Status-Abbrev}|${Version}' "$asked" 2>/dev/null)
    if [ "$found" = "ii |$version" ]; then
        echo "$asked $version"
    else
        echo "CRITICAL: $asked is not installed at version $version (dpkg says: ${found:-nothing})"
        bad=1
    fi
done
exit $bad
