#!/bin/sh
# Install what Netloom needs on Debian 12: system packages that are missing, then a virtual environment.
set -eu

[ "$(id -u)" = 0 ] || { echo "setup: run as root (found uid $(id -u)): eBPF and namespaces need it" >&2; exit 1; }

missing=""
for package in $PACKAGES; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
done
if [ -n "$missing" ]; then
    # Some bring daemons, which labs start for themselves: none is to run on this machine because of us.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    apt-get -o DPkg::Lock::Timeout=600 update -q
    # shellcheck disable=SC2086  # a list of words on purpose
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -q --no-install-recommends $missing
fi

# The system's interpreter: the one Debian's packages are tested with.
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -e '.[dev]'
