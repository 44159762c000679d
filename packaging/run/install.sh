#!/bin/sh
# LLM Lab @VERSION@: installs itself for one user, without root. `sh THIS-FILE --help` lists the options.
set -eu
payload_bytes=@BYTES@
payload_sha256=@SHA256@
prefix=${HOME:?}/.local
quiet=no

usage() {
    cat <<END
usage: sh $(basename "$0") [--prefix DIR] [--check] [--quiet] [--help]

Installs LLM Lab @VERSION@ in DIR/opt/llmlab (DIR: ~/.local), with the command
DIR/bin/llmlab and an entry in the menu. It takes @MEGABYTES@ MB.
  --check   only see whether this file arrived as it was sent
  --quiet   say nothing but errors
To remove it again: sh DIR/opt/llmlab/uninstall.sh
END
}
fail() { echo "llmlab: $1" >&2; exit 1; }
say() { [ "$quiet" = yes ] || echo "$1"; }
payload() { tail -c "$payload_bytes" -- "$0"; }

check_only=no
while [ $# -gt 0 ]; do
    case $1 in
        --prefix) [ $# -gt 1 ] || fail "--prefix needs a folder"; prefix=$2; shift ;;
        --prefix=*) prefix=${1#--prefix=} ;;
        --check) check_only=yes ;;
        --quiet) quiet=yes ;;
        --help|-h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done

say "Checking this file ..."
found=$(payload | sha256sum | cut -d ' ' -f 1)
[ "$found" = "$payload_sha256" ] || fail "this file did not arrive as it was sent. Please fetch it again."
[ "$check_only" = no ] || { say "It is whole."; exit 0; }
[ "$(uname -s)-$(uname -m)" = "Linux-@MACHINE@" ] || fail "this is for Linux on @MACHINE@."
command -v xz >/dev/null || fail "xz is missing, which unpacks the program (Debian and Fedora: xz-utils or xz)."

mkdir -p "$prefix/opt" "$prefix/bin" || fail "there is no writing in $prefix; name another folder with --prefix."
prefix=$(cd "$prefix" && pwd)
home=$prefix/opt/llmlab
[ ! -e "$home" ] || [ -f "$home/uninstall.sh" ] || fail "$home is there already, and not from an installer like this."
free=$(df -Pk "$prefix/opt" | awk 'NR == 2 { print int($4 / 1000) }')
[ "$free" -gt @MEGABYTES@ ] || fail "@MEGABYTES@ MB are needed in $prefix, and $free MB are free."

new=$home.new.$$
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT TERM HUP
mkdir "$new"
say "Unpacking to $home ..."
payload | xz --decompress --stdout | tar --extract --directory "$new" --strip-components 1 --no-same-owner
rm -rf "$home"  # a former version; settings and models lie elsewhere
mv "$new" "$home"

ln -sf "$home/llmlab" "$prefix/bin/llmlab"
share=$prefix/share
mkdir -p "$share"
cp -R "$home/share/." "$share/"
# The menu knows nothing of a shell's PATH. What is special in a quoted Exec, then what is in any value of such a file,
# then what is to sed: each gets its backslash.
exec_path=$(printf '%s' "$home/llmlab" | sed 's/[\\"`$]/\\&/g; s/%/%%/g; s/\\/&&/g; s/[\\&|]/\\&/g')
sed "s|^Exec=llmlab|Exec=\"$exec_path\"|" "$home/share/applications/llmlab.desktop" >"$share/applications/llmlab.desktop"

cat >"$home/uninstall.sh" <<'END'
#!/bin/sh
# Removes what the installer wrote. Settings (~/.config/llmlab) and downloaded models stay.
set -eu
home=$(cd "$(dirname "$0")" && pwd)
prefix=$(dirname "$(dirname "$home")")
[ "$(readlink "$prefix/bin/llmlab" || true)" != "$home/llmlab" ] || rm -f "$prefix/bin/llmlab"
(cd "$home/share" && find . -type f) | while read -r file; do rm -f "$prefix/share/$file"; done
rm -rf "$home"
echo "LLM Lab was removed from $prefix."
END
trap - EXIT
say "LLM Lab is installed: it is in the menu, and $prefix/bin/llmlab starts it."
say "To remove it: sh $home/uninstall.sh"
case ":$PATH:" in *":$prefix/bin:"*) ;; *) say "Add $prefix/bin to your PATH to start it as llmlab." ;; esac
exit 0
