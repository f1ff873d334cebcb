#clean-environment
# Do the programs of these packages find their libraries and interpreters? Arguments: packages
bad=0
files=$(for package; do dpkg -L "$package"; done | grep -E '^/(usr/|usr/local/)?s?bin/[^/]+$' | sort -u)
for file in $files; do
    [ -f "$file" ] && [ -x "$file" ] || continue
    case $(head -c 4 "$file" | od -An -c | tr -d ' \n') in
    177ELF)
        missing=$(ldd "$file" 2>/dev/null | sed -n 's/^[[:space:]]*\(.*\) => not found.*/\1/p' | tr '\n' ' ')
        if [ -n "$missing" ]; then
            echo "CRITICAL: $file does not find $missing"
            bad=1
            continue
        fi
        ;;
    '#!'*)
        set -- $(head -n 1 "$file" | cut -c 3-)
        case $1 in
        */env) [ "${2-}" = -S ] && shift; interpreter=${2-} ;;
        *) interpreter=$1 ;;
        esac
        if ! command -v "$interpreter" >/dev/null 2>&1; then
            echo "CRITICAL: $file does not find its interpreter $interpreter"
            bad=1
            continue
        fi
        ;;
    *) continue ;;
    esac
    echo "$file"
done
exit $bad
